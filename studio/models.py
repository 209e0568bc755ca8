"""Base models on this machine: what is in the Hub's cache, and downloads that can be cancelled and resumed.

Knows the cache's contents and the files of a download, not what a model is.
"""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from pydantic import BaseModel, ConfigDict, ValidationError

from studio.errors import DownloadFailed, UnknownDownload
from studio.i18n import text
from studio.runs.freeze import HUB_ID
from studio.runs.process import child_environment, end, launch_of, launched_in, spawn
from training.contract import Engine, replace_text
from training.errands import DownloadConfig, DownloadStatus
from training.nvidia import nvidia_gpu_present

DOWNLOAD = (sys.executable, "-m", "training.download")
UNDER_WAY = ("starting", "downloading")


class CachedModel(BaseModel):
    """A model in the Hub's cache."""

    model_config = ConfigDict(frozen=True)

    repo: str
    bytes: int


def cached() -> list[CachedModel]:
    """Models in the Hub's cache, by name."""
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    models = [CachedModel(repo=repo.repo_id, bytes=repo.size_on_disk) for repo in repos if repo.repo_type == "model"]
    return sorted(models, key=lambda model: model.repo)


class Downloads:
    """Downloads of one data folder, each a child process with a folder below `data_dir`/downloads."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.root = self.data_dir / "downloads"
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """Download ids, newest first."""
        found = sorted(self.root.glob("*/config.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.parent.name for path in found]

    def start(self, repo: str) -> str:
        """Start or resume the download of a Hub id; a download of it that runs already is returned instead."""
        repo = repo.strip()
        if not HUB_ID.fullmatch(repo):
            raise DownloadFailed("models.error_bad_id", repo=repo)
        download_id = repo.replace("/", "--")
        with self._lock:
            if download_id in self.ids() and (process := self._process(self.root / download_id)):
                if self._goes_on(self.root / download_id):
                    return download_id
                end(process)  # it was told to stop, or has said its last word
            try:
                self._launch(self.root / download_id, repo)
            except OSError as error:
                raise DownloadFailed("models.error_start", repo=repo, reason=error.strerror or error) from error
        return download_id

    def status(self, download_id: str, locale: str = "en") -> DownloadStatus:
        """Where a download stands; `reason` is in `locale`."""
        folder = self._folder(download_id)
        alive = self._process(folder)
        status = _read(folder)  # after looking at the process, so that its last word is not missed
        if status is not None and status.state in UNDER_WAY and not alive:
            status = status.model_copy(update={"state": "crashed"})
        if status is None:
            config = DownloadConfig.model_validate_json((folder / "config.json").read_bytes())
            status = DownloadStatus(repo=config.repo, state="starting" if alive else "crashed")
        return status.model_copy(update={"reason": _reason(status, locale)})

    def cancel(self, download_id: str) -> DownloadStatus:
        """Ask a download to stop; what has arrived is kept and resumed from."""
        folder = self._folder(download_id)
        if self._process(folder):
            (folder / "stop").touch()
        return self.status(download_id)

    def _folder(self, download_id: str) -> Path:
        if download_id not in self.ids():
            raise UnknownDownload("models.error_unknown_download", download=download_id)
        return self.root / download_id

    def _launch(self, folder: Path, repo: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in ("stop", "status.json", "launch.json"):
            (folder / left_over).unlink(missing_ok=True)
        engine: Engine = "unsloth" if nvidia_gpu_present() else "transformers"
        replace_text(folder / "config.json", DownloadConfig(repo=repo, engine=engine).model_dump_json())
        command = (*DOWNLOAD, str(folder))
        child = spawn(command, folder, folder / "download.log", child_environment(self.data_dir))
        self._children[folder.name] = child
        replace_text(folder / "launch.json", launch_of(child).model_dump_json())

    def _goes_on(self, folder: Path) -> bool:
        status = _read(folder)
        return not (folder / "stop").exists() and (status is None or status.state in UNDER_WAY)

    def _process(self, folder: Path) -> psutil.Process | None:
        if child := self._children.get(folder.name):
            child.poll()  # reaps it, so that no zombie stays
        return launched_in(folder)


def _read(folder: Path) -> DownloadStatus | None:
    try:
        return DownloadStatus.model_validate_json((folder / "status.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _reason(status: DownloadStatus, locale: str) -> str:
    if status.state in ("crashed", "cancelled"):
        return text(f"models.{status.state}", locale)
    return text(status.reason_code, locale, **status.reason_values) if status.reason_code else status.reason
