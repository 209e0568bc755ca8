"""Puts pairs of a file into a dataset as facts and examples; it must not know how a file is read."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from studio.datasets.columns import Pair
from studio.datasets.edits import Edit, NewExample, NewFact
from studio.datasets.model import RejectedLine
from studio.errors import DatasetError

# The facts of a dataset that hold a question and answer already.
Existing = Mapping[tuple[str, str], list[int]]


@dataclass
class _Group:
    """The pairs of one fact, the seed first; `fact_id` where the dataset has the fact already."""

    pairs: list[Pair] = field(default_factory=list)
    fact_id: int | None = None

    def new_fact(self) -> NewFact:
        """What the lines say of the fact: the first that says anything counts."""
        return NewFact(
            subject=next((pair.subject for pair in self.pairs if pair.subject), ""),
            tags=next((pair.tags for pair in self.pairs if pair.tags != "[]"), "[]"),
            key_terms=next((pair.key_terms for pair in self.pairs if pair.key_terms != "[]"), "[]"),
            short_answer=next((pair.short_answer for pair in self.pairs if pair.short_answer is not None), None),
        )


def import_pairs(
    db: sqlite3.Connection, dataset_id: int, pairs: Iterable[Pair], file: str
) -> tuple[int, list[RejectedLine]]:
    """Insert every pair that is not there yet as one edit; return how many that were, and the doubles left out.

    Pairs of one fact join the fact that the dataset has already where it holds one of them. Without a fact id every
    pair is a fact of its own, so the same pair twice is a double; with one, it is a double within its fact only.
    """
    groups, doubles = _grouped(pairs, _existing(db, dataset_id))
    imported = sum(len(group.pairs) for group in groups)
    if imported:
        edit = Edit(db, dataset_id, "dataset.undone_import", file=file, number=imported)
        new = [group for group in groups if group.fact_id is None]
        joining = [group for group in groups if group.fact_id is not None]
        examples = []
        for group, fact_id in zip(new, edit.add_facts([group.new_fact() for group in new]), strict=True):
            examples.append(_example(fact_id, group.pairs[0], "seed"))
            examples += [_example(fact_id, pair) for pair in group.pairs[1:]]
        for group in joining:
            examples += [_example(group.fact_id or 0, pair) for pair in group.pairs]
        edit.add_examples(examples)
    return imported, doubles


def _existing(db: sqlite3.Connection, dataset_id: int) -> Existing:
    existing: dict[tuple[str, str], list[int]] = defaultdict(list)
    rows = db.execute("SELECT question, answer, fact_id FROM example WHERE dataset_id = ?", (dataset_id,))
    for question, answer, fact_id in rows:
        existing[question, answer].append(fact_id)
    return existing


def _grouped(pairs: Iterable[Pair], existing: Existing) -> tuple[list[_Group], list[RejectedLine]]:
    """The pairs that are new, by fact in the order of the file, and a report of each double."""
    lines_of: dict[str, list[Pair]] = {}
    lone: dict[tuple[str, str], int] = {}
    doubles: list[RejectedLine] = []
    for pair in pairs:
        if pair.fact:
            lines_of.setdefault("fact " + pair.fact, []).append(pair)
            continue
        key = pair.question, pair.answer
        if key in existing:
            doubles.append(_double(pair, None))
        elif key in lone:
            doubles.append(_double(pair, lone[key]))
        else:
            lone[key] = pair.line
            lines_of[f"line {pair.line}"] = [pair]
    groups = [_without_doubles(lines, existing, doubles) for lines in lines_of.values()]
    return [group for group in groups if group.pairs], doubles


def _without_doubles(lines: list[Pair], existing: Existing, doubles: list[RejectedLine]) -> _Group:
    """The group of one fact's lines; `doubles` gets a report of each line that its fact holds already."""
    known = (existing[pair.question, pair.answer] for pair in lines if (pair.question, pair.answer) in existing)
    group = _Group(fact_id=next((facts[0] for facts in known), None))
    seen: dict[tuple[str, str], int] = {}
    for pair in _seed_first(lines):
        key = pair.question, pair.answer
        if group.fact_id is not None and group.fact_id in existing.get(key, ()):
            doubles.append(_double(pair, None))
        elif key in seen:
            doubles.append(_double(pair, seen[key]))
        else:
            seen[key] = pair.line
            group.pairs.append(pair)
    return group


def _seed_first(lines: list[Pair]) -> list[Pair]:
    """The lines with the seed moved to the front: the line that says so, else the first that is not reversed."""
    for wanted in (("seed",), ("", "paraphrase")):
        for at, pair in enumerate(lines):
            if pair.kind in wanted:
                return [pair, *lines[:at], *lines[at + 1 :]]
    return lines


def _double(pair: Pair, first_line: int | None) -> RejectedLine:
    if first_line is None:
        return RejectedLine.because(pair.line, DatasetError("dataset.error_double_in_dataset"))
    return RejectedLine.because(pair.line, DatasetError("dataset.error_double_in_file", first=first_line))


def _example(fact_id: int, pair: Pair, kind: str = "") -> NewExample:
    return NewExample(
        fact_id=fact_id,
        # A fact has one seed; a second line that calls itself one is a phrasing of it.
        kind=kind or ("reverse" if pair.kind == "reverse" else "paraphrase"),
        answer_style=pair.answer_style,
        status=pair.status,
        question=pair.question,
        answer=pair.answer,
        generator=pair.generator,
        prompt_version=pair.prompt_version,
    )
