"""Finds facts that too few questions ask for or too few answers tell; it must not know how more are made.

A fact asked in one wording is learned for that wording alone, and one never asked in reverse cannot be said in reverse.
"""

from collections import Counter
from collections.abc import Iterator

from studio.datasets.checks.corpus import Corpus, Example
from studio.datasets.checks.found import Found

# With three wordings trained, one can be kept out to see whether a fact was learned rather than a wording.
FORWARD = 4
REVERSE = 2
ANSWERS = 2


def coverage(corpus: Corpus) -> Iterator[Found]:
    """One finding a fact and lack, at its seed."""
    telling = _facts_telling(corpus)
    for fact_id, examples in corpus.by_fact().items():
        seed = next((example for example in examples if example.seed), examples[0])
        place = ((seed.id, fact_id),)
        forward = [example for example in examples if not example.reverse]
        asked = len({corpus.texts.bare[example.question] for example in forward})
        if asked < FORWARD:
            yield Found("coverage_forward", place, {"number": asked, "least": FORWARD})
        reverse = len({corpus.texts.bare[example.question] for example in examples if example.reverse})
        if reverse < REVERSE and _can_be_reversed(corpus, seed, telling):
            yield Found("coverage_reverse", place, {"number": reverse, "least": REVERSE})
        told = len({corpus.texts.bare[example.answer] for example in forward})
        if told < ANSWERS:
            yield Found("coverage_answers", place, {"number": told, "least": ANSWERS})


def _facts_telling(corpus: Corpus) -> Counter[str]:
    """Of how many facts each seed answer is the answer."""
    return Counter(corpus.texts.bare[example.answer] for example in corpus.examples if example.seed)


def _can_be_reversed(corpus: Corpus, seed: Example, telling: Counter[str]) -> bool:
    """Whether the answer could be asked about: an explanation could not, nor could what several facts answer."""
    return corpus.is_short(seed.fact_id, seed) and telling[corpus.texts.bare[seed.answer]] <= 1
