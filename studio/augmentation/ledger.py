"""Keeps every reply of an endpoint on disk before it counts, so that none is paid for twice; it must not know HTTP."""

import errno
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from training.contract import Frozen

FILE = "ledger.jsonl"
PREVIEWS = "previews"  # a folder beside those of the jobs, without a plan

# How a reply was read: as wished; no JSON in it; ended by a limit; kept back by the provider.
Outcome = Literal["usable", "malformed", "cut_off", "blocked"]


class Entry(Frozen):
    """One line: a reply that was paid for, and the request that it answers."""

    key: str
    fact_id: int
    model: str
    prompt_version: str
    content: str
    outcome: Outcome = "usable"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Ledger:
    """The replies of all jobs to read from, and the file of one job to append to.

    A usable reply counts whoever paid for it. One that could not be used counts for the job that paid for it alone:
    a resumed job does not pay for it again, a new one may.
    """

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        self.own: dict[str, list[Entry]] = {}
        self.prompt_tokens = self.completion_tokens = 0  # of the own replies
        self._usable: dict[str, Entry] = {}
        for other in others:
            self._usable.update((entry.key, entry) for entry in read_entries(other) if entry.outcome == "usable")
        for entry in read_entries(path):
            self._remember(entry)
        self._file = _open_for_lines(path)
        self._lines = threading.Condition()
        self._written = self._synced = 0
        self._syncing = self._torn = False

    def find(self, key: str) -> Entry | None:
        """A usable reply that was paid for before."""
        return self._usable.get(key)

    def usable(self) -> Iterator[Entry]:
        """Every usable reply that there is."""
        return iter(self._usable.values())

    def append(self, entry: Entry) -> None:
        """Write a reply down and wait until the disk has it; one wait serves all threads that write meanwhile."""
        line = entry.model_dump_json().encode() + b"\n"
        with self._lines:
            # A line that a full disk cut off must not swallow this one.
            torn, self._torn = self._torn, True
            _write_whole(self._file, b"\n" + line if torn else line)
            self._torn = False
            self._written += 1
            mine = self._written
            while self._synced < mine:
                if self._syncing:
                    self._lines.wait()
                else:
                    self._sync()
            self._remember(entry)

    def _sync(self) -> None:
        """Bring to the disk what is written by now, with the lines given free meanwhile."""
        self._syncing, reached = True, self._written
        self._lines.release()
        try:
            os.fsync(self._file)
        finally:
            self._lines.acquire()
            self._syncing = False
            self._lines.notify_all()
        self._synced = reached

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)

    def _remember(self, entry: Entry) -> None:
        self.own.setdefault(entry.key, []).append(entry)
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        if entry.outcome == "usable":
            self._usable[entry.key] = entry


def read_entries(path: Path) -> Iterator[Entry]:
    """The whole lines of a ledger; one that a crash cut off was never counted."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield Entry.model_validate_json(line)
            except ValidationError:
                continue


def _open_for_lines(path: Path) -> int:
    """A file to append whole lines to, behind one that a crash may have cut off."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    if os.fstat(descriptor).st_size:
        os.lseek(descriptor, -1, os.SEEK_END)
        if os.read(descriptor, 1) != b"\n":
            _write_whole(descriptor, b"\n")
    return descriptor


def _write_whole(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
