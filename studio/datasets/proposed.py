"""The facts that were proposed for a flat file: why each is one, what a person says to it; it must not know pages.

`fact.origin` is the list of reasons as JSON while nobody has confirmed the fact, and an object with the same list and
the person's name afterwards. Merging and splitting by hand are `Datasets`' own.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal, NamedTuple

from pydantic import Field

from studio.datasets.catalog import Datasets
from studio.datasets.edits import Edit, Value
from studio.datasets.model import Example, Fact
from studio.datasets.proposals import Proposal, propose_fields, works_of
from studio.datasets.recovery import Group, propose
from studio.datasets.search import examples_of_fact, facts_of, require_fact
from studio.datasets.text import fold
from training.contract import Frozen

Shown = Literal["proposed", "confirmed", "all"]
LARGEST_PAGE = 50
# A fact's sheet shows so many examples; a fact merged from thousands of lines must not fill a page.
MOST_EXAMPLES = 40
PROPOSED, CONFIRMED = "origin LIKE '[%'", "origin LIKE '{%'"
CONDITIONS: dict[Shown, str] = {"proposed": PROPOSED, "confirmed": CONFIRMED, "all": "1"}
# A fact of fewer lines than the others likely lacks some, or is two lines that only look alike.
_SMALLEST = "(SELECT count(*) FROM example WHERE fact_id = fact.id), id"
ORDERS: dict[Shown, str] = {"proposed": _SMALLEST, "confirmed": "id", "all": "id"}


class Why(Frozen):
    """One reason for a proposed fact: a code of recovery, what the pairs share, and how many it joined."""

    code: str
    text: str
    count: int


class FactSheet(Frozen):
    """A fact with its examples; `confirmed_by` is None while it is only proposed or was never proposed."""

    fact: Fact
    reasons: tuple[Why, ...]
    confirmed_by: str | None
    forward: int
    reverse: int
    examples: tuple[Example, ...] = Field(description="The seed first; at most MOST_EXAMPLES of them.")


class FactPage(Frozen):
    """Facts in the order of creation, proposed ones the smallest first; `number` is the page really shown, from 1."""

    sheets: list[FactSheet]
    total: int
    number: int
    pages: int


class Overview(Frozen):
    """How a dataset's facts came about, and what nobody has said of them."""

    facts: int
    proposed: int
    confirmed: int
    alone: int = Field(description="Facts with one example only.")
    unsaid: int = Field(description="Facts without a subject or without key terms.")


class ProposedFacts:
    """What a person does with proposed facts; every change is one undoable edit."""

    def __init__(self, datasets: Datasets) -> None:
        self.datasets = datasets
        self.store = datasets.store

    def overview(self, name: str) -> Overview:
        """The counts of a dataset's facts."""
        db, dataset_id = self.store.read(), self.datasets.require(name)
        facts, proposed, confirmed, unsaid = db.execute(
            f"SELECT count(*), total({PROPOSED}), total({CONFIRMED}), total(subject = '' OR key_terms = '[]')"
            " FROM fact WHERE dataset_id = ?",
            (dataset_id,),
        ).fetchone()
        alone = db.execute(f"SELECT count(*) FROM ({_ALONE})", (dataset_id,)).fetchone()[0]
        return Overview(facts=facts, proposed=proposed, confirmed=confirmed, alone=alone, unsaid=unsaid)

    def page(
        self, name: str, *, shown: Shown = "proposed", search: str = "", number: int = 1, size: int = 10
    ) -> FactPage:
        """Facts whose seed question or answer holds `search`; a number out of range takes the nearest page."""
        db, dataset_id = self.store.read(), self.datasets.require(name)
        where = f"fact.dataset_id = ? AND {CONDITIONS[shown]}"
        values: list[str | int] = [dataset_id]
        if wanted := fold(search.strip()):
            where += (
                " AND EXISTS (SELECT 1 FROM example WHERE fact_id = fact.id AND kind = 'seed'"
                " AND (instr(folded_question, ?) OR instr(folded_answer, ?)))"
            )
            values += [wanted, wanted]
        size = max(1, min(size, LARGEST_PAGE))
        total: int = db.execute(f"SELECT count(*) FROM fact WHERE {where}", values).fetchone()[0]
        pages = max(1, -(-total // size))
        number = max(1, min(number, pages))
        rows = db.execute(
            f"SELECT id, origin FROM fact WHERE {where} ORDER BY {ORDERS[shown]} LIMIT ? OFFSET ?",
            (*values, size, (number - 1) * size),
        )
        sheets = [_sheet(db, fact_id, origin) for fact_id, origin in rows.fetchall()]
        return FactPage(sheets=sheets, total=total, number=number, pages=pages)

    def confirm(self, name: str, fact_ids: Sequence[int] | None = None, author: str = "") -> int:
        """Agree with proposed facts, with all that are left for None; return how many that were."""
        with self.store.write() as db:
            dataset_id = self.datasets.require(name)
            rows = db.execute(f"SELECT id, origin FROM fact WHERE dataset_id = ? AND {PROPOSED}", (dataset_id,))
            wanted = None if fact_ids is None else set(fact_ids)
            open_facts = [row for row in rows.fetchall() if wanted is None or row[0] in wanted]
            if open_facts:
                edit = Edit(db, dataset_id, "facts.undone_confirm", author=author, number=len(open_facts))
                for fact_id, origin in open_facts:
                    edit.change_fact(fact_id, origin=_confirmed(origin, author))
            return len(open_facts)

    def recover(self, name: str, author: str = "") -> int:
        """Put facts of one example together where they share what one fact shares; return how many became part."""
        dataset_id = self.datasets.require(name)
        alone = [_Alone(*row) for row in self.store.read().execute(_ALONE, (dataset_id,))]
        groups = [group for group in propose(alone) if len(group.members) > 1]
        with self.store.write() as db:
            # Proposing takes seconds, in which somebody may have changed one of them.
            still = {_Alone(*row) for row in db.execute(_ALONE, (dataset_id,))}
            groups = [group for group in groups if still.issuperset(alone[at] for at in group.members)]
            joined = sum(len(group.members) - 1 for group in groups)
            if groups:
                edit = Edit(db, dataset_id, "facts.undone_recover", author=author, number=joined, facts=len(groups))
                for group in groups:
                    _put_together(edit, group, alone)
                edit.delete_facts(alone[at].fact_id for group in groups for at in group.members[1:])
            return joined

    def fill(self, name: str, author: str = "") -> int:
        """Write what the rules read of each fact where nobody has said it; return how many facts that were."""
        return self.write(name, _read_by_rules(self.store.read(), self.datasets.require(name)), author)

    def write(self, name: str, read: Sequence[tuple[Fact, Proposal]], author: str = "") -> int:
        """Write what was read of facts where nobody has said it; return how many facts that were.

        A fact that is not as it was read any more is left out.
        """
        dataset_id = self.datasets.require(name)
        with self.store.write() as db:
            still = {fact.id: fact for fact in facts_of(db, dataset_id)}
            undecided = {fact_id for (fact_id,) in db.execute(_UNDECIDED, (dataset_id,))}
            unchanged = [(fact, said) for fact, said in read if still.get(fact.id) == fact]
            new = {fact.id: gains(fact, said, undecided=fact.id in undecided) for fact, said in unchanged}
            gaining = {fact_id: values for fact_id, values in new.items() if values}
            if gaining:
                edit = Edit(db, dataset_id, "facts.undone_fill", author=author, number=len(gaining))
                for fact_id, values in gaining.items():
                    edit.change_fact(fact_id, **values)
            return len(gaining)


def gains(fact: Fact, read: Proposal, *, undecided: bool = False) -> dict[str, Value]:
    """The columns that a proposal fills of what nobody has said of the fact.

    `undecided` tells that its answer is short, or is none, by its looks alone.
    """
    new: dict[str, Value] = {
        column: json.dumps(getattr(read, column), ensure_ascii=False)
        for column in ("spellings", "tags", "key_terms")
        if getattr(read, column) and not getattr(fact, column)
    }
    if not fact.subject and read.subject:
        new["subject"] = read.subject
    elif fold(read.subject) != fold(fact.subject):
        new.pop("spellings", None)  # those of another subject than the one that a person gave
    if undecided and read.short_answer != fact.short_answer:
        new["short_answer"] = int(read.short_answer)
    return new


class _Alone(NamedTuple):
    """A fact of one example, as a pair that may belong to another's fact."""

    fact_id: int
    example_id: int
    question: str
    answer: str


_ALONE = (
    "SELECT fact_id, min(id), question, answer FROM example WHERE dataset_id = ? GROUP BY fact_id HAVING count(*) = 1"
)


def _put_together(edit: Edit, group: Group, alone: Sequence[_Alone]) -> None:
    """Move the pairs of a group into the fact of its seed."""
    kept = alone[group.members[0]].fact_id
    edit.change_fact(kept, origin=json.dumps([asdict(reason) for reason in group.reasons], ensure_ascii=False))
    for at in group.members[1:]:
        kind = "reverse" if at in group.reverse else "paraphrase"
        edit.change_example(alone[at].example_id, fact_id=kept, kind=kind)


def _sheet(db: sqlite3.Connection, fact_id: int, origin: str) -> FactSheet:
    said = json.loads(origin) if origin else []
    reasons, confirmed_by = (said["reasons"], said["confirmed_by"]) if isinstance(said, dict) else (said, None)
    examples = sorted(examples_of_fact(db, fact_id), key=lambda example: (example.kind != "seed", example.id))
    return FactSheet(
        fact=require_fact(db, fact_id),
        reasons=tuple(Why.model_validate(reason) for reason in reasons),
        confirmed_by=confirmed_by,
        forward=sum(example.kind != "reverse" for example in examples),
        reverse=sum(example.kind == "reverse" for example in examples),
        examples=tuple(examples[:MOST_EXAMPLES]),
    )


def _confirmed(origin: str, author: str) -> str:
    return json.dumps({"confirmed_by": author.strip(), "reasons": json.loads(origin)}, ensure_ascii=False)


_UNDECIDED = "SELECT id FROM fact WHERE dataset_id = ? AND short_answer IS NULL"


def _read_by_rules(db: sqlite3.Connection, dataset_id: int) -> list[tuple[Fact, Proposal]]:
    """What the rules read of each fact."""
    facts = list(facts_of(db, dataset_id))
    works = works_of(facts)
    texts: dict[int, list[str]] = defaultdict(list)
    rows = db.execute("SELECT fact_id, question, answer FROM example WHERE dataset_id = ? ORDER BY id", (dataset_id,))
    for fact_id, question, answer in rows:
        texts[fact_id] += [question, answer]
    return [(fact, propose_fields(fact, texts[fact.id], works)) for fact in facts]
