"""The model server of the arena: one child process that holds a 4-bit base and its adapters, started on demand.

Knows the server's files and its HTTP interface, not how an answer is made.
"""

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.errors import RunActive, ServerFailed
from studio.i18n import text
from studio.runs import last_words
from studio.runs.freeze import require_base_model
from studio.runs.lease import end_server, handover, server_folder, server_launch
from studio.runs.presets import presets
from studio.runs.process import child_environment, launch_of, process_of, spawn
from studio.runs.registry import Runs
from training.contract import Engine, RunFolder, replace_text, resolve_base_model

SERVER = (sys.executable, "-m", "training.serve")
IDLE_TIMEOUT_S = 900.0
READY_WAIT_S = 1800.0  # a 27 GB base on a slow disk, or a download
POLL_S = 0.1
REQUEST_WAIT_S = 5.0
ADAPTER_WAIT_S = 300.0


@dataclass(frozen=True)
class ServerHandle:
    """Where the server listens and the token it wants."""

    base_url: str  # ends in /v1
    token: str


class ServerStatus(BaseModel):
    """`server/status.json` as far as the UI reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Literal["absent", "loading", "ready", "failed"]
    port: int | None = None
    pid: int | None = None
    pid_started: float | None = None
    base_model: str = ""
    engine: Engine | None = None
    device: str = ""
    reason: str = ""
    reason_code: str = ""
    reason_values: dict[str, str] = Field(default_factory=dict)
    mixed_batches: bool = False


class _Config(BaseModel):
    """`server/config.json`, with the token: mode 0600."""

    model_config = ConfigDict(extra="forbid")

    base_model: str
    engine: Engine
    token: str
    parent_pid: int
    idle_timeout_s: float
    adapters: dict[str, str]


class ModelServer:
    """The one model server of a data folder. `command` starts it."""

    def __init__(
        self,
        data_dir: Path,
        runs: Runs,
        *,
        command: Sequence[str] = SERVER,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.folder = server_folder(self.data_dir)
        self.runs = runs
        self.command = tuple(command)
        self.idle_timeout_s = idle_timeout_s
        self._lock = threading.Lock()
        self._child: Any = None

    def ensure(self, base_model: str, on_phase: Callable[[str], None] = lambda phase: None) -> ServerHandle:
        """A ready server for `base_model` that knows every finished run's adapter; starts, reuses or replaces.

        `on_phase` hears "starting", "loading", "ready". Raises RunActive while a run trains, ServerFailed otherwise.
        """
        require_base_model(base_model)
        with self._lock:
            with handover(self.data_dir):
                self._refuse_during_run()
                config = self._reusable(base_model)
                if config is None:
                    on_phase("starting")
                    config = self._start(base_model)
            status = self._wait_until_ready(on_phase)
            handle = ServerHandle(f"http://127.0.0.1:{status.port}/v1", config.token)
            self._teach_new_runs(handle, base_model)
        on_phase("ready")
        return handle

    def come_back(self, base_model: str) -> None:
        """Start again after a run that took the device, unless somebody has started a server by now."""
        if not self._lives():
            self.ensure(base_model)

    def status(self, locale: str = "en") -> ServerStatus:
        """What the server last said; `absent` when no process lives, unless it failed and said why."""
        lives = self._lives()
        status = self._read()
        if status is not None and status.reason_code:
            told = text(status.reason_code, locale, **status.reason_values)
            status = status.model_copy(update={"reason": told})
        if status is not None and (lives or status.state == "failed"):
            return status
        return ServerStatus(state="loading" if lives else "absent")

    def stop(self) -> None:
        """End the server and return when it is gone, so that its memory is free."""
        with handover(self.data_dir):
            self._end()

    def _refuse_during_run(self) -> None:
        if (active := self.runs.active()) is not None:
            raise RunActive("runs.error_active", run=active)

    def _reusable(self, base_model: str) -> _Config | None:
        """The configuration of a living server of this base, if its token works and its parent will keep it."""
        try:
            config = _Config.model_validate_json((self.folder / "config.json").read_bytes())
        except (OSError, ValidationError):
            return None
        same = resolve_base_model(config.base_model) == resolve_base_model(base_model)
        if not same or not self._lives() or process_of(config.parent_pid, None) is None:
            return None
        status = self._read()
        if status is None or status.state == "loading":
            return config
        return config if status.state == "ready" and self._answers(status, config.token) else None

    def _answers(self, status: ServerStatus, token: str) -> bool:
        handle = ServerHandle(f"http://127.0.0.1:{status.port}/v1", token)
        try:
            return self._ask(handle, "GET", "/models").is_success
        except httpx.HTTPError:
            return False

    def _start(self, base_model: str) -> _Config:
        self._end()
        config = _Config(
            base_model=base_model,
            engine=_engine_for(base_model),
            token=secrets.token_urlsafe(32),
            parent_pid=os.getpid(),
            idle_timeout_s=self.idle_timeout_s,
            adapters=self._adapters(base_model),
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left_over in ("status.json", "server.log"):
                (self.folder / left_over).unlink(missing_ok=True)
            replace_text(self.folder / "config.json", config.model_dump_json(indent=1), mode=0o600)
            log = self.folder / "server.log"
            environment = child_environment(self.data_dir)
            self._child = spawn((*self.command, str(self.folder)), self.folder, log, environment)
            replace_text(self.folder / "launch.json", launch_of(self._child).model_dump_json())
        except OSError as error:
            self._end()
            raise ServerFailed("runs.error_server_start", reason=error.strerror or str(error)) from error
        return config

    def _wait_until_ready(self, on_phase: Callable[[str], None]) -> ServerStatus:
        deadline = time.monotonic() + READY_WAIT_S
        told = False
        while time.monotonic() < deadline:
            lives = self._lives()
            status = self._read()
            if status is not None and status.state == "failed":
                raise ServerFailed(status.reason_code or "runs.error_server_start", **_values(status))
            if not lives:
                # A run may have taken the lease; who takes it ends the server first and writes the run down after.
                with handover(self.data_dir):
                    self._refuse_during_run()
                raise ServerFailed("runs.error_server_gone", line=last_words.last_line(self.folder / "server.log"))
            if status is not None and status.state == "ready":
                return status
            if not told and status is not None:
                on_phase("loading")
                told = True
            time.sleep(POLL_S)
        raise ServerFailed("runs.error_server_slow", minutes=round(READY_WAIT_S / 60))

    def _teach_new_runs(self, handle: ServerHandle, base_model: str) -> None:
        """An adapter that will not load must not keep the others from answering: asking for it says why."""
        try:
            known = {model["id"] for model in self._ask(handle, "GET", "/models").json()["data"]}
            for run_id, folder in self._adapters(base_model).items():
                if run_id not in known:
                    self._ask(handle, "POST", "/load_lora_adapter", {"lora_name": run_id, "lora_path": folder})
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise ServerFailed("runs.error_server_start", reason=str(error)) from error

    def _ask(self, handle: ServerHandle, method: str, path: str, body: object = None) -> httpx.Response:
        wait_s = REQUEST_WAIT_S if body is None else ADAPTER_WAIT_S
        # Never through a proxy: this is loopback, whatever the environment says.
        with httpx.Client(trust_env=False, timeout=wait_s) as client:
            headers = {"Authorization": f"Bearer {handle.token}"}
            return client.request(method, handle.base_url + path, json=body, headers=headers)

    def _adapters(self, base_model: str) -> dict[str, str]:
        """Adapters of runs that trained this base, by run id."""
        base = resolve_base_model(base_model)
        found = {}
        for summary in self.runs.summaries():
            if summary.has_adapter and resolve_base_model(summary.base_model) == base:
                found[summary.run_id] = str(RunFolder(self.runs.root / summary.run_id).adapter)
        return found

    def _lives(self) -> bool:
        if self._child is not None:
            self._child.poll()  # reaps it, so that no zombie stays
        launch = server_launch(self.data_dir)
        return launch is not None and process_of(launch.pid, launch.pid_started) is not None

    def _end(self) -> None:
        end_server(self.data_dir)
        if self._child is not None:
            self._child.kill()  # has no effect where it has ended
            self._child.wait()
            self._child = None

    def _read(self) -> ServerStatus | None:
        try:
            return ServerStatus.model_validate_json((self.folder / "status.json").read_bytes())
        except (OSError, ValidationError):
            return None


def _values(status: ServerStatus) -> dict[str, str]:
    return dict(status.reason_values) if status.reason_code else {"reason": status.reason}


def _engine_for(base_model: str) -> Engine:
    """The engine that the base's preset trains with, so that an adapter is asked as it was made."""
    base = resolve_base_model(base_model)
    for preset in presets().values():
        if resolve_base_model(preset.config.get("base_model", "")) == base:
            engine: Engine = preset.config.get("engine", "auto")
            return engine
    return "auto"
