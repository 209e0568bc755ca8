"""Finds test questions that training would give away: by their fact first, by their text second.

It must not know where question sets come from. Similar text alone cannot tell a rephrasing, which is a fair question
about a trained fact, from a leak: what a question asks is told by the facts.
"""

from collections import defaultdict
from collections.abc import Iterator

from studio.datasets.checks.comparing import plain, topic
from studio.datasets.checks.corpus import Asked, Corpus, Example
from studio.datasets.checks.found import Found
from studio.datasets.checks.similarity import Compared, near_pairs
from studio.datasets.linking import Known, Linker

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
    trained = [example for example in corpus.examples if example.id not in corpus.kept_out]
    of_fact: dict[int, list[Example]] = defaultdict(list)
    for example in trained:
        of_fact[example.fact_id].append(example)
    facts, near = _facts(corpus, of_fact), _near(corpus, trained)
    for asked in corpus.asked:
        if asked.id in facts:
            yield _found(asked, of_fact[facts[asked.id]][:SHOWN], "fact", corpus)
        elif asked.kind != TRAINED and asked.id in near:
            yield _found(asked, near[asked.id][:SHOWN], "text", corpus)


def _facts(corpus: Corpus, of_fact: dict[int, list[Example]]) -> dict[int, int]:
    """The trained fact of each test question that should have none, by the id of the question."""
    untrained = [asked for asked in corpus.asked if asked.kind in UNTRAINED]
    if not untrained:
        return {}
    written = corpus.texts.written
    linker = Linker(_known(corpus, fact_id, examples) for fact_id, examples in of_fact.items())
    found = {}
    for asked in untrained:
        fact_id = asked.fact_id or linker.link(written[asked.question], asked.reference).fact_id
        if fact_id in of_fact:
            found[asked.id] = fact_id
    return found


def _known(corpus: Corpus, fact_id: int, examples: list[Example]) -> Known:
    written, fact = corpus.texts.written, corpus.facts[fact_id]
    pairs = [(example.reverse, (written[example.question], written[example.answer])) for example in examples]
    forward = [pair for is_reverse, pair in pairs if not is_reverse]
    reverse = [pair for is_reverse, pair in pairs if is_reverse]
    # A fact of reversed questions alone is known by them.
    return Known(fact_id, forward or reverse, reverse, (*fact.subject, *fact.tags))


def _near(corpus: Corpus, trained: list[Example]) -> dict[int, list[Example]]:
    """The examples that ask what a test question asks, the same wording first, by the id of the test question."""
    bare = corpus.texts.bare
    asking: dict[str, list[Example]] = defaultdict(list)
    for example in trained:
        if bare[example.question]:
            asking[bare[example.question]].append(example)
    found = {asked.id: list(asking[bare[asked.question]]) for asked in corpus.asked if bare[asked.question] in asking}
    texts = list(asking)
    first = len(texts)
    texts += [bare[asked.question] for asked in corpus.asked]
    keys: dict[str, int] = {}
    for text in texts[first:]:
        keys.setdefault(topic(text), len(keys))
    places = [(number, keys[topic(text)]) for number, text in enumerate(texts) if text and topic(text) in keys]
    for one, other in near_pairs([plain(text) for text in texts], Compared(places, ALIKE)):
        if one < first <= other:
            found.setdefault(corpus.asked[other - first].id, []).extend(asking[texts[one]])
    return found


def _found(asked: Asked, examples: list[Example], by: str, corpus: Corpus) -> Found:
    values: dict[str, str | int] = {
        "question_set": asked.question_set,
        "question": corpus.texts.written[asked.question],
        "what": by,
    }
    return Found("leak", tuple((example.id, example.fact_id) for example in examples), values)
