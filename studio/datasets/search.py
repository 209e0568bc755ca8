"""Reads examples and facts out of the tables: pages, search and counts; it must not change anything."""

import json
import sqlite3
from collections.abc import Iterator

from studio.datasets.model import Counts, Example, Fact, Page
from studio.datasets.text import fold, is_short_answer, is_storable

LARGEST_PAGE = 100
# FTS5's trigrams know no shorter text: one and two characters are looked for by reading the base table.
SHORTEST_INDEXED = 3
# An id from a browser may be larger than SQLite's integers.
LARGEST_ID = 2**63 - 1

EXAMPLE_COLUMNS = tuple(Example.model_fields)
_SELECT_EXAMPLE = f"SELECT {', '.join(EXAMPLE_COLUMNS)} FROM example"


def page_of(db: sqlite3.Connection, dataset_id: int, search: str, number: int, size: int) -> Page:
    """The page `number` of the examples that hold `search`, by fact; out of range takes the nearest page."""
    size = max(1, min(size, LARGEST_PAGE))
    condition, values = _matching(dataset_id, search)
    total: int = db.execute(f"SELECT count(*) FROM example WHERE {condition}", values).fetchone()[0]
    pages = max(1, -(-total // size))
    number = max(1, min(number, pages))
    rows = db.execute(
        f"{_SELECT_EXAMPLE} WHERE {condition} ORDER BY fact_id, id LIMIT ? OFFSET ?",
        (*values, size, (number - 1) * size),
    )
    return Page(examples=[_example(row) for row in rows], total=total, number=number, pages=pages)


def _matching(dataset_id: int, search: str) -> tuple[str, tuple[str | int, ...]]:
    """A condition on `example` and its values: the folded search text is part of the folded question or answer."""
    wanted = fold(search.strip())
    if not wanted:
        return "dataset_id = ?", (dataset_id,)
    if not is_storable(wanted):
        return "0", ()
    if len(wanted) < SHORTEST_INDEXED:
        return "dataset_id = ? AND (instr(folded_question, ?) OR instr(folded_answer, ?))", (dataset_id, wanted, wanted)
    phrase = '"' + wanted.replace('"', '""') + '"'
    return "dataset_id = ? AND id IN (SELECT rowid FROM example_text WHERE example_text MATCH ?)", (dataset_id, phrase)


def example_of(db: sqlite3.Connection, example_id: int) -> Example | None:
    """The example of an id, whichever dataset holds it."""
    if abs(example_id) > LARGEST_ID:
        return None
    row = db.execute(f"{_SELECT_EXAMPLE} WHERE id = ?", (example_id,)).fetchone()
    return _example(row) if row else None


def dataset_of(db: sqlite3.Connection, example_id: int) -> int | None:
    """The id of the dataset that holds an example."""
    row = db.execute("SELECT dataset_id FROM example WHERE id = ?", (example_id,)).fetchone()
    return row[0] if row else None


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
    rows = db.execute(
        "SELECT fact.id, question, answer, subject, spellings, tags, key_terms, short_answer"
        " FROM fact JOIN example ON example.fact_id = fact.id AND kind = 'seed'"
        " WHERE fact.dataset_id = ? ORDER BY fact.id",
        (dataset_id,),
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
