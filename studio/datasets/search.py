"""Reads examples and facts out of the tables: pages, search and counts; it must not change anything."""

import json
import sqlite3
from collections.abc import Iterator

from studio.datasets.filters import Filter, Sort, condition_of
from studio.datasets.model import Counts, Example, Fact, Page
from studio.datasets.text import is_short_answer
from studio.datasets.text_index import is_everywhere
from studio.errors import DatasetError
from training.contract import ExampleKind

LARGEST_PAGE = 100
# How far a scan counts what a search finds everywhere.
COUNTED_BY_SCAN = 65_536
# An id from a browser may be larger than SQLite's integers.
LARGEST_ID = 2**63 - 1

EXAMPLE_COLUMNS = tuple(Example.model_fields)
ORDERS: dict[Sort, str] = {
    "fact": "fact_id, id",
    "newest": "updated_at DESC, id DESC",
    "longest": "length(answer) DESC, id DESC",
    "shortest": "length(answer), id",
}
_SELECT_EXAMPLE = f"SELECT {', '.join(EXAMPLE_COLUMNS)} FROM example"


def page_of(db: sqlite3.Connection, dataset_id: int, filter: Filter, number: int, size: int) -> Page:
    """The page `number` of the examples that a filter lets through; out of range takes the nearest page."""
    size = max(1, min(size, LARGEST_PAGE))
    everywhere = is_everywhere(db, filter.search)
    where, values = condition_of(db, dataset_id, filter, scan=everywhere)
    total = _count(db, where, values, COUNTED_BY_SCAN + 1 if everywhere else None)
    more = everywhere and total > COUNTED_BY_SCAN
    total -= more
    pages = max(1, -(-total // size))
    number = max(1, min(number, pages))
    query = f"SELECT id FROM example WHERE {where} ORDER BY {ORDERS[filter.sort]} LIMIT ? OFFSET ?"
    ids = [row[0] for row in db.execute(query, (*values, size, (number - 1) * size))][: total - (number - 1) * size]
    marks = ", ".join("?" * len(ids))
    found = {row[0]: _example(row) for row in db.execute(f"{_SELECT_EXAMPLE} WHERE id IN ({marks})", ids)}
    return Page(
        examples=[found[key] for key in ids if key in found], total=total, more=more, number=number, pages=pages
    )


def _count(db: sqlite3.Connection, where: str, values: list[str | int], most: int | None) -> int:
    query = f"SELECT count(*) FROM example WHERE {where}"
    if most is not None:
        query = f"SELECT count(*) FROM (SELECT 1 FROM example WHERE {where} LIMIT {most})"
    number: int = db.execute(query, values).fetchone()[0]
    return number


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
    seeds, paraphrases, reverses, pending = db.execute(
        "SELECT total(kind = 'seed'), total(kind = 'paraphrase'), total(kind = 'reverse'), total(status = 'pending')"
        " FROM example WHERE dataset_id = ?",
        (dataset_id,),
    ).fetchone()
    by_kind: dict[ExampleKind, int] = {"seed": int(seeds), "paraphrase": int(paraphrases), "reverse": int(reverses)}
    return Counts(facts=facts, examples=sum(by_kind.values()), pending=int(pending), by_kind=by_kind)


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
