"""The only place that opens SQLite: the tables, their migrations and who may write when."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Store:
    """One database file: a reading connection per thread and one writer at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> sqlite3.Connection:
        """This thread's reading connection."""
        raise NotImplementedError

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed at the end, rolled back on any error."""
        raise NotImplementedError
        yield

    def close(self) -> None:
        """Close every connection of every thread."""
        raise NotImplementedError


def open_store(path: Path) -> Store:
    """Open or create the database and bring its tables up to date."""
    return Store(path)
