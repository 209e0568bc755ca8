"""Puts the pairs of files into a dataset as facts and examples; it must not know how a file is read."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from studio.datasets.columns import Pair
from studio.datasets.edits import Edit, NewExample, NewFact
from studio.datasets.model import ImportReport, RejectedLine
from studio.datasets.reading import FilePairs, unused_columns
from studio.datasets.recovery import Group, blocks, propose
from studio.errors import DatasetError
from training.contract import Frozen

# The facts of a dataset that hold a question and answer already.
Existing = Mapping[tuple[str, str], list[int]]
# A pair and the index of its file.
Line = tuple[int, Pair]
Facts = Literal["recover", "rows"] | Annotated[int, Field(ge=1)]
NAMED_FILES = 3


class ImportPlan(Frozen):
    """How files are read: which column is which where its name does not say it, and which lines are one fact."""

    columns: dict[str, str] = Field(default_factory=dict, description='For one: {"question": "Q", "answer": "A"}.')
    facts: Facts = Field(
        "recover",
        description="Without a fact column: proposed by what the lines share, a fact a line, or one every n lines.",
    )


AS_FOUND = ImportPlan()


@dataclass
class _Fact:
    """The lines of one fact, the seed first; `fact_id` where the dataset has the fact already."""

    lines: list[Line]
    stated: bool  # the file has a column that says which fact a line is of
    origin: str = ""
    fact_id: int | None = None

    def new(self) -> NewFact:
        """What the lines say of the fact: the first that says anything counts."""
        pairs = [pair for _, pair in self.lines]
        return NewFact(
            subject=next((pair.subject for pair in pairs if pair.subject), ""),
            spellings=next((pair.spellings for pair in pairs if pair.spellings != "[]"), "[]"),
            tags=next((pair.tags for pair in pairs if pair.tags != "[]"), "[]"),
            key_terms=next((pair.key_terms for pair in pairs if pair.key_terms != "[]"), "[]"),
            short_answer=next((pair.short_answer for pair in pairs if pair.short_answer is not None), None),
            origin=self.origin,
        )


class Arrangement:
    """The lines of files by fact, and a report of each that says nothing new.

    Without a fact column the same pair twice is a double; with one, it is a double within its fact only. Lines of one
    fact join the fact that the dataset has already where it holds one of them.
    """

    def __init__(self, files: Sequence[FilePairs], facts: Facts) -> None:
        self.files = files
        self.doubles: list[RejectedLine] = []
        self.facts: list[_Fact] = []
        stated, flat = self._stated_and_flat()
        self._groups = [_Fact(lines, stated=True) for lines in stated]
        self._groups += [_proposed(flat, group) for group in _groups([pair for _, pair in flat], facts)]
        # In the order of the files, whichever way a fact was found.
        self._groups.sort(key=lambda fact: min(map(_place, fact.lines)))

    def settle(self, existing: Existing) -> Self:
        """Decide what of it is new to a dataset that holds such pairs."""
        self.facts = [fact for group in self._groups if (fact := self._new(group, existing)).lines]
        return self

    @property
    def imported(self) -> int:
        """How many lines come in."""
        return sum(len(fact.lines) for fact in self.facts)

    @property
    def rejected(self) -> list[RejectedLine]:
        """Every line that does not come in, in the order of the files."""
        place = {file.file: index for index, file in enumerate(self.files)}
        lines = [*(line for file in self.files for line in file.rejected), *self.doubles]
        return sorted(lines, key=lambda rejected: (place[rejected.file], rejected.line))

    def report(self, *, facts: int, examples: int) -> ImportReport:
        """What came in, where the dataset holds so many facts and examples now."""
        return ImportReport(
            imported=self.imported,
            rejected=self.rejected,
            facts=facts,
            examples=examples,
            unused_columns=unused_columns(self.files),
            proposed=sum(bool(fact.origin) for fact in self.facts),
        )

    def _stated_and_flat(self) -> tuple[list[list[Line]], list[Line]]:
        """The lines whose file says their fact, by fact, and those of files that say nothing of facts."""
        stated: dict[tuple[int, str], list[Line]] = defaultdict(list)
        flat: list[Line] = []
        lone: dict[tuple[str, str], Line] = {}
        for index, file in enumerate(self.files):
            says = any(pair.fact for pair in file.pairs)
            for pair in file.pairs:
                line, key = (index, pair), (pair.question, pair.answer)
                if pair.fact:
                    stated[index, "fact " + pair.fact].append(line)
                elif key in lone:
                    self._report(line, lone[key])
                else:
                    lone[key] = line
                    (stated[index, f"line {pair.line}"] if says else flat).append(line)
        return list(stated.values()), flat

    def _new(self, group: _Fact, existing: Existing) -> _Fact:
        """What of a fact is new, with a report of each line that is not."""
        known = (existing[key] for _, pair in group.lines if (key := (pair.question, pair.answer)) in existing)
        fact_id = next((facts[0] for facts in known), None)
        seen: dict[tuple[str, str], Line] = {}
        for line in _seed_first(group.lines):
            key = line[1].question, line[1].answer
            holding = existing.get(key, ())
            if fact_id in holding or (holding and not (group.stated and line[1].fact)):
                self._report(line, None)
            elif key in seen:
                self._report(line, seen[key])
            else:
                seen[key] = line
        return _Fact(list(seen.values()), stated=group.stated, origin=group.origin, fact_id=fact_id)

    def _report(self, line: Line, first: Line | None) -> None:
        index, pair = line
        if first is None:
            error = DatasetError("dataset.error_double_in_dataset")
        elif first[0] == index:
            error = DatasetError("dataset.error_double_in_file", first=first[1].line)
        else:
            error = DatasetError(
                "files.error_double_in_other_file", file=self.files[first[0]].file, first=first[1].line
            )
        self.doubles.append(RejectedLine.because(pair.line, error, self.files[index].file))


def existing_pairs(db: sqlite3.Connection, dataset_id: int) -> Existing:
    """Which facts hold each pair of a dataset."""
    existing: dict[tuple[str, str], list[int]] = defaultdict(list)
    rows = db.execute("SELECT question, answer, fact_id FROM example WHERE dataset_id = ?", (dataset_id,))
    for question, answer, fact_id in rows:
        existing[question, answer].append(fact_id)
    return existing


def insert(db: sqlite3.Connection, dataset_id: int, arranged: Arrangement, author: str) -> None:
    """Put everything that is new into the dataset as one edit."""
    if not arranged.imported:
        return
    names = [file.file for file in arranged.files]
    named = ", ".join(names[:NAMED_FILES]) + (" …" if len(names) > NAMED_FILES else "")
    edit = Edit(db, dataset_id, "dataset.undone_import", author=author, file=named, number=arranged.imported)
    new = [fact for fact in arranged.facts if fact.fact_id is None]
    examples = []
    for fact, fact_id in zip(new, edit.add_facts([fact.new() for fact in new]), strict=True):
        examples.append(_example(fact_id, fact.lines[0][1], "seed"))
        examples += [_example(fact_id, pair) for _, pair in fact.lines[1:]]
    for fact in arranged.facts:
        if fact.fact_id is not None:
            examples += [_example(fact.fact_id, pair) for _, pair in fact.lines]
    edit.add_examples(examples)


def _groups(pairs: Sequence[Pair], facts: Facts) -> list[Group]:
    if facts == "recover":
        return propose(pairs)
    if facts == "rows":
        return [Group((at,)) for at in range(len(pairs))]
    return blocks(pairs, facts)


def _proposed(flat: Sequence[Line], group: Group) -> _Fact:
    """A fact with the reasons why its lines are one, those told so that are asked the other way about."""
    lines = [
        (flat[at][0], flat[at][1]._replace(kind="reverse")) if at in group.reverse else flat[at] for at in group.members
    ]
    origin = json.dumps([asdict(reason) for reason in group.reasons], ensure_ascii=False) if group.reasons else ""
    return _Fact(lines, stated=False, origin=origin)


def _place(line: Line) -> tuple[int, int]:
    return line[0], line[1].line


def _seed_first(lines: list[Line]) -> list[Line]:
    """The lines with the seed moved to the front: the line that says so, else the first that is not reversed."""
    for wanted in (("seed",), ("", "paraphrase")):
        for at, (_, pair) in enumerate(lines):
            if pair.kind in wanted:
                return [lines[at], *lines[:at], *lines[at + 1 :]]
    return lines


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
        flags=pair.flags,
    )
