"""The lease on the one device: a run or the model server holds it, never both, and further runs wait for it.

Knows who holds the device, who waits and how to take it from the server, not what the holder does with it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from studio.runs.process import end, process_of
from training.contract import Frozen, Launch, replace_text

if sys.platform != "win32":
    import fcntl

_threads = Lock()


class Waiting(Frozen):
    """`queue.json`: the runs that wait, first one first, and the base of the server that gave way to a run."""

    runs: tuple[str, ...] = ()
    server_base: str = ""


def waiting(data_dir: Path) -> Waiting:
    """Who waits for the device."""
    try:
        return Waiting.model_validate_json((data_dir / "queue.json").read_bytes())
    except (OSError, ValidationError):
        return Waiting()


def write_waiting(data_dir: Path, found: Waiting) -> None:
    """Keep who waits for the device. The caller has the handover."""
    replace_text(data_dir / "queue.json", found.model_dump_json(indent=1))


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


def end_server(data_dir: Path) -> bool:
    """End the model server, whoever started it, and return when its memory is free; False where none lived."""
    launch = server_launch(data_dir)
    process = process_of(launch.pid, launch.pid_started) if launch else None
    if process is not None:
        end(process)
    return process is not None


def take_device(data_dir: Path) -> None:
    """End the server for a run and keep its base, so that it can come back. The caller has the handover."""
    if not end_server(data_dir):
        return
    with suppress(OSError, ValueError, KeyError):  # a server without a readable configuration has nothing to come back
        base = str(json.loads((server_folder(data_dir) / "config.json").read_bytes())["base_model"])
        write_waiting(data_dir, waiting(data_dir).model_copy(update={"server_base": base}))
