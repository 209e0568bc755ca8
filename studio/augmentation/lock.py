"""Says whether some program is working on a job, so that no two do; it must not know what the work is."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

FILE = "lock"
# Where there are no locks between programs, the folders that this program works on.
_held: set[Path] = set()


class Lock:
    """Held from `take` until `release`, or until the program ends in whatever way."""

    def __init__(self, folder: Path, file: IO[str]) -> None:
        self._folder = folder
        self._file = file
        _held.add(folder)

    @classmethod
    def take(cls, folder: Path) -> "Lock | None":
        """The lock of a job's folder; None where somebody has it."""
        if folder in _held:
            return None
        file = (folder / FILE).open("w", encoding="utf-8")
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            except OSError:  # a file system without locks: one program is then the user's promise
                pass
        return cls(folder, file)

    @staticmethod
    def is_held(folder: Path) -> bool:
        """Whether somebody works on a job, this program or another."""
        if folder in _held:
            return True
        if sys.platform == "win32" or not (folder / FILE).exists():
            return False
        with (folder / FILE).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                return False
        return False

    def release(self) -> None:
        """Let the next one have it."""
        _held.discard(self._folder)
        with suppress(OSError):
            self._file.close()
