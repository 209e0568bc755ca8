"""A dataset by the name that a person or a browser gives; it must not know what a dataset holds."""

import sqlite3

from studio.datasets.text import excerpt
from studio.errors import UnknownDataset


def find_dataset(db: sqlite3.Connection, name: str) -> int | None:
    """The id of a dataset by its name; None where there is none."""
    # A name from a browser may hold what SQLite cannot encode; such a dataset cannot exist.
    if not name.isprintable():
        return None
    row = db.execute("SELECT id FROM dataset WHERE name = ?", (name.strip(),)).fetchone()
    return row[0] if row else None


def require_dataset(db: sqlite3.Connection, name: str) -> int:
    """The id of a dataset that exists; raises UnknownDataset."""
    dataset_id = find_dataset(db, name)
    if dataset_id is None:
        raise UnknownDataset("dataset.error_unknown_dataset", name=excerpt(name))
    return dataset_id
