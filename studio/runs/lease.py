"""The lease on the one device: a run or the model server holds it, never both.

Knows who holds the device and how to take it from the server, not what the holder does with it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from studio.runs.process import end, process_of
from training.contract import Launch

if sys.platform != "win32":
    import fcntl

_threads = Lock()


def server_folder(data_dir: Path) -> Path:
    """Where the model server's files are."""
    return data_dir / "server"


def server_launch(data_dir: Path) -> Launch | None:
    """The model server that was last started by any UI process, dead or alive."""
    path = server_folder(data_dir) / "launch.json"
    return Launch.model_validate_json(path.read_bytes()) if path.exists() else None


@contextmanager
def handover(data_dir: Path) -> Iterator[None]:
    """The moment in which the device changes hands: one thread of one UI process at a time."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with _threads, (data_dir / "lease.lock").open("w") as file:
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks: one UI process is then the user's promise
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def end_server(data_dir: Path) -> None:
    """End the model server, whoever started it, and return when its memory is free."""
    launch = server_launch(data_dir)
    if launch is not None and (process := process_of(launch.pid, launch.pid_started)):
        end(process)
