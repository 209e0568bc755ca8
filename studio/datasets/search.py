"""Reads examples and facts out of the tables: pages, search and counts; it must not change anything."""

import json
import sqlite3
from collections.abc import Iterator

from studio.datasets.filters import Filter, Sort, condition_of
from studio.datasets.model import Counts, Example, Facets, Fact, Page
from studio.datasets.text import is_short_answer
from studio.datasets.text_index import Condition, is_everywhere
from studio.errors import DatasetError
from training.contract import ExampleKind

LARGEST_PAGE = 100
# More cannot be chosen from; the search finds the facts of the others.
MOST_TAGS = 300
# How many examples are read to count what a search finds everywhere.
MOST_READ = 150_000
# An id from a browser may be larger than SQLite's integers.
LARGEST_ID = 2**63 - 1

EXAMPLE_COLUMNS = tuple(Example.model_fields)
# Each order with its reverse.
ORDERS: dict[Sort, tuple[str, str]] = {
    "fact": ("fact_id, id", "fact_id DESC, id DESC"),
    "newest": ("updated_at DESC, id DESC", "updated_at, id"),
    "longest": ("length(answer) DESC, id DESC", "length(answer), id"),
    "shortest": ("length(answer), id", "length(answer) DESC, id DESC"),
}
_SELECT_EXAMPLE = f"SELECT {', '.join(EXAMPLE_COLUMNS)} FROM example"


def page_of(db: sqlite3.Connection, dataset_id: int, filter: Filter, number: int, size: int) -> Page:
    """The page `number` of the examples that a filter lets through; out of range takes the nearest page."""
    size = max(1, min(size, LARGEST_PAGE))
    everywhere = is_everywhere(db, filter.search)
    condition = condition_of(db, dataset_id, filter, scan=everywhere)
    total, more = _count_read(db, dataset_id, condition) if everywhere else (_count(db, condition), False)
    pages = max(1, -(-total // size))
    number = max(1, min(number, pages))
    start, end = (number - 1) * size, min(number * size, total)
    ids = _ids(db, condition, filter.sort, range(start, end), behind=None if more else total - end)
    marks = ", ".join("?" * len(ids))
    found = {row[0]: _example(row) for row in db.execute(f"{_SELECT_EXAMPLE} WHERE id IN ({marks})", ids)}
    examples = [found[key] for key in ids if key in found]
    return Page(examples=examples, total=total, more=more, number=number, pages=pages)


def _ids(db: sqlite3.Connection, condition: Condition, sort: Sort, places: range, behind: int | None) -> list[int]:
    """The ids at some places, counted from the nearer end where it is known how many are behind them."""
    (where, values), (order, backward) = condition, ORDERS[sort]
    from_behind = behind is not None and behind < places.start
    query = f"SELECT id FROM example WHERE {where} ORDER BY {backward if from_behind else order} LIMIT ? OFFSET ?"
    skipped = behind if from_behind else places.start
    ids = [example_id for (example_id,) in db.execute(query, (*values, len(places), skipped))]
    return ids[::-1] if from_behind else ids


def _count(db: sqlite3.Connection, condition: Condition) -> int:
    number: int = db.execute(f"SELECT count(*) FROM example WHERE {condition[0]}", condition[1]).fetchone()[0]
    return number


def _count_read(db: sqlite3.Connection, dataset_id: int, condition: Condition) -> tuple[int, bool]:
    """How many examples a condition holds for among the first that are read, and whether others were left unread."""
    where, values = condition
    beyond = db.execute(
        "SELECT fact_id FROM example WHERE dataset_id = ? ORDER BY fact_id, id LIMIT 1 OFFSET ?",
        (dataset_id, MOST_READ),
    ).fetchone()
    if beyond:
        number = _count(db, (f"{where} AND fact_id < ?", [*values, beyond[0]]))
        if number >= LARGEST_PAGE:
            return number, True
    return _count(db, condition), False


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


def facets_of(db: sqlite3.Connection, dataset_id: int) -> Facets:
    """The tags that most facts have, every generator, and what the last checks and the gates found."""

    def column(query: str) -> tuple[str, ...]:
        return tuple(value for (value,) in db.execute(query, (dataset_id,)))

    found = column("SELECT DISTINCT code FROM finding WHERE dataset_id = ?")
    flagged = column("SELECT DISTINCT value FROM example, json_each(flags) WHERE dataset_id = ? AND flags != '[]'")
    return Facets(
        tags=column(
            "SELECT value FROM fact, json_each(tags) WHERE dataset_id = ?"
            f" GROUP BY value ORDER BY count(*) DESC, value LIMIT {MOST_TAGS}"
        ),
        generators=column("SELECT DISTINCT generator FROM example WHERE dataset_id = ?"),
        checks=tuple(dict.fromkeys(found + flagged)),
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
