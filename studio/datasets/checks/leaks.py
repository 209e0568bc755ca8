"""Finds test questions that training would give away: by their fact first, by their text second.

It must not know where question sets come from. Similar text alone cannot tell a rephrasing from a leak: the question
that a person linked to a fact is known by the fact.
"""

from collections import defaultdict
from collections.abc import Iterator

from studio.datasets.checks.comparing import plain, topic
from studio.datasets.checks.corpus import Asked, Corpus, Example
from studio.datasets.checks.found import Found
from studio.datasets.checks.similarity import Compared, near_pairs

# Questions about facts that no training shall have seen.
UNTRAINED = ("heldout_fact", "out_of_domain")
# Asked as they are trained, to see whether anything was learned at all.
TRAINED = "trained"
ALIKE = 0.3
SHOWN = 5


def leaks(corpus: Corpus) -> Iterator[Found]:
    """One finding a test question, with the examples that give it away."""
    if not corpus.asked:
        return
    of_fact = corpus.by_fact()
    near = _near(corpus)
    for asked in corpus.asked:
        if asked.kind in UNTRAINED and asked.fact_id in of_fact:
            yield _found(asked, of_fact[asked.fact_id][:SHOWN], "fact", corpus)
        elif asked.kind != TRAINED and (examples := near.get(asked.id)):
            yield _found(asked, examples[:SHOWN], "text", corpus)


def _near(corpus: Corpus) -> dict[int, list[Example]]:
    """The examples that ask what a test question asks, the same wording first, by the id of the test question."""
    bare = corpus.texts.bare
    trained: dict[str, list[Example]] = defaultdict(list)
    for example in corpus.examples:
        if bare[example.question]:
            trained[bare[example.question]].append(example)
    found = {asked.id: list(trained[bare[asked.question]]) for asked in corpus.asked if bare[asked.question] in trained}
    texts = list(trained)
    first = len(texts)
    texts += [bare[asked.question] for asked in corpus.asked]
    keys: dict[str, int] = {}
    for text in texts[first:]:
        keys.setdefault(topic(text), len(keys))
    places = [(number, keys[topic(text)]) for number, text in enumerate(texts) if text and topic(text) in keys]
    for one, other in near_pairs([plain(text) for text in texts], Compared(places, ALIKE)):
        if one < first <= other:
            found.setdefault(corpus.asked[other - first].id, []).extend(trained[texts[one]])
    return found


def _found(asked: Asked, examples: list[Example], by: str, corpus: Corpus) -> Found:
    values: dict[str, str | int] = {
        "question_set": asked.question_set,
        "question": corpus.texts.written[asked.question],
        "what": by,
    }
    return Found("leak", tuple((example.id, example.fact_id) for example in examples), values)
