"""Divides a dataset's accepted examples into what a run trains and what it is asked later; it must not know pages.

Splits go by fact. No phrasing stands on both sides: a question that two facts share, or that one fact asks in both
directions, is always trained. Marks and spaces make no phrasing of their own.
"""

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from pydantic import Field

from training.contract import AnswerStyle, ExampleKind, Frozen, RunConfig, Split, TrainingExample

# With fewer forward phrasings in training, a failure on the held-out one would say nothing.
PHRASINGS_KEPT = 3
_MARKS = re.compile(r"[\W_]+")

# To divide 64,000 examples takes half a second: too long for every page of a list that shows one split.
DIVISIONS_KEPT = 4
State = tuple[str, int, int | None, str | None, str]
_divided: dict[State, dict[Split, str]] = {}


class Splits(Frozen):
    """How a dataset is divided; a run's configuration says the same by the same names."""

    heldout_phrasings: int = Field(1, ge=0, le=100, description="Question phrasings per fact kept out of training.")
    heldout_fact_share: float = Field(0.0, ge=0, lt=1, description="Share of facts kept out of training altogether.")
    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of the draw.")


class Candidate(NamedTuple):
    """An accepted example, or a seed that is not accepted: no other example may be asked its question either."""

    id: int
    fact_id: int
    kind: ExampleKind
    answer_style: AnswerStyle
    accepted: bool
    question: str
    answer: str
    folded: str
    phrasing: str


class SplitSize(Frozen):
    """How much one split holds."""

    facts: int = 0
    phrasings: int = 0
    examples: int = 0


class SplitCounts(Frozen):
    """How a dataset divides."""

    sizes: dict[Split, SplitSize]
    whole_facts: int = Field(description="Trained facts with too few phrasings to keep one out.")
    not_accepted: int = Field(description="Examples that no split holds.")


def phrasing(folded: str) -> str:
    """What tells one phrasing from another: a folded question without marks and spaces, unless it has nothing else."""
    return _MARKS.sub("", folded) or folded


def candidates_of(db: sqlite3.Connection, dataset_id: int, *, texts: bool) -> Iterator[Candidate]:
    """What can be divided, by fact; without `texts`, question and answer stay empty."""
    columns = "question, answer" if texts else "'', ''"
    rows = db.execute(
        f"SELECT id, fact_id, kind, answer_style, status = 'accepted', {columns}, folded_question FROM example"
        " WHERE dataset_id = ? AND (status = 'accepted' OR kind = 'seed') ORDER BY fact_id, id",
        (dataset_id,),
    )
    return (Candidate(*(*row, phrasing(row[-1]))) for row in rows)


def divided(candidates: Iterable[Candidate], splits: Splits | RunConfig) -> Iterator[tuple[Candidate, Split]]:
    """Every accepted example with its split, in the order given, which is by fact; the same input divides the same."""
    facts = {fact_id: list(examples) for fact_id, examples in groupby(candidates, attrgetter("fact_id"))}
    facts = {fact_id: examples for fact_id, examples in facts.items() if any(e.accepted for e in examples)}
    shared = _shared_phrasings(facts)
    heldout = _heldout_facts(facts, shared, splits)
    for fact_id, examples in facts.items():
        rest: Split = "heldout_fact" if fact_id in heldout else "train"
        asked = set() if fact_id in heldout else _heldout_phrasings(examples, shared, splits)
        for example in examples:
            if example.accepted:
                yield example, "heldout_phrasing" if example.phrasing in asked else rest


def frozen_examples_of(db: sqlite3.Connection, dataset_id: int, config: RunConfig) -> list[TrainingExample]:
    """The accepted examples with their splits; the same examples, seed and shares give the same splits."""
    return frozen(candidates_of(db, dataset_id, texts=True), config)


def frozen(candidates: Iterable[Candidate], config: RunConfig) -> list[TrainingExample]:
    """Divided examples as a run reads them."""
    return [
        TrainingExample(
            id=example.id,
            fact_id=example.fact_id,
            split=split,
            kind=example.kind,
            answer_style=example.answer_style,
            question=example.question,
            answer=example.answer,
        )
        for example, split in divided(candidates, config)
    ]


def split_of_examples(db: sqlite3.Connection, dataset_id: int, splits: Splits) -> dict[int, Split]:
    """The split of every accepted example's id."""
    found = divided(candidates_of(db, dataset_id, texts=False), splits)
    return {example.id: split for example, split in found}


def ids_of_split(db: sqlite3.Connection, dataset_id: int, split: Split) -> str:
    """The ids of the accepted examples in a split of the dataset as it is now, a JSON list."""
    splits = splits_of(db, dataset_id)
    state = _state(db, dataset_id, splits)
    found = _divided.get(state) if state else None
    if found is None:
        ids: dict[Split, list[int]] = defaultdict(list)
        for example_id, its_split in split_of_examples(db, dataset_id, splits).items():
            ids[its_split].append(example_id)
        found = {name: json.dumps(of_split) for name, of_split in ids.items()}
        if state:
            _divided[state] = found
            while len(_divided) > DIVISIONS_KEPT:
                _divided.pop(next(iter(_divided)), None)
    return found.get(split, "[]")


def _state(db: sqlite3.Connection, dataset_id: int, splits: Splits) -> State | None:
    """What changes whenever a dataset divides otherwise; None in a transaction that may still be rolled back."""
    if not db.execute("PRAGMA query_only").fetchone()[0]:
        return None
    file = db.execute("PRAGMA database_list").fetchone()[2]
    edits = db.execute("SELECT max(id), max(undone_at) FROM edit WHERE dataset_id = ?", (dataset_id,)).fetchone()
    return file, dataset_id, *edits, splits.model_dump_json()


def split_counts_of(db: sqlite3.Connection, dataset_id: int, splits: Splits) -> SplitCounts:
    """How many facts, phrasings and examples each split holds."""
    examples: dict[Split, int] = defaultdict(int)
    phrasings: dict[Split, set[tuple[int, str]]] = defaultdict(set)
    for example, split in divided(candidates_of(db, dataset_id, texts=False), splits):
        examples[split] += 1
        phrasings[split].add((example.fact_id, example.phrasing))
    facts = {split: {fact_id for fact_id, _ in found} for split, found in phrasings.items()}
    sizes: dict[Split, SplitSize] = {
        split: SplitSize(facts=len(facts[split]), phrasings=len(phrasings[split]), examples=examples[split])
        for split in phrasings
    }
    asked = facts.get("heldout_phrasing", set()) if splits.heldout_phrasings else facts.get("train", set())
    (not_accepted,) = db.execute(
        "SELECT count(*) FROM example WHERE dataset_id = ? AND status != 'accepted'", (dataset_id,)
    ).fetchone()
    return SplitCounts(sizes=sizes, whole_facts=len(facts.get("train", set()) - asked), not_accepted=not_accepted)


def splits_of(db: sqlite3.Connection, dataset_id: int) -> Splits:
    """How a dataset shall be divided where nobody says otherwise."""
    (stored,) = db.execute("SELECT splits FROM dataset WHERE id = ?", (dataset_id,)).fetchone()
    return Splits.model_validate_json(stored)


def _shared_phrasings(facts: dict[int, list[Candidate]]) -> set[str]:
    """Questions that more than one fact asks."""
    asking: dict[str, int] = {}
    shared = set()
    for fact_id, examples in facts.items():
        for example in examples:
            if asking.setdefault(example.phrasing, fact_id) != fact_id:
                shared.add(example.phrasing)
    return shared


def _heldout_facts(facts: dict[int, list[Candidate]], shared: set[str], splits: Splits | RunConfig) -> set[int]:
    """Facts kept out altogether: those that share no question with another, at least one fact being trained."""
    eligible = [fact_id for fact_id, examples in facts.items() if shared.isdisjoint(e.phrasing for e in examples)]
    number = min(round(splits.heldout_fact_share * len(facts)), len(facts) - 1)
    return set(sorted(eligible, key=lambda fact_id: _draw(splits.seed, fact_id, ""))[: max(0, number)])


def _heldout_phrasings(examples: list[Candidate], shared: set[str], splits: Splits | RunConfig) -> set[str]:
    """Forward questions of one fact that are kept out of its training; never the seed's, nor a shared one."""
    kept = {example.phrasing for example in examples if example.kind != "paraphrase"}
    forward: dict[str, str] = {}
    for example in examples:
        if example.accepted and example.kind != "reverse":
            forward[example.phrasing] = min(example.folded, forward.get(example.phrasing, example.folded))
    fact_id = examples[0].fact_id
    free = forward.keys() - kept - shared
    drawn = sorted(free, key=lambda asked: _draw(splits.seed, fact_id, forward[asked]))
    return set(drawn[: max(0, min(splits.heldout_phrasings, len(forward) - PHRASINGS_KEPT))])


def _draw(seed: int, fact_id: int, asked: str) -> bytes:
    """A number drawn for one fact alone, so that adding facts moves no other fact's phrasings."""
    return sha256(f"{seed}\n{fact_id}\n{asked}".encode()).digest()
