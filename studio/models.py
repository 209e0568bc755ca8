"""Base models on this machine: what is in the Hub's cache, and downloads that can be cancelled and resumed."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class CachedModel(BaseModel):
    """A model in the Hub's cache."""

    model_config = ConfigDict(frozen=True)

    repo: str
    bytes: int


class DownloadStatus(BaseModel):
    """Where a download stands; `reason` is a sentence when it failed or was cancelled."""

    model_config = ConfigDict(frozen=True)

    repo: str
    state: Literal["starting", "downloading", "finished", "cancelled", "failed", "crashed"]
    done_bytes: int = 0
    total_bytes: int = 0
    reason: str = ""


def cached() -> list[CachedModel]:
    """Models in the Hub's cache, by name."""
    raise NotImplementedError


class Downloads:
    """Downloads of one data folder, each a child process with a folder below `data_dir`/downloads."""

    def __init__(self, data_dir: Path) -> None: ...

    def ids(self) -> list[str]:
        """Download ids, newest first."""
        raise NotImplementedError

    def start(self, repo: str) -> str:
        """Start or resume the download of a Hub id; a download of it that runs already is returned instead."""
        raise NotImplementedError

    def status(self, download_id: str, locale: str = "en") -> DownloadStatus:
        """Where a download stands."""
        raise NotImplementedError

    def cancel(self, download_id: str) -> DownloadStatus:
        """Ask a download to stop; what has arrived is kept and resumed from."""
        raise NotImplementedError
