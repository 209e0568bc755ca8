"""`python -m training.serve FOLDER`: an OpenAI-compatible server over one 4-bit base and its adapters, on loopback.

Reads FOLDER/config.json, writes FOLDER/status.json, and ends by itself when its parent is gone or nobody asks. It must
not know who its clients are.
"""

import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil
from pydantic import Field

from training.contract import Engine, Frozen, replace_text
from training.errors import RunError

if TYPE_CHECKING:
    import uvicorn

    from training.serve_scheduler import Scheduler

log = logging.getLogger("training.serve")

WATCH_S = 0.5
CLOSE_WAIT_S = 10.0


class ServerConfig(Frozen):
    """`config.json`, written by whoever spawns the server; it holds the token, so its mode is 0600."""

    base_model: str
    engine: Engine = "auto"
    token: str = Field(min_length=16)
    parent_pid: int | None = Field(None, description="The server ends when this process is gone.")
    idle_timeout_s: float | None = Field(None, gt=0, description="The server ends when nobody asked for this long.")
    adapters: dict[str, str] = Field(default_factory=dict, description="Folder of each adapter, by model name.")


class ServerStatus(Frozen):
    """`status.json`. The file is removed when the server ends in order."""

    state: Literal["loading", "ready", "failed"]
    base_model: str = ""
    port: int | None = None
    pid: int
    pid_started: float
    engine: Engine | None = None
    device: str = ""
    reasoning_format: str = ""
    mixed_batches: bool = Field(False, description="Base and adapters answer in one batch.")
    reason: str = ""
    reason_code: str = ""
    reason_values: dict[str, str] = Field(default_factory=dict)


class StatusFile:
    """The server's word to those who wait for it."""

    def __init__(self, folder: Path, base_model: str) -> None:
        self._path = folder / "status.json"
        me = psutil.Process()
        self._status = ServerStatus(state="loading", base_model=base_model, pid=me.pid, pid_started=me.create_time())

    def say(self, **changes: object) -> None:
        """Replace the file with these changes."""
        self._status = ServerStatus.model_validate({**self._status.model_dump(), **changes})
        replace_text(self._path, self._status.model_dump_json(indent=1))

    def mixed(self, mixed_batches: bool) -> None:
        """Say how batches are made now; called often, written when it changes."""
        if mixed_batches != self._status.mixed_batches:
            self.say(mixed_batches=mixed_batches)

    def fail(self, error: Exception) -> None:
        """Say why there will be no server."""
        if not isinstance(error, RunError):
            error = RunError("inference.error_server_unexpected", kind=type(error).__name__, message=error)
        self.say(state="failed", reason=str(error), reason_code=error.code, reason_values=error.values)

    def remove(self) -> None:
        """There is no server any more."""
        self._path.unlink(missing_ok=True)


class Parent:
    """The process that started the server. A zombie is gone, and so is one whose pid was given to another."""

    def __init__(self, pid: int | None) -> None:
        self._process: psutil.Process | None = None
        self._gone = False
        try:
            self._process = psutil.Process(pid) if pid else None
        except psutil.Error:
            self._gone = True

    def gone(self) -> bool:
        """Whether nobody is left to serve."""
        if self._process is None:
            return self._gone
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return True


def main(folder: Path) -> int:
    """Serve until told to end; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    config = ServerConfig.model_validate_json((folder / "config.json").read_bytes())
    status = StatusFile(folder, config.base_model)
    status.say()
    parent = Parent(config.parent_pid)
    ended = threading.Event()
    threading.Thread(target=_end_with_parent_while_loading, args=(parent, status, ended), daemon=True).start()
    try:
        return _serve(config, status, parent, ended)
    except Exception as error:
        log.exception("the server cannot run")
        status.fail(error)
        return 1


def _serve(config: ServerConfig, status: StatusFile, parent: Parent, loaded_event: threading.Event) -> int:
    # The engine comes first: unsloth has to be imported before transformers and peft.
    from training.engines import load_base

    loaded = load_base(config.base_model, engine=config.engine, for_training=False)
    import uvicorn

    from training.serve_http import create_app
    from training.serve_model import ServedModel
    from training.serve_scheduler import Scheduler

    served = ServedModel(loaded, config.base_model, {name: Path(path) for name, path in config.adapters.items()})
    scheduler = Scheduler(served, lambda: status.mixed(served.mixed_batches))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(served, scheduler, config.token),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
        )
    )
    loaded_event.set()
    status.say(
        state="ready",
        port=listener.getsockname()[1],
        engine=loaded.engine,
        device=loaded.device,
        reasoning_format=served.reasoning_format,
    )
    watch = (server, scheduler, parent, config.idle_timeout_s)
    threading.Thread(target=_watch, args=watch, daemon=True).start()
    server.run(sockets=[listener])
    status.remove()
    if not scheduler.close(CLOSE_WAIT_S):
        os._exit(0)  # a batch that does not hear its cancellation must not keep the memory
    return 0


def _watch(server: "uvicorn.Server", scheduler: "Scheduler", parent: Parent, idle_timeout_s: float | None) -> None:
    while not server.should_exit:
        idle_s = 0.0 if scheduler.busy else time.monotonic() - scheduler.last_active
        if parent.gone():
            log.info("the process that started the server is gone")
            server.should_exit = True
        elif idle_timeout_s is not None and idle_s > idle_timeout_s:
            log.info("nobody asked for %.0f s", idle_s)
            server.should_exit = True
        time.sleep(WATCH_S)


def _end_with_parent_while_loading(parent: Parent, status: StatusFile, loaded: threading.Event) -> None:
    while not loaded.wait(WATCH_S):
        if parent.gone():
            status.remove()
            os._exit(0)  # loading cannot be interrupted otherwise


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
