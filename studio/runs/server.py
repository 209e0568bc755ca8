"""The model server of the arena: one child process that holds a 4-bit base and its adapters, started on demand.

Knows the server's files and its HTTP interface, not how an answer is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from studio.runs.registry import Runs


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
    reason: str = ""
    mixed_batches: bool = False


class ModelServer:
    """The one model server of a data folder."""

    def __init__(self, data_dir: Path, runs: Runs) -> None: ...

    def ensure(self, base_model: str, on_phase: Callable[[str], None] = lambda phase: None) -> ServerHandle:
        """A ready server for `base_model` that knows every finished run's adapter; starts, reuses or replaces.

        `on_phase` hears "starting", "loading", "ready". Raises RunActive while a run trains, ServerFailed otherwise.
        """
        raise NotImplementedError

    def status(self) -> ServerStatus:
        """What the server last said; `absent` when no process lives."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the server and return when it is gone, so that its memory is free."""
        raise NotImplementedError
