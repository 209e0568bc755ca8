"""Reads examples and facts out of the tables: pages, search and counts; it must not change anything."""

import json
import sqlite3
from collections.abc import Iterator

from studio.datasets.filters import Filter, Sort, condition_of
from studio.datasets.model import Counts, Example, Fact, Page
from studio.datasets.text import is_short_answer
from studio.errors import DatasetError

LARGEST_PAGE = 100
# An id from a browser may be larger than SQLite's integers.
LARGEST_ID = 2**63 - 1

EXAMPLE_COLUMNS = tuple(Example.model_fields)
ORDERS: dict[Sort, str] = {
    "fact": "fact_id, id",
    "newest": "updated_at DESC, id DESC",
    "question": "folded_question, id",
    "longest": "length(answer) DESC, id",
    "shortest": "length(answer), id",
}
_SELECT_EXAMPLE = f"SELECT {', '.join(EXAMPLE_COLUMNS)} FROM example"


def page_of(db: sqlite3.Connection, dataset_id: int, filter: Filter, number: int, size: int) -> Page:
    """The page `number` of the examples that a filter lets through; out of range takes the nearest page."""
    size = max(1, min(size, LARGEST_PAGE))
    condition, values = condition_of(dataset_id, filter)
    total: int = db.execute(f"SELECT count(*) FROM example WHERE {condition}", values).fetchone()[0]
    pages = max(1, -(-total // size))
    number = max(1, min(number, pages))
    rows = db.execute(
        f"{_SELECT_EXAMPLE} WHERE {condition} ORDER BY {ORDERS[filter.sort]} LIMIT ? OFFSET ?",
        (*values, size, (number - 1) * size),
    )
    return Page(examples=[_example(row) for row in rows], total=total, number=number, pages=pages)


def example_of(db: sqlite3.Connection, example_id: int) -> Example | None:
    """The example of an id, whichever dataset holds it."""
    if abs(example_id) > LARGEST_ID:
        return None
    row = db.execute(f"{_SELECT_EXAMPLE} WHERE id = ?", (example_id,)).fetchone()
    return _example(row) if row else None


def examples_of_fact(db: sqlite3.Connection, fact_id: int) -> list[Example]:
    """All examples of a fact, in the order of creation."""
    return [_example(row) for row in db.execute(f"{_SELECT_EXAMPLE} WHERE fact_id = ? ORDER BY id", (fact_id,))]


def require_example(db: sqlite3.Connection, example_id: int) -> Example:
    """The example of an id that exists."""
    found = example_of(db, example_id)
    if found is None:
        raise DatasetError("dataset.error_unknown_example", example=example_id)
    return found


def require_own_example(db: sqlite3.Connection, dataset_id: int, example_id: int) -> Example:
    """An example of this dataset."""
    found = require_example(db, example_id)
    owner, name = db.execute(
        "SELECT example.dataset_id, name FROM example, dataset WHERE example.id = ? AND dataset.id = ?",
        (example_id, dataset_id),
    ).fetchone()
    if owner != dataset_id:
        raise DatasetError("dataset.error_foreign_example", example=example_id, name=name)
    return found


def require_fact(db: sqlite3.Connection, fact_id: int, dataset_id: int | None = None) -> Fact:
    """A fact that exists, in this dataset where one is named."""
    found = next(_facts(db, "fact.id = ?", fact_id), None) if abs(fact_id) <= LARGEST_ID else None
    if found is None:
        raise DatasetError("dataset.error_unknown_fact", fact=fact_id)
    owner = db.execute("SELECT dataset_id FROM fact WHERE id = ?", (fact_id,)).fetchone()[0]
    if dataset_id not in (None, owner):
        raise DatasetError("dataset.error_unknown_fact", fact=fact_id)
    return found


def _example(row: tuple[str | int, ...]) -> Example:
    values: dict[str, object] = dict(zip(EXAMPLE_COLUMNS, row, strict=True))
    values["flags"] = json.loads(str(values["flags"]))
    return Example.model_validate(values)


def counts_of(db: sqlite3.Connection, dataset_id: int) -> Counts:
    """Facts and examples of a dataset, from indexes alone."""
    facts: int = db.execute("SELECT count(*) FROM fact WHERE dataset_id = ?", (dataset_id,)).fetchone()[0]
    groups = db.execute(
        "SELECT kind, status, count(*) FROM example WHERE dataset_id = ? GROUP BY kind, status", (dataset_id,)
    ).fetchall()
    by_kind = {"seed": 0, "paraphrase": 0, "reverse": 0}
    for kind, _, number in groups:
        by_kind[kind] += number
    pending = sum(number for _, status, number in groups if status == "pending")
    return Counts.model_validate(
        {"facts": facts, "examples": sum(by_kind.values()), "pending": pending, "by_kind": by_kind}
    )


def facts_of(db: sqlite3.Connection, dataset_id: int) -> Iterator[Fact]:
    """Every fact with its seed's question and answer, in the order of creation."""
    return _facts(db, "fact.dataset_id = ?", dataset_id)


def _facts(db: sqlite3.Connection, condition: str, value: int) -> Iterator[Fact]:
    rows = db.execute(
        "SELECT fact.id, question, answer, subject, spellings, tags, key_terms, short_answer"
        f" FROM fact JOIN example ON example.fact_id = fact.id AND kind = 'seed' WHERE {condition} ORDER BY fact.id",
        (value,),
    )
    for fact_id, question, answer, subject, spellings, tags, key_terms, short_answer in rows:
        yield Fact(
            id=fact_id,
            question=question,
            answer=answer,
            subject=subject,
            spellings=json.loads(spellings),
            tags=json.loads(tags),
            key_terms=json.loads(key_terms),
            short_answer=is_short_answer(answer) if short_answer is None else bool(short_answer),
        )
