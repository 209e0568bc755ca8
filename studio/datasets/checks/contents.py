"""Finds examples whose text is wrong in itself: empty, foreign, far too long or without the key terms of their fact.

It must not compare examples with one another.
"""

import re
from collections.abc import Callable, Iterator
from statistics import median

from studio.datasets.checks.comparing import missing
from studio.datasets.checks.corpus import Corpus, Example, FactNames, bare
from studio.datasets.checks.found import Code, Found

# What programs write where there is nothing.
PLACEHOLDER = re.compile(
    r"(?:n/a|nan|null|none|undefined|todo|tbd|xxx+|未入力|未記入|記入してください|#n/a|-+|\?+|？+)", re.I
)
KANA = re.compile(r"[ぁ-んァ-ヴー]")
HAN = re.compile(r"[一-鿿々〆]")
LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
WORD = re.compile(r"[A-Za-zÀ-ɏ]+")
# Hangul, Cyrillic, Greek, Arabic, Hebrew, Thai, Devanagari.
OTHER = re.compile(r"[\uac00-\ud7af\u0400-\u04ff\u0370-\u03ff\u0590-\u06ff\u0e00-\u0e7f\u0900-\u097f]")
# Characters of everyday Chinese that Japanese does not write.
CHINESE = re.compile(r"[们这说吗呢她它为从对还让给过么吧哪谁岁时个发实现电视动开关东车长门问间马鱼鸟]")
# So much foreign text is a sentence, less may be a name or a title.
FOREIGN_LETTERS = 10
FOREIGN_WORDS = 9
# More Latin letters than this in the answer to a Japanese question is another language beside the Japanese.
MOSTLY_LATIN = 100

SHORTEST_QUESTION = 3
# Lengths spread like their logarithms: an outlier is so many deviations away, at least and at most by these factors.
DEVIATIONS = 4.0
FACTORS = (4.0, 20.0)
# A text that no person would call long.
LONG = 100
FEWEST_MEASURED = 20


def contents(corpus: Corpus) -> Iterator[Found]:
    """Empty texts, foreign texts, and outliers in length; every text is looked at once."""
    written = corpus.texts.written
    asked, told = _with(corpus, lambda example: example.question), _with(corpus, lambda example: example.answer)
    japanese = 2 * sum(KANA.search(written[text]) is not None for text in asked) > len(asked)
    for texts, what in ((asked, "question"), (told, "answer")):
        for text, examples in texts.items():
            if _is_empty(written[text]):
                yield from _each("empty", examples, what)
            elif japanese and _is_foreign(written[text], what):
                yield from _each("foreign", examples, what)
        yield from _outliers(corpus, texts, what)
    yield from _echoes(corpus)


def lost_key_terms(corpus: Corpus) -> Iterator[Found]:
    """Answers without the key terms of their fact, and reversed pairs that name no key term or not their subject."""
    texts = corpus.texts.bare
    for example in corpus.examples:
        fact = corpus.facts[example.fact_id]
        if example.reverse:
            lost = _lost_in_reverse(f"{texts[example.question]}\n{texts[example.answer]}", fact)
        else:
            lost = missing(texts[example.answer], fact.key_terms)
        if lost:
            yield Found("lost_key_term", ((example.id, example.fact_id),), {"terms": "・".join(lost)})


def _lost_in_reverse(pair: str, fact: FactNames) -> list[str]:
    """A reversed question may ask by one key term of several."""
    lost = missing(pair, fact.key_terms)
    named = lost if len(lost) == len(fact.key_terms) else []
    return named + (missing(pair, (fact.subject,)) if fact.subject else [])


def _with(corpus: Corpus, text_of: Callable[[Example], int]) -> dict[int, list[Example]]:
    grouped: dict[int, list[Example]] = {}
    for example in corpus.examples:
        grouped.setdefault(text_of(example), []).append(example)
    return grouped


def _each(code: Code, examples: list[Example], what: str, **values: str | int) -> Iterator[Found]:
    for example in examples:
        yield Found(code, ((example.id, example.fact_id),), {"what": what, **values})


def _is_empty(text: str) -> bool:
    return not bare(text) or PLACEHOLDER.fullmatch(text.strip()) is not None


def _is_foreign(text: str, what: str) -> bool:
    """Whether a text of a Japanese dataset is in another language; a name, a title or a formula is not."""
    latin, han, other = (len(letters.findall(text)) for letters in (LATIN, HAN, OTHER))
    kana = len(KANA.findall(text))
    if other >= FOREIGN_LETTERS and other > han + kana + latin:
        return True
    if kana:
        return what == "answer" and latin > MOSTLY_LATIN and latin > 2 * (han + kana)
    if len(CHINESE.findall(text)) >= 2 and han > latin:
        return True
    if what == "question":
        return latin + han >= FOREIGN_LETTERS
    return not han and len(WORD.findall(text)) >= FOREIGN_WORDS


def _outliers(corpus: Corpus, texts: dict[int, list[Example]], what: str) -> Iterator[Found]:
    """Texts much longer than the others, and questions too short to ask anything."""
    lengths = [len(corpus.texts.written[text]) for text in texts]
    if len(lengths) < FEWEST_MEASURED:
        return
    longest = _longest(lengths)
    usual = round(median(lengths))
    for text, examples in texts.items():
        length = len(corpus.texts.written[text])
        short = what == "question" and 0 < len(corpus.texts.bare[text]) < SHORTEST_QUESTION
        if length > longest or short:
            yield from _each("length", examples, what, length=length, usual=usual)


def _longest(lengths: list[int]) -> float:
    """The longest length that is still usual."""
    middle = median(lengths)
    # A ratio is a distance of logarithms; its median is the deviation that outliers do not move.
    spread = median(max(length / middle, middle / length) for length in lengths)
    least, most = FACTORS
    factor: float = min(most, max(least, spread ** (1.4826 * DEVIATIONS)))
    return max(LONG, middle * factor)


def _echoes(corpus: Corpus) -> Iterator[Found]:
    """Answers that only repeat their question."""
    for example in corpus.examples:
        asked = corpus.texts.bare[example.question]
        if asked and asked == corpus.texts.bare[example.answer]:
            yield Found("empty", ((example.id, example.fact_id),), {"what": "echo"})
