"""Exports of finished runs: each is a child process with a folder of its own in the run's folder.

Knows processes and files, not what is written out.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from threading import Lock

import psutil
from pydantic import ValidationError

from studio.errors import RunFailed
from studio.i18n import text
from studio.runs.freeze import HUB_ID
from studio.runs.process import child_environment, end, launch_of, launched_in, spawn
from studio.runs.registry import Runs, has_adapter
from training.contract import replace_text
from training.errands import ExportKind, ExportRequest, ExportStatus

EXPORT = (sys.executable, "-m", "training.export")
UNDER_WAY = ("starting", "running")
KINDS: tuple[ExportKind, ...] = ("merged", "gguf", "push")


class RunExports:
    """The exports of every run of one data folder."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._children: dict[Path, subprocess.Popen[bytes]] = {}
        self._lock = Lock()

    def start(self, run_id: str, kind: ExportKind, *, repo: str = "", base_model: str = "") -> None:
        """Start an export, replacing an earlier one of its kind.

        Raises:
            RunFailed: the run has no adapter or trains on, an export of it is under way, or `repo` is no Hub id.
        """
        run = self.runs.folder(run_id)
        if not has_adapter(run):
            raise RunFailed("export.error_unfinished", run=run_id)
        if not self.runs.status(run_id).ended:
            raise RunFailed("export.error_running", run=run_id)
        if kind == "push" and not HUB_ID.fullmatch(repo.strip()):
            raise RunFailed("export.error_repo", repo=repo.strip())
        request = ExportRequest(run=run_id, kind=kind, base_model=base_model.strip(), repo=repo.strip())
        with self._lock:
            if any(self._lives(run.exports / other) for other in KINDS):
                raise RunFailed("export.error_busy", run=run_id)
            try:
                self._launch(run.exports / kind, request)
            except OSError as error:
                raise RunFailed("export.error_start", reason=error.strerror or error) from error

    def status(self, run_id: str, locale: str = "en") -> dict[ExportKind, ExportStatus]:
        """Where each export of a run stands; kinds that nobody asked for are left out."""
        run = self.runs.folder(run_id)
        found = {kind: self._status(run.exports / kind, locale) for kind in KINDS}
        return {kind: status for kind, status in found.items() if status is not None}

    def cancel(self, run_id: str) -> None:
        """End the export of a run that is under way, and delete what it had written."""
        run = self.runs.folder(run_id)
        for kind in KINDS:
            folder = run.exports / kind
            if process := self._lives(folder):
                (folder / "stop").touch()
                end(process)  # a merge or an upload looks for the file too seldom
                for half in filter(Path.is_dir, folder.iterdir()):
                    shutil.rmtree(half, ignore_errors=True)

    def _launch(self, folder: Path, request: ExportRequest) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        replace_text(folder / "config.json", request.model_dump_json())
        environment = child_environment(self.runs.data_dir)
        child = spawn((*EXPORT, str(folder)), folder, folder / "export.log", environment)
        self._children[folder] = child
        replace_text(folder / "launch.json", launch_of(child).model_dump_json())

    def _status(self, folder: Path, locale: str) -> ExportStatus | None:
        if not (folder / "config.json").is_file():
            return None
        alive = self._lives(folder)
        status = _read(folder)  # after looking at the process, so that its last word is not missed
        if status.state == "cancelled" or (status.state in UNDER_WAY and not alive):
            state = "cancelled" if (folder / "stop").exists() else "crashed"
            line = _last_line(folder / "export.log")
            return status.model_copy(update={"state": state, "reason": text(f"export.{state}", locale, line=line)})
        if status.reason_code:
            return status.model_copy(update={"reason": text(status.reason_code, locale, **status.reason_values)})
        return status

    def _lives(self, folder: Path) -> psutil.Process | None:
        if child := self._children.get(folder):
            child.poll()  # reaps it, so that no zombie stays
        return launched_in(folder)


def _read(folder: Path) -> ExportStatus:
    try:
        return ExportStatus.model_validate_json((folder / "status.json").read_bytes())
    except (OSError, ValidationError):
        return ExportStatus(state="starting")


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")[:200]
