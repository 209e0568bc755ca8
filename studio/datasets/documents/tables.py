"""Reads and writes the tables of articles inside a connection that the caller holds; it must not know files or jobs."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from studio.datasets.documents.model import (
    Document,
    DocumentCounts,
    DocumentFilter,
    DocumentPage,
    DocumentText,
    Selected,
    Selection,
)
from studio.datasets.edits import Edit
from studio.datasets.search import LARGEST_ID, LARGEST_PAGE
from studio.datasets.text import fold
from studio.errors import DatasetError
from training.contract import now

# So many titles show what a selection keeps.
EXAMPLES = 8
# What stands in `excluded` of articles whose import has not ended: nobody sees them yet.
IMPORTING = "importing"


@dataclass(frozen=True, slots=True)
class NewDocument:
    """An article to be inserted; `original` is empty where cleaning changed nothing."""

    title: str
    path: str
    text: str
    original: str
    sha256: str


_COLUMNS = "id, title, path, characters, excluded, cleaned"
_STATES = {
    "all": f"excluded != '{IMPORTING}'",
    "included": "excluded = ''",
    "excluded": f"excluded NOT IN ('', '{IMPORTING}')",
    "cleaned": f"cleaned AND excluded != '{IMPORTING}'",
}
_ORDERS = {"added": "id", "longest": "characters DESC, id", "shortest": "characters, id"}


def counts_of(db: sqlite3.Connection, dataset_id: int) -> DocumentCounts:
    """How many articles a dataset holds."""
    groups = db.execute(
        "SELECT CASE instr(excluded, ':') WHEN 0 THEN excluded ELSE substr(excluded, 1, instr(excluded, ':') - 1) END,"
        " count(*), sum(characters), sum(cleaned) FROM document WHERE dataset_id = ? GROUP BY 1",
        (dataset_id,),
    ).fetchall()
    shown = [group for group in groups if group[0] != IMPORTING]
    included = [group for group in shown if not group[0]]
    return DocumentCounts(
        documents=sum(number for _, number, _, _ in shown),
        included=sum(number for _, number, _, _ in included),
        cleaned=sum(cleaned for _, _, _, cleaned in shown),
        characters=sum(characters for _, _, characters, _ in included),
        excluded={code: number for code, number, _, _ in shown if code},
    )


def page_of(db: sqlite3.Connection, dataset_id: int, filter: DocumentFilter, number: int, size: int) -> DocumentPage:
    """The page `number` of the articles that a filter names; out of range takes the nearest page."""
    size = max(1, min(size, LARGEST_PAGE))
    where = f"dataset_id = ? AND {_STATES[filter.state]}"
    wanted = fold(filter.search.strip())
    # Titles are short: folding 18,000 of them takes less time than an index would to be kept.
    rows = db.execute(f"SELECT id, title FROM document WHERE {where} ORDER BY {_ORDERS[filter.order]}", (dataset_id,))
    ids = [key for key, title in rows if not wanted or wanted in fold(title)]
    pages = max(1, -(-len(ids) // size))
    number = max(1, min(number, pages))
    shown = ids[(number - 1) * size : number * size]
    found = {document.id: document for document in _documents(db, shown)}
    return DocumentPage(documents=[found[key] for key in shown], total=len(ids), number=number, pages=pages)


def documents_of(db: sqlite3.Connection, dataset_id: int, ids: Sequence[int]) -> list[Document]:
    """Those of the articles that are in the dataset, in ascending order of id."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM document WHERE dataset_id = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (dataset_id, json.dumps([key for key in ids if abs(key) <= LARGEST_ID])),
    )
    return [_document(row) for row in rows]


def _documents(db: sqlite3.Connection, ids: Sequence[int]) -> Iterator[Document]:
    query = f"SELECT {_COLUMNS} FROM document WHERE id IN (SELECT value FROM json_each(?))"
    return map(_document, db.execute(query, (json.dumps(ids),)))


def _document(row: tuple[object, ...]) -> Document:
    return Document.model_validate(dict(zip(_COLUMNS.split(", "), row, strict=True)))


def text_of(db: sqlite3.Connection, dataset_id: int, document_id: int) -> DocumentText:
    """One article with its text.

    Raises:
        DatasetError: the dataset does not hold it.
    """
    found = documents_of(db, dataset_id, [document_id])
    if not found:
        raise DatasetError("documents.error_unknown", document=document_id)
    query = "SELECT text, original FROM document_text WHERE document_id = ?"
    text, original = db.execute(query, (document_id,)).fetchone()
    return DocumentText(**found[0].model_dump(), text=text, original=original or text)


def included_texts(db: sqlite3.Connection, dataset_id: int) -> Iterator[tuple[int, str, str]]:
    """Id, title and text of every included article, in the order in which they came in."""
    return db.execute(
        "SELECT document.id, title, text FROM document JOIN document_text ON document_id = document.id"
        " WHERE dataset_id = ? AND excluded = '' ORDER BY document.id",
        (dataset_id,),
    )


def select(db: sqlite3.Connection, dataset_id: int, selection: Selection) -> Selected:
    """Which included articles a selection leaves out; width and case of its words do not matter."""
    words = [folded for word in selection.words if (folded := fold(word.strip()))]
    if not words:
        raise DatasetError("documents.error_no_words")
    left_out: list[int] = []
    remaining: list[str] = []
    for key, title, text in _searched(db, dataset_id, selection):
        holds = _times(fold(f"{title}\n{text}"), words) >= selection.times
        if holds != (selection.action == "keep"):
            left_out.append(key)
        else:
            remaining.append(title)
    examples = tuple(dict.fromkeys(remaining))[:EXAMPLES]
    return Selected(ids=tuple(left_out), remaining=len(remaining), examples=examples)


def _searched(db: sqlite3.Connection, dataset_id: int, selection: Selection) -> Iterator[tuple[int, str, str]]:
    if selection.where == "title":
        rows = db.execute(
            "SELECT id, title FROM document WHERE dataset_id = ? AND excluded = '' ORDER BY id", (dataset_id,)
        )
        return ((key, title, "") for key, title in rows)
    return included_texts(db, dataset_id)


def _times(text: str, words: Sequence[str]) -> int:
    # A place is counted once, also where one word is part of another. No text holds NUL.
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "\0")
    return text.count("\0")


def leave_out(edit: Edit, ids: Sequence[int], excluded: str) -> int:
    """Leave included articles out for one reason, and return how many those were."""
    condition = "dataset_id = ? AND excluded = '' AND id IN (SELECT value FROM json_each(?))"
    values: list[str | int] = [edit.dataset_id, json.dumps(ids)]
    return edit.change_all("document", "excluded", ("?", excluded), (condition, values))


def insert(db: sqlite3.Connection, dataset_id: int, articles: Iterable[NewDocument]) -> list[int]:
    """Insert articles that stay hidden until `excluded` is set, and return their ids."""
    ids, at = [], now().isoformat()
    for new in articles:
        row = (dataset_id, new.title, new.path, len(new.text), new.sha256, IMPORTING, bool(new.original), at)
        cursor = db.execute(
            "INSERT INTO document (dataset_id, title, path, characters, sha256, excluded, cleaned, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        assert cursor.lastrowid is not None
        ids.append(cursor.lastrowid)
        db.execute("INSERT INTO document_text VALUES (?, ?, ?)", (ids[-1], new.text, new.original))
    return ids


def forget_unfinished(db: sqlite3.Connection, dataset_id: int) -> None:
    """Remove what an import that did not end brought in."""
    db.execute("DELETE FROM document WHERE dataset_id = ? AND excluded = ?", (dataset_id, IMPORTING))


def delete_all(db: sqlite3.Connection, dataset_id: int) -> int:
    """Remove every article of a dataset and return how many there were; this is not undoable."""
    # Without its articles an edit does nothing: the next undo must not take it for the last one.
    db.execute(
        "UPDATE edit SET undone_at = ? WHERE dataset_id = ? AND undone_at IS NULL AND"
        " EXISTS (SELECT 1 FROM edit_change WHERE edit_id = edit.id AND entity = 'document')",
        (now().isoformat(), dataset_id),
    )
    return db.execute("DELETE FROM document WHERE dataset_id = ?", (dataset_id,)).rowcount
