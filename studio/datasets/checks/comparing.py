"""Judges whether two questions ask the same and two answers say the same, by their characters; it must not know facts.

Similarity alone does not tell: over real Japanese questions half of the pairs alike by 0.6 have different answers, for
a name, a number or a kanji differs. So what differs must carry no meaning.
"""

import re
from collections import Counter
from functools import lru_cache

from studio.datasets.checks.corpus import bare

# Characters of particles, endings and copulas, which a rewording changes without asking anything else.
_LIGHT = str.maketrans("", "", "でしょうかすはがをにのとまただなっいもや")
# Question words that are written in both ways.
_WHO, _WHAT = re.compile("だれ|どなた"), re.compile("(?:なん|なに)(?=で|と|か|の|が|を|$)")
_NEGATION = re.compile(r"ない|なかっ|なく|ません|ではな|[^つわまも]ず(?=[にはがで、]|$)")
_KANA = re.compile(r"[ぁ-んァ-ヴー]")
_DIGITS = re.compile(r"\d+")
# What numbers and names are made of: more of it is another number or name.
_NAMING = re.compile(r"[\da-zァ-ヴ]")
_PIECES = re.compile(r"\d+、|[^\d、]")
# How much of the shorter answer the other one must hold to say the same.
AGREES = 0.5
# Said around the answer of any question.
_POLITE = re.compile(r"(?:です|ます|でした|ました|である|だ)+$")


def plain(question: str) -> str:
    """A bare question with its question word in kanji."""
    return _WHAT.sub("何", _WHO.sub("誰", question))


@lru_cache(maxsize=200_000)
def core(question: str) -> str:
    """What a bare question says beside particles and endings; two questions with one core ask the same."""
    return _DIGITS.sub(r"\g<0>、", plain(question).translate(_LIGHT)) + "否" * len(_NEGATION.findall(question))


@lru_cache(maxsize=200_000)
def topic(question: str) -> str:
    """The core in whatever order it is said: its numbers whole, its other characters one by one."""
    return "".join(sorted(_PIECES.findall(core(question))))


def asks_nearly_the_same(question: str, other: str) -> bool:
    """Whether one bare question only adds words to the other, or a single kana differs; their answers are the same."""
    one, two = Counter(_PIECES.findall(core(question))), Counter(_PIECES.findall(core(other)))
    more, less = one - two, two - one
    if not more or not less:
        added = "".join((more | less).elements())
        return not _NAMING.search(added) and 3 * len(added) <= min(one.total(), two.total())
    return more.total() == less.total() == 1 and all(_KANA.fullmatch(kana) for kana in (*more, *less))


def agreement(answer: str, other: str, question: str) -> float:
    """How far two bare answers to one bare question say the same: 1 where one holds the other, 0 where nothing is."""
    if answer in other or other in answer:
        return 1.0
    one, two = set(_DIGITS.findall(answer)), set(_DIGITS.findall(other))
    if one and two and not (one <= two or two <= one):
        return 0.0
    first, second, asked = _pairs(_POLITE.sub("", answer)), _pairs(_POLITE.sub("", other)), _pairs(question)
    # What repeats the question says nothing, except where the question itself offers the answers.
    if first - asked and second - asked:
        first, second = first - asked, second - asked
    return len(first & second) / min(len(first), len(second))


def holds(text: str, terms: tuple[tuple[str, ...], ...]) -> bool:
    """Whether a bare text holds every key term, each in one of its alternatives."""
    return not missing(text, terms)


def missing(text: str, terms: tuple[tuple[str, ...], ...]) -> list[str]:
    """The key terms that a bare text lacks, each as it is written first."""
    lost = []
    for alternatives in terms:
        written = [form for form in map(bare, alternatives) if form]
        if written and not any(form in text for form in written):
            lost.append(alternatives[0])
    return lost


def _pairs(text: str) -> set[str]:
    return {text[at : at + 2] for at in range(max(1, len(text) - 1))}
