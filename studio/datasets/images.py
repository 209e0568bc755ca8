"""The images that versions are made of: what a fact or an example holds, as JSON with its hash; it must not know names.

An image holds what a person or a generator decided, not when it was last touched: the same content has the same hash.
"""

import json
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Literal, NamedTuple

from studio.datasets.edits import CHUNK, COLUMNS, Entity
from studio.datasets.going_back import Values
from studio.datasets.splits import Candidate, phrasing
from studio.datasets.text import fold

# In the order in which they are hashed and put back: an example needs its fact.
ENTITIES: tuple[Entity, ...] = ("fact", "example")
_NOT_DECIDED = {"id", "dataset_id", "updated_at", "folded_question", "folded_answer"}
_DECIDED = {entity: tuple(column for column in COLUMNS[entity] if column not in _NOT_DECIDED) for entity in ENTITIES}

ChangeKind = Literal["added", "changed", "removed"]


class Changed(NamedTuple):
    """A fact or example that two sides do not hold alike, with the hash of either image."""

    entity: Entity
    id: int
    before: bytes | None
    after: bytes | None

    @property
    def kind(self) -> ChangeKind:
        """What it is called."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


def hash_of(db: sqlite3.Connection, dataset_id: int) -> str:
    """The hash of a dataset as it is: of all ids with their images' hashes, in ascending order."""
    whole = sha256()
    for entity in ENTITIES:
        for key, image_hash in _hashing(db).execute(_present(entity, "hash"), (dataset_id,)):
            whole.update(_line(entity, key, image_hash))
    return whole.hexdigest()


def keep_images(db: sqlite3.Connection, dataset_id: int, version_id: int) -> str:
    """List the dataset's images under a version, storing those that are new, and return the hash of them all."""
    whole = sha256()
    for entity in ENTITIES:
        rows = _hashing(db).execute(_present(entity, "hash, content"), (dataset_id,))
        while chunk := rows.fetchmany(CHUNK):
            for key, image_hash, _ in chunk:
                whole.update(_line(entity, key, image_hash))
            # In the order of the key: a tree is written page by page, not all over.
            images = sorted((image_hash, content) for _, image_hash, content in chunk)
            db.executemany("INSERT OR IGNORE INTO image (sha256, content) VALUES (?, ?)", images)
            entries = [(version_id, entity, key, image_hash) for key, image_hash, _ in chunk]
            db.executemany("INSERT INTO version_entry VALUES (?, ?, ?, ?)", entries)
    return whole.hexdigest()


def changed_between(db: sqlite3.Connection, dataset_id: int, older: int | None, newer: int | None) -> list[Changed]:
    """What two versions do not hold alike, facts first; None is the dataset as it is."""
    older_rows, older_values = _side(dataset_id, older)
    newer_rows, newer_values = _side(dataset_id, newer)
    rows = _hashing(db).execute(
        "SELECT entity, id, max(before), max(after) FROM"
        f" (SELECT entity, id, hash AS before, NULL AS after FROM ({older_rows})"
        f" UNION ALL SELECT entity, id, NULL, hash FROM ({newer_rows}))"
        " GROUP BY entity, id HAVING max(before) IS NOT max(after) ORDER BY entity DESC, id",
        (*older_values, *newer_values),
    )
    return [Changed(*row) for row in rows]


def image_of(db: sqlite3.Connection, changed: Changed, image_hash: bytes | None) -> Values:
    """The image of one side, empty where there is none; what no version holds is what the dataset holds now."""
    if image_hash is None:
        return {}
    kept = db.execute("SELECT content FROM image WHERE sha256 = ?", (image_hash,)).fetchone()
    if kept is None:
        query = f"SELECT {_content(changed.entity)} FROM {changed.entity} WHERE id = ?"
        kept = db.execute(query, (changed.id,)).fetchone()
    image: Values = json.loads(kept[0])
    return image


def candidates_in(db: sqlite3.Connection, version_id: int) -> Iterator[Candidate]:
    """What of a version can be divided into splits, by fact."""
    wanted = "fact_id", "kind", "answer_style", "status", "question", "answer"
    columns = ", ".join(f"json_extract(content, '$.{name}') AS {name}" for name in wanted)
    rows = db.execute(
        "SELECT id, fact_id, kind, answer_style, status = 'accepted', question, answer FROM"
        f" (SELECT entity_id AS id, {columns} FROM version_entry JOIN image USING (sha256)"
        " WHERE version_id = ? AND entity = 'example')"
        " WHERE status = 'accepted' OR kind = 'seed' ORDER BY fact_id, id",
        (version_id,),
    )
    for row in rows:
        folded = fold(row[-2])
        yield Candidate(*(*row, folded, phrasing(folded)))


def _side(dataset_id: int, version_id: int | None) -> tuple[str, list[int]]:
    """Rows of entity, id and hash, and the values of the query."""
    if version_id is not None:
        return "SELECT entity, entity_id AS id, sha256 AS hash FROM version_entry WHERE version_id = ?", [version_id]
    tables = [f"SELECT '{entity}' AS entity, id, hash FROM ({_present(entity, 'hash')})" for entity in ENTITIES]
    return " UNION ALL ".join(tables), [dataset_id] * len(tables)


def _present(entity: Entity, columns: str) -> str:
    """A query for id and hash or content of all that a dataset holds."""
    images = f"SELECT id, {_content(entity)} AS content FROM {entity} WHERE dataset_id = ?"
    return f"SELECT id, {columns} FROM (SELECT id, content, image_hash(content) AS hash FROM ({images})) ORDER BY id"


def _content(entity: Entity) -> str:
    pairs = ", ".join(f"'{column}', {column}" for column in _DECIDED[entity])
    return f"json_object({pairs})"


def _line(entity: Entity, key: int, image_hash: bytes) -> bytes:
    return f"{entity} {key} ".encode() + image_hash


def _hashing(db: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, knowing the function `image_hash`."""
    db.create_function("image_hash", 1, lambda content: sha256(content.encode()).digest(), deterministic=True)
    return db
