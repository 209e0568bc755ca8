"""Decides without a model whether a short Japanese answer is right: the probes and the pages judge alike.

Standard library only. It must not know where an answer came from; an answer is text without any reasoning.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.contract import Verdict

KeyTerms = Sequence[Sequence[str]]

# What people add or leave out around a name without changing which name it is; a decimal point is no such mark.
_MARKS = re.compile(r"(?<!\d)\.|\.(?!\d)|[^\w.+#%]|_")
_LONG_END = re.compile(r"(?<=[ぁ-ゖー]{2})ー+(?![ぁ-ゖー])")
_KANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}
# 「Aではなく、B」 names B. 「Aではないでしょうか」 is a polite way to say A.
_DENIED = re.compile(r"(?:では|じゃ)(?:なく|なかった|ない(?!でしょう|か)|ありません(?!か))")
_SCRIPTS = (("digit", "0-9"), ("latin", "a-z"), ("kana", "ぁ-ゖー"), ("kanji", "一-鿿々"))
_SCRIPT = re.compile("|".join(f"(?P<{name}>[{letters}])" for name, letters in _SCRIPTS))
_PARTICLES = frozenset("はがをのでにともへやだ")
# 「Xの作者はYです。」 says Y. Both ways to read it, since a title and a name may hold 「は」 themselves.
_ENDING = r"(?:です|でした|だ|である|に(?:あり|い)ます|と(?:呼ばれてい|いい|言い)ます)?[。．.]?"
_SAID = tuple(re.compile(rf"(?:.{many}は)?(?P<core>[^。、]{{1,20}}?){_ENDING}") for many in ("*?", "*"))
# Without key terms: the share of what the reference says beyond the question that an answer has to hold.
RIGHT_SHARE, PARTLY_SHARE = 0.8, 0.4


def normalise(text: str) -> str:
    """Text as two readers would compare it: width, case, kind of kana, a long vowel at the end and marks go."""
    letters = _MARKS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return _LONG_END.sub("", letters.translate(_KANA))


def holds_key_terms(answer: str, key_terms: KeyTerms) -> bool:
    """Whether an answer holds every key term, each in one of its alternatives. No key terms: never right."""
    return bool(key_terms) and _held(answer, key_terms) == len(key_terms)


def verdict(answer: str, reference: str, key_terms: KeyTerms = (), question: str = "") -> "Verdict":
    """Judge an answer by its key terms, all or some; without any, by what the reference says beyond the question."""
    if key_terms:
        held = _held(answer, key_terms)
        return "right" if held == len(key_terms) else "partly" if held else "wrong"
    written, wanted = normalise(answer), normalise(reference)
    if not wanted:
        return "wrong"
    if _held(answer, [_cores(reference, question)]) or _names(written, wanted):
        return "right"
    told = _pairs(wanted) - _pairs(normalise(question)) or _pairs(wanted)
    share = len(told & _pairs(written)) / len(told)
    return "right" if share >= RIGHT_SHARE else "partly" if share >= PARTLY_SHARE else "wrong"


def _cores(reference: str, question: str) -> list[str]:
    """What a short reference says that its question does not."""
    found = [said["core"] for pattern in _SAID if (said := pattern.fullmatch(reference.strip()))]
    return [core for core in found if len(core) > 1 and normalise(core) not in normalise(question)]


def _held(answer: str, key_terms: KeyTerms) -> int:
    written = normalise(answer)
    return sum(any(_names(written, normalise(term)) for term in alternatives) for alternatives in key_terms)


def _names(written: str, term: str) -> bool:
    """Whether a normalised text holds a term as a word of its own that it does not deny."""
    if not term:
        return False
    for found in re.finditer(re.escape(term), written):
        before, after = written[: found.start()][-1:], written[found.end() :]
        cut = _runs_on(term, term[0], before) or _runs_on(term, term[-1], after[:1])
        if not cut and not _DENIED.match(after):
            return True
    return False


def _runs_on(term: str, edge: str, neighbour: str) -> bool:
    """Whether the letter beside a found term belongs to the same word: 3 in 13, 海 in 北海道, はな in ではない."""
    script = _script(edge)
    if not neighbour or _script(neighbour) != script or neighbour in _PARTICLES:
        return False
    short = {"kana": 2, "kanji": 1}.get(script, 0)
    return script in ("digit", "latin") or len(term) <= short


def _script(letter: str) -> str:
    found = _SCRIPT.match(letter)
    return str(found.lastgroup) if found else ""


def _pairs(text: str) -> set[str]:
    """The pairs of neighbouring letters; Japanese has no spaces to split at."""
    return {text[place : place + 2] for place in range(max(1, len(text) - 1))}
