"""The edit log: every change of a dataset is made here, with what is needed to take it back; it must not know pages.

An edit is one undoable step of one person. A deleted fact or example leaves its image in it, a changed one the image
of what changed, so undo puts back the very ids, texts and times that were there.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, groupby, islice
from typing import Literal, NamedTuple

from studio.datasets.model import Undone
from studio.datasets.text import fold
from studio.datasets.text_index import Condition
from studio.errors import DatasetError

Entity = Literal["fact", "example", "document", "question", "known_fact"]
Value = str | int | None

COLUMNS: dict[Entity, tuple[str, ...]] = {
    "fact": ("id", "dataset_id", "subject", "spellings", "tags", "key_terms", "short_answer", "origin"),
    "example": (
        "id",
        "dataset_id",
        "fact_id",
        "kind",
        "answer_style",
        "status",
        "question",
        "answer",
        "generator",
        "prompt_version",
        "flags",
        "created_at",
        "updated_at",
        "folded_question",
        "folded_answer",
    ),
    # All that is ever changed of an article: whether it is left out.
    "document": ("id", "excluded"),
    # What goes with a deleted fact: the test questions that are linked to it, and what a base knew of it.
    "question": ("id", "fact_id"),
    "known_fact": ("fact_id", "base_model", "known", "answer", "asked_at"),
}
# Thousands of ids at a time.
CHUNK = 10_000
# SQLite binds no more.
VALUES_A_STATEMENT = 32_766


class NewFact(NamedTuple):
    """A fact to be inserted; lists are JSON, short_answer is None until a person decides."""

    subject: str = ""
    spellings: str = "[]"
    tags: str = "[]"
    key_terms: str = "[]"
    short_answer: int | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class NewExample:
    """An example to be inserted; its times and folded texts are made on the way in."""

    fact_id: int
    kind: str
    answer_style: str
    status: str
    question: str
    answer: str
    generator: str = ""
    prompt_version: str = ""
    flags: str = "[]"


class Edit:
    """One undoable step, inside a transaction that the caller holds."""

    def __init__(
        self, db: sqlite3.Connection, dataset_id: int, sentence: str, *, author: str = "", **details: str | int
    ) -> None:
        """`sentence` is a key dataset.undone_<what>; the history says dataset.done_<what> with the same details."""
        self.db = db
        self.dataset_id = dataset_id
        # Finer than a second: the time of an example's last change tells two edits of it apart.
        self.made_at = datetime.now(UTC).isoformat()
        self.edit_id = db.execute(
            "INSERT INTO edit (dataset_id, author, sentence, details, made_at) VALUES (?, ?, ?, ?, ?)",
            (dataset_id, author.strip(), sentence, json.dumps(details, ensure_ascii=False), self.made_at),
        ).lastrowid

    def add_facts(self, facts: Sequence[NewFact]) -> range:
        """Insert new facts in the order given, and give their ids."""
        first = self._next_id("fact")
        rows = ((first + at, self.dataset_id, *fact) for at, fact in enumerate(facts))
        insert(self.db, "fact", COLUMNS["fact"], rows)
        return self._log_created("fact", range(first, first + len(facts)))

    def add_examples(self, examples: Sequence[NewExample]) -> range:
        """Insert new examples in the order given, and give their ids."""
        first = self._next_id("example")
        rows = (self._row(first + at, example) for at, example in enumerate(examples))
        insert(self.db, "example", COLUMNS["example"], rows)
        return self._log_created("example", range(first, first + len(examples)))

    def change_example(self, example_id: int, **values: str | int) -> None:
        """Set columns of one example; a changed text is folded anew and gives the example a new time."""
        for column in ("question", "answer"):
            if column in values:
                values[f"folded_{column}"] = fold(str(values[column]))
                values["updated_at"] = self.made_at
        self._change("example", example_id, values)

    def change_fact(self, fact_id: int, **values: Value) -> None:
        """Set columns of one fact."""
        self._change("fact", fact_id, values)

    def change_document(self, document_id: int, excluded: str) -> None:
        """Set why an article is left out; empty puts it back in."""
        self._change("document", document_id, {"excluded": excluded})

    def log_documents(self, ids: Iterable[int]) -> None:
        """Note articles that were inserted before, so that undo takes them out again."""
        self._log("document", ((key, None, None) for key in ids))

    def change_all(self, entity: Entity, column: str, new: tuple[str, Value], of: Condition) -> int:
        """Set a column of all that a condition names to an SQL expression with one value; return how many those are."""
        (expression, value), (where, values) = new, of
        self.db.execute(
            "INSERT INTO edit_change (edit_id, entity, entity_id, before, after)"
            f" SELECT ?, ?, id, json_object('id', id, '{column}', {column}),"
            f" json_object('id', id, '{column}', {expression}) FROM {entity} WHERE {where} ORDER BY id",
            (self.edit_id, entity, value, *values),
        )
        return self.db.execute(
            f"UPDATE {entity} SET {column} = {expression}"
            " WHERE id IN (SELECT entity_id FROM edit_change WHERE edit_id = ? AND entity = ?)",
            (value, self.edit_id, entity),
        ).rowcount

    def delete_examples(self, of: Condition) -> int:
        """Delete the examples that a condition names, and return how many there were."""
        return self._delete("example", of)

    def delete_facts(self, ids: Iterable[int]) -> int:
        """Delete facts whose examples are deleted or moved already."""
        wanted = json.dumps(list(ids))
        self._log_what_goes_with(wanted)
        return self._delete("fact", ("id IN (SELECT value FROM json_each(?))", [wanted]))

    def _change(self, entity: Entity, key: int, values: Mapping[str, Value]) -> None:
        row = self.db.execute(f"SELECT id, {', '.join(values)} FROM {entity} WHERE id = ?", (key,)).fetchone()
        before = dict(zip(("id", *values), row, strict=True))
        after = {"id": key, **values}
        if before != after:
            self.db.executemany(_update(entity, tuple(values)), [(*values.values(), key)])
            self._log(entity, [(key, _json(before), _json(after))])

    def _log_what_goes_with(self, fact_ids: str) -> None:
        """Note what the database lets go by itself when facts go. Undone after them, since undo goes backwards."""
        of_facts = "fact_id IN (SELECT value FROM json_each(?))"
        self.db.execute(
            "INSERT INTO edit_change (edit_id, entity, entity_id, before, after)"
            " SELECT ?, 'question', id, json_object('id', id, 'fact_id', fact_id), json_object('id', id)"
            f" FROM question WHERE {of_facts}",
            (self.edit_id, fact_ids),
        )
        self.db.execute(
            "INSERT INTO edit_change (edit_id, entity, entity_id, before)"
            f" SELECT ?, 'known_fact', fact_id, json_object({_image('known_fact')}) FROM known_fact WHERE {of_facts}",
            (self.edit_id, fact_ids),
        )

    def _delete(self, entity: Entity, of: Condition) -> int:
        where, values = of
        self.db.execute(
            "INSERT INTO edit_change (edit_id, entity, entity_id, before)"
            f" SELECT ?, ?, id, json_object({_image(entity)}) FROM {entity} WHERE {where} ORDER BY id",
            (self.edit_id, entity, *values),
        )
        return self.db.execute(
            f"DELETE FROM {entity} WHERE id IN (SELECT entity_id FROM edit_change"
            " WHERE edit_id = ? AND entity = ? AND before NOTNULL AND after IS NULL)",
            (self.edit_id, entity),
        ).rowcount

    def _row(self, example_id: int, example: NewExample) -> tuple[Value, ...]:
        return (
            example_id,
            self.dataset_id,
            example.fact_id,
            example.kind,
            example.answer_style,
            example.status,
            example.question,
            example.answer,
            example.generator,
            example.prompt_version,
            example.flags,
            self.made_at,
            self.made_at,
            fold(example.question),
            fold(example.answer),
        )

    def _next_id(self, entity: Entity) -> int:
        """The next id of a table; AUTOINCREMENT never gives out a deleted one again, which undo relies on."""
        found = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (entity,)).fetchone()
        return found[0] + 1 if found else 1

    def _log_created(self, entity: Entity, ids: range) -> range:
        self._log(entity, [(key, None, None) for key in ids])
        return ids

    def _log(self, entity: Entity, changes: Iterable[tuple[int, str | None, str | None]]) -> None:
        self.db.executemany(
            "INSERT INTO edit_change (edit_id, entity, entity_id, before, after) VALUES (?, ?, ?, ?, ?)",
            ((self.edit_id, entity, *change) for change in changes),
        )


class _Change(NamedTuple):
    """What one edit did to one fact or example: created without `before`, deleted if so."""

    entity: Entity
    key: int
    before: dict[str, Value]
    deleted: bool

    @property
    def shape(self) -> tuple[Entity, tuple[str, ...], bool]:
        """Changes of one shape are taken back together; columns newer than an image keep their defaults."""
        return self.entity, tuple(self.before), self.deleted


def undo_last(db: sqlite3.Connection, dataset_id: int, author: str) -> Undone:
    """Take back a person's newest edit of a dataset that is not undone yet.

    Raises:
        DatasetError: there is none, or somebody has changed since what it changed.
    """
    found = db.execute(
        "SELECT id, sentence, details FROM edit WHERE dataset_id = ? AND author = ? AND undone_at IS NULL"
        " ORDER BY id DESC LIMIT 1",
        (dataset_id, author.strip()),
    ).fetchone()
    if found is None:
        raise DatasetError("dataset.error_nothing_to_undo")
    edit_id, sentence, details = found
    _require_unchanged_since(db, edit_id)
    try:
        _take_back(db, edit_id)
    except sqlite3.IntegrityError as error:
        # Somebody's example is of a fact that would go, or of one that is gone.
        raise DatasetError("dataset.error_undo_in_use") from error
    db.execute("UPDATE edit SET undone_at = ? WHERE id = ?", (datetime.now(UTC).isoformat(), edit_id))
    return Undone(key=sentence, values=json.loads(details))


def _require_unchanged_since(db: sqlite3.Connection, edit_id: int) -> None:
    found = db.execute(
        "SELECT later.author, later.made_at FROM edit_change AS mine"
        " JOIN edit_change AS theirs ON theirs.entity_id = mine.entity_id AND theirs.entity = mine.entity"
        " JOIN edit AS later ON later.id = theirs.edit_id"
        " WHERE mine.edit_id = ? AND theirs.edit_id > mine.edit_id AND later.undone_at IS NULL LIMIT 1",
        (edit_id,),
    ).fetchone()
    if found is not None:
        raise DatasetError("dataset.error_undo_changed", author=found[0] or "–", time=found[1][:16].replace("T", " "))


def _take_back(db: sqlite3.Connection, edit_id: int) -> None:
    """Undo the changes of an edit from the last to the first, so that every step meets what it left behind."""
    last = None
    while rows := _rows_before(db, edit_id, last):
        last = rows[-1][0]
        changes = [
            _Change(entity, key, json.loads(before or "{}"), bool(deleted)) for _, entity, key, before, deleted in rows
        ]
        for (entity, columns, deleted), run in groupby(changes, key=lambda change: change.shape):
            same = list(run)
            if not columns:
                delete(db, entity, [change.key for change in same])
            elif deleted:  # ascending, as FTS5 likes to get its texts
                insert(db, entity, columns, [tuple(change.before.values()) for change in reversed(same)])
            else:
                _set_back(db, entity, same)


def _set_back(db: sqlite3.Connection, entity: Entity, changes: Sequence[_Change]) -> None:
    """Give changed columns their earlier values, all that get the same ones in one statement."""
    alike: dict[tuple[Value, ...], list[int]] = {}
    for key, before in {change.key: change.before for change in changes}.items():
        alike.setdefault(tuple(before.values())[1:], []).append(key)
    columns = tuple(changes[0].before)[1:]
    assignments = ", ".join(f"{column} = ?" for column in columns)
    where = "id IN (SELECT value FROM json_each(?))"
    if entity == "question":
        where += " AND fact_id IS NULL"  # somebody may have linked it to another fact meanwhile
    for values, keys in alike.items():
        db.execute(f"UPDATE {entity} SET {assignments} WHERE {where}", (*values, json.dumps(keys)))


def _rows_before(db: sqlite3.Connection, edit_id: int, last: int | None) -> list[tuple[int, Entity, int, str, int]]:
    return db.execute(
        "SELECT id, entity, entity_id, before, after IS NULL FROM edit_change"
        " WHERE edit_id = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
        (edit_id, last, last, CHUNK),
    ).fetchall()


def _image(entity: Entity) -> str:
    return ", ".join(f"'{column}', {column}" for column in COLUMNS[entity])


def _update(entity: Entity, columns: Sequence[str]) -> str:
    return f"UPDATE {entity} SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"


def insert(db: sqlite3.Connection, entity: Entity, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Insert many rows a statement: after each, FTS5 writes what it has gathered, which takes five times as long."""
    waiting, listed = iter(rows), ", ".join(columns)
    while chunk := list(islice(waiting, VALUES_A_STATEMENT // len(columns))):
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(chunk))
        db.execute(f"INSERT INTO {entity} ({listed}) VALUES {marks}", list(chain.from_iterable(chunk)))


def delete(db: sqlite3.Connection, entity: Entity, ids: Sequence[int]) -> None:
    """Delete rows by their ids, in one statement for the same reason."""
    db.execute(f"DELETE FROM {entity} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))


def _json(image: Mapping[str, Value]) -> str:
    return json.dumps(image, ensure_ascii=False)
