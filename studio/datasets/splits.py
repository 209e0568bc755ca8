"""Divides a dataset's accepted examples into what a run trains and what it is asked later; it must not know pages.

Splits go by fact. No phrasing stands on both sides: a question that two facts share, or that one fact asks in both
directions, is always trained.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from studio.datasets.text import fold
from training.contract import AnswerStyle, ExampleKind, RunConfig, Split, TrainingExample

# With fewer forward phrasings in training, a failure on the held-out one would say nothing.
PHRASINGS_KEPT = 3


class _Accepted(NamedTuple):
    """An accepted example; `asked` is its folded question, by which phrasings are told apart."""

    id: int
    fact_id: int
    kind: ExampleKind
    answer_style: AnswerStyle
    question: str
    answer: str
    asked: str


def frozen_examples_of(db: sqlite3.Connection, dataset_id: int, config: RunConfig) -> list[TrainingExample]:
    """The accepted examples with their splits; the same examples, seed and shares give the same splits."""
    facts: dict[int, list[_Accepted]] = defaultdict(list)
    rows = db.execute(
        "SELECT id, fact_id, kind, answer_style, question, answer FROM example"
        " WHERE dataset_id = ? AND status = 'accepted' ORDER BY fact_id, id",
        (dataset_id,),
    )
    for example_id, fact_id, kind, answer_style, question, answer in rows:
        accepted = _Accepted(example_id, fact_id, kind, answer_style, question, answer, asked=fold(question))
        facts[fact_id].append(accepted)
    seeds = db.execute("SELECT fact_id, question FROM example WHERE dataset_id = ? AND kind = 'seed'", (dataset_id,))
    seed_of = {fact_id: fold(question) for fact_id, question in seeds}
    shared = _shared_questions(facts)
    heldout = _heldout_facts(facts, shared, config)
    frozen: list[TrainingExample] = []
    for fact_id, examples in facts.items():
        if fact_id in heldout:
            frozen += _frozen(examples, "heldout_fact", set())
        else:
            frozen += _frozen(examples, "train", _heldout_phrasings(examples, shared | {seed_of[fact_id]}, config))
    return frozen


def _frozen(examples: Iterable[_Accepted], split: Split, heldout: set[str]) -> list[TrainingExample]:
    return [
        TrainingExample(
            id=example.id,
            fact_id=example.fact_id,
            split="heldout_phrasing" if example.asked in heldout else split,
            kind=example.kind,
            answer_style=example.answer_style,
            question=example.question,
            answer=example.answer,
        )
        for example in examples
    ]


def _shared_questions(facts: dict[int, list[_Accepted]]) -> set[str]:
    """Questions that more than one fact asks."""
    asking: dict[str, int] = {}
    shared = set()
    for fact_id, examples in facts.items():
        for example in examples:
            if asking.setdefault(example.asked, fact_id) != fact_id:
                shared.add(example.asked)
    return shared


def _heldout_facts(facts: dict[int, list[_Accepted]], shared: set[str], config: RunConfig) -> set[int]:
    """Facts kept out altogether: those that share no question with another, at least one fact being trained."""
    eligible = [fact_id for fact_id, examples in facts.items() if shared.isdisjoint(e.asked for e in examples)]
    number = min(round(config.heldout_fact_share * len(facts)), len(facts) - 1)
    return set(sorted(eligible, key=lambda fact_id: _draw(config.seed, fact_id, ""))[: max(0, number)])


def _heldout_phrasings(examples: list[_Accepted], kept: set[str], config: RunConfig) -> set[str]:
    """Forward questions of one fact that are kept out of its training, drawn from those not in `kept`."""
    forward = {example.asked for example in examples if example.kind != "reverse"}
    reverse = {example.asked for example in examples if example.kind == "reverse"}
    fact_id = examples[0].fact_id
    drawn = sorted(forward - reverse - kept, key=lambda asked: _draw(config.seed, fact_id, asked))
    return set(drawn[: max(0, min(config.heldout_phrasings, len(forward) - PHRASINGS_KEPT))])


def _draw(seed: int, fact_id: int, asked: str) -> bytes:
    """A number drawn for one fact alone, so that adding facts moves no other fact's phrasings."""
    return sha256(f"{seed}\n{fact_id}\n{asked}".encode()).digest()
