"""The edit log: every change of a dataset is made here, with what is needed to take it back; it must not know pages.

An edit is one undoable step of one person. Deleted and changed facts and examples leave their image in it, so undo
puts back the very ids, texts and times that were there.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from studio.datasets.model import Undone
from studio.datasets.text import fold
from studio.errors import DatasetError
from training.contract import now

Entity = Literal["fact", "example"]
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
}
# Thousands of ids at a time: SQLite binds at most 32,766 values.
CHUNK = 10_000


@dataclass(frozen=True)
class NewFact:
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

    def __init__(self, db: sqlite3.Connection, dataset_id: int, sentence: str, **details: str | int) -> None:
        self.db = db
        self.dataset_id = dataset_id
        self.made_at = now().isoformat()
        self.edit_id = db.execute(
            "INSERT INTO edit (dataset_id, sentence, details, made_at) VALUES (?, ?, ?, ?)",
            (dataset_id, sentence, json.dumps(details, ensure_ascii=False), self.made_at),
        ).lastrowid

    def add_facts(self, facts: Sequence[NewFact]) -> range:
        """Insert new facts in the order given, and give their ids."""
        first = self._next_id("fact")
        rows = ((first + at, self.dataset_id, *astuple(fact)) for at, fact in enumerate(facts))
        self.db.executemany(_insert("fact", COLUMNS["fact"]), rows)
        return self._log_created("fact", range(first, first + len(facts)))

    def add_examples(self, examples: Sequence[NewExample]) -> range:
        """Insert new examples in the order given, and give their ids."""
        first = self._next_id("example")
        rows = (self._row(first + at, example) for at, example in enumerate(examples))
        self.db.executemany(_insert("example", COLUMNS["example"]), rows)
        return self._log_created("example", range(first, first + len(examples)))

    def change_example(self, example_id: int, **values: str) -> None:
        """Set columns of one example; a changed text is folded anew."""
        for column in ("question", "answer"):
            if column in values:
                values[f"folded_{column}"] = fold(values[column])
        values["updated_at"] = self.made_at
        before = _images(self.db, "example", [example_id])[example_id]
        _set(self.db, "example", {**before, **values})
        self._log("example", [(example_id, _json(before), _json({**before, **values}))])

    def delete_examples(self, ids: Iterable[int]) -> int:
        """Delete examples and return how many there were."""
        return self._delete("example", ids)

    def delete_facts(self, ids: Iterable[int]) -> int:
        """Delete facts whose examples are deleted already."""
        return self._delete("fact", ids)

    def _delete(self, entity: Entity, ids: Iterable[int]) -> int:
        images = _images(self.db, entity, ids)
        self._log(entity, [(key, _json(image), None) for key, image in images.items()])
        self.db.executemany(f"DELETE FROM {entity} WHERE id = ?", ((key,) for key in images))
        return len(images)

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


def undo_last(db: sqlite3.Connection, dataset_id: int) -> Undone:
    """Take back the newest edit of a dataset that is not undone yet.

    Raises:
        DatasetError: there is none.
    """
    found = db.execute(
        "SELECT id, sentence, details FROM edit WHERE dataset_id = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1",
        (dataset_id,),
    ).fetchone()
    if found is None:
        raise DatasetError("dataset.error_nothing_to_undo")
    edit_id, sentence, details = found
    # Examples refer to facts: created ones go before their facts, deleted ones come back after them.
    _remove_created(db, edit_id, "example")
    _remove_created(db, edit_id, "fact")
    _restore_images(db, edit_id, "fact")
    _restore_images(db, edit_id, "example")
    db.execute("UPDATE edit SET undone_at = ? WHERE id = ?", (now().isoformat(), edit_id))
    return Undone(key=sentence, values=json.loads(details))


def _remove_created(db: sqlite3.Connection, edit_id: int, entity: Entity) -> None:
    db.execute(
        f"DELETE FROM {entity} WHERE id IN"
        " (SELECT entity_id FROM edit_change WHERE edit_id = ? AND entity = ? AND before IS NULL)",
        (edit_id, entity),
    )


def _restore_images(db: sqlite3.Connection, edit_id: int, entity: Entity) -> None:
    changes = db.execute(
        "SELECT before, after FROM edit_change WHERE edit_id = ? AND entity = ? AND before IS NOT NULL ORDER BY id",
        (edit_id, entity),
    ).fetchall()
    for before, after in changes:
        image = json.loads(before)
        if after is None:
            # An image from before a migration lacks the newer columns; they take their defaults.
            columns = [column for column in COLUMNS[entity] if column in image]
            db.execute(_insert(entity, columns), [image[column] for column in columns])
        else:
            _set(db, entity, image)


def _images(db: sqlite3.Connection, entity: Entity, ids: Iterable[int]) -> dict[int, dict[str, Value]]:
    """Every column of the entities that exist among `ids`, in ascending order of id."""
    columns, wanted = COLUMNS[entity], sorted(set(ids))
    images: dict[int, dict[str, Value]] = {}
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        marks = ", ".join("?" * len(chunk))
        query = f"SELECT {', '.join(columns)} FROM {entity} WHERE id IN ({marks}) ORDER BY id"
        images.update((row[0], dict(zip(columns, row, strict=True))) for row in db.execute(query, chunk))
    return images


def _set(db: sqlite3.Connection, entity: Entity, image: dict[str, Value]) -> None:
    columns = [column for column in COLUMNS[entity][1:] if column in image]
    assignments = ", ".join(f"{column} = ?" for column in columns)
    db.execute(f"UPDATE {entity} SET {assignments} WHERE id = ?", [*(image[column] for column in columns), image["id"]])


def _insert(entity: Entity, columns: Sequence[str]) -> str:
    return f"INSERT INTO {entity} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _json(image: dict[str, Value]) -> str:
    return json.dumps(image, ensure_ascii=False)
