"""The runs of one data folder: what is on disk is the truth; starting spawns a worker that outlives the UI.

Knows processes and files, not how a model is trained or how a page looks.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.environment import require_trainable
from studio.errors import RunActive, RunFailed, UnknownRun
from studio.i18n import text
from studio.runs import last_words
from studio.runs.about import read_about
from studio.runs.freeze import Frozen, freeze, require_base_model
from studio.runs.lease import handover, take_device, waiting
from studio.runs.materials import Source, gather
from studio.runs.process import child_environment, launch_of, process_of, spawn
from training.contract import ENDED, Phase, RunConfig, RunFolder, RunState, RunStatus, replace_text

WORKER = (sys.executable, "-m", "training.worker")
LAUNCH_GRACE_S = 30.0  # a folder this young may still be on its way to its process
EXIT_WAIT_S = 20.0
SAMPLE = "demo-sample"


class RunSummary(BaseModel):
    """One line of a list of runs; `name` and `note` are what a person gave it last."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    name: str
    note: str = ""
    group: str = ""
    init_run: str = ""
    preset: str = ""
    dataset: str = ""
    dataset_version: str = ""
    base_model: str = ""
    state: RunState
    phase: Phase | None = None
    reason: str = ""
    step: int = 0
    total_steps: int = 0
    train_loss: float | None = None
    created_at: datetime
    has_adapter: bool
    ended: bool


class Runs:
    """Every run below `data_dir`/runs. `command` starts a worker, `require` raises where nothing can be trained."""

    def __init__(
        self,
        data_dir: Path,
        datasets: Source,
        *,
        command: Sequence[str] = WORKER,
        require: Callable[[Path], None] = require_trainable,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.root = self.data_dir / "runs"
        self.datasets = datasets
        self.command = tuple(command)
        self.require = require
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def ids(self) -> list[str]:
        """Run ids, newest first."""
        ages = {path.parent.name: _age(path) for path in self.root.glob("[!.]*/config.json")}
        return sorted(ages, key=lambda run_id: (ages[run_id], run_id), reverse=True)

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run that exists. The id may come from a browser, so it is looked up, never joined."""
        if run_id not in self.ids():
            raise UnknownRun("runs.error_unknown_run", run=run_id)
        return RunFolder(self.root / run_id)

    def config(self, run_id: str) -> RunConfig:
        """What a run was started with."""
        try:
            return self.folder(run_id).read_config()
        except ValidationError:
            raise RunFailed("runs.error_config", run=run_id) from None

    def name(self, run_id: str) -> str:
        """What people call a run: the name that it was given last, else its id."""
        folder = self.folder(run_id)
        try:
            return read_about(folder).name or folder.read_config().name or run_id
        except (ValidationError, OSError):
            return run_id

    def summaries(self, locale: str = "en") -> list[RunSummary]:
        """All runs, newest first; `reason` is in `locale`. A run with a broken file is listed with its reason."""
        return [self._summary(run_id, locale) for run_id in self.ids()]

    def status(self, run_id: str, locale: str = "en") -> RunStatus:
        """Where a run stands; `crashed` with a reason when its process is gone without a last word."""
        return self._status(self.folder(run_id), locale)

    def active(self) -> str | None:
        """The run whose process lives, if any."""
        states = ((run, self._status(RunFolder(self.root / run), "en")) for run in self.ids())
        return next((run for run, status in states if not status.ended and status.state != "queued"), None)

    def to_watch(self, run_id: str) -> str:
        """The run itself where it still exists, else the active one, else the newest, else none."""
        known = self.ids()
        return run_id if run_id in known else self.active() or next(iter(known), "")

    def refuse_while_active(self) -> None:
        """Raise RunActive where a run holds the device."""
        if (active := self.active()) is not None:
            raise RunActive("runs.error_active", run=active)

    def start(self, config: RunConfig) -> str:
        """Freeze a run's files, spawn its worker past all that wait, and return the new run's id."""
        frozen = self.frozen(config)
        with handover(self.data_dir):
            self.refuse_while_active()
            run_id = self.keep(frozen)
            try:
                self.launch(run_id)
            except RunFailed:
                shutil.rmtree(self.root / run_id, ignore_errors=True)
                raise
        return run_id

    def frozen(self, config: RunConfig) -> Frozen:
        """What a run of this configuration would start from. Raises where there is nothing that could be trained."""
        self.require(self.data_dir)
        require_base_model(config.base_model)
        return gather(self.datasets, config)

    def keep(self, frozen: Frozen) -> str:
        """Write a new run's folder and return its id. The caller has the handover."""
        return freeze(self.root, frozen).name

    def launch(self, run_id: str) -> None:
        """Take the device for a run and spawn its worker. The caller has the handover and knows that no run is active.

        Raises RunFailed and leaves the run's files as they are.
        """
        take_device(self.data_dir)
        self._wait_for_exits()
        self._launch(RunFolder(self.root / run_id))

    def stop(self, run_id: str) -> RunStatus:
        """Ask a run to stop and save its adapter; returns at once."""
        folder = self.folder(run_id)
        status = self._status(folder, "en")
        if not status.ended and status.state != "queued":
            folder.stop.touch()
        return self._status(folder, "en")

    def install_sample(self, folder: Path) -> None:
        """Copy the run that ships with the project to `demo-sample`, once per data folder: it may be deleted."""
        installed = self.root / f".{SAMPLE}-installed"
        if installed.exists() or not (folder / "config.json").is_file():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".{SAMPLE}"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(folder, temporary)
        if not (self.root / SAMPLE).exists():
            temporary.rename(self.root / SAMPLE)
        shutil.rmtree(temporary, ignore_errors=True)
        installed.touch()

    def stage_before(self, run_id: str) -> str | None:
        """The run whose adapter a listed run goes on from."""
        try:
            return RunFolder(self.root / run_id).read_config().init_run or None
        except (ValidationError, OSError):
            return None

    def ready(self, run_id: str) -> bool:
        """Whether the adapter that a listed run goes on from is there: complete, or stopped when that was asked for."""
        if (before := self.stage_before(run_id)) is None:
            return True
        folder = RunFolder(self.root / before)
        state = self._status(folder, "en").state
        if state == "stopped":  # midway: good for a run that was made of it since, not for one that awaited its end
            return has_adapter(folder) and _age(folder.status) <= _age(RunFolder(self.root / run_id).config)
        return has_adapter(folder) and state == "finished"

    def _summary(self, run_id: str, locale: str) -> RunSummary:
        folder = RunFolder(self.root / run_id)
        status = self._status(folder, locale)
        known = {name: getattr(status, name) for name in ("state", "phase", "reason", "step", "total_steps", "ended")}
        known |= {"run_id": run_id, "train_loss": status.train_loss, "has_adapter": has_adapter(folder)}
        known["created_at"] = datetime.fromtimestamp(_age(folder.config) / 1e9, UTC)
        about = read_about(folder)
        known |= {"note": about.note, "group": about.group}
        try:
            config = folder.read_config()
        except (ValidationError, OSError):
            return RunSummary(name=about.name or run_id, **known)
        return RunSummary(
            name=about.name or config.name or run_id,
            init_run=config.init_run,
            preset=config.preset,
            dataset=config.dataset,
            dataset_version=config.dataset_version,
            base_model=config.base_model,
            **known,
        )

    def _status(self, folder: RunFolder, locale: str) -> RunStatus:
        status = _read(folder)
        # Whoever launches strikes it off the list afterwards: what lives or is finished waits no more.
        finished = status is not None and status.state == "finished"
        if not finished and folder.root.name in waiting(self.data_dir).runs and not self._lives(folder, status):
            return self._queued(folder, status, locale)
        if status is not None and status.ended:
            return _told(status, locale)
        if self._lives(folder, status) or (status is None and folder.read_launch() is None and _is_young(folder)):
            status = status or RunStatus(state="starting")
            return status.model_copy(update={"state": "stopping"}) if folder.stop.exists() else status
        status = _read(folder) or RunStatus(state="starting")  # its last word may have come between the two looks
        if status.ended:
            return _told(status, locale)
        exit_code = child.poll() if (child := self._children.get(folder.root.name)) else None
        return status.model_copy(update={"state": "crashed", "reason": last_words.reason(folder, exit_code, locale)})

    def _queued(self, folder: RunFolder, status: RunStatus | None, locale: str) -> RunStatus:
        """A run that waits for the device, or for the run that it goes on from."""
        run_id, reason = folder.root.name, ""
        if (before := self.stage_before(run_id)) and not self.ready(run_id):
            stage = RunFolder(self.root / before)
            state = self._status(stage, locale).state if stage.config.exists() else "failed"
            key = "stopped" if state == "stopped" else "without" if state in ENDED else "behind"
            reason = text(f"queue.{key}", locale, run=before)
        known = status or RunStatus(state="queued")
        return known.model_copy(update={"state": "queued", "phase": None, "reason": reason})

    def _lives(self, folder: RunFolder, status: RunStatus | None) -> bool:
        if child := self._children.get(folder.root.name):
            child.poll()  # reaps it, so that no zombie stays
        launch = folder.read_launch()
        known = launch or status
        return known is not None and process_of(known.pid, known.pid_started) is not None

    def _launch(self, folder: RunFolder) -> None:
        try:
            command = (*self.command, str(folder.root))
            child = spawn(command, folder.root, folder.log, child_environment(self.data_dir))
        except OSError as error:
            raise RunFailed("runs.error_spawn", reason=str(error)) from error
        self._children[folder.root.name] = child
        try:
            replace_text(folder.launch, launch_of(child).model_dump_json())
        except OSError as error:
            child.kill()
            child.wait()
            raise RunFailed("runs.error_write", folder=str(self.root), reason=str(error)) from error

    def _wait_for_exits(self) -> None:
        """A worker that has said its last word still holds the device until it is gone."""
        for child in self._children.values():
            try:
                child.wait(EXIT_WAIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def has_adapter(folder: RunFolder) -> bool:
    """Whether the run saved an adapter that can be loaded."""
    return (folder.adapter / "adapter_config.json").is_file() and any(folder.adapter.glob("adapter_model.*"))


def _read(folder: RunFolder) -> RunStatus | None:
    try:
        return folder.read_status()
    except (ValidationError, OSError):
        return None


def _told(status: RunStatus, locale: str) -> RunStatus:
    """The status with its reason in the reader's language, where the worker gave its code."""
    if not status.reason_code:
        return status
    return status.model_copy(update={"reason": text(status.reason_code, locale, **status.reason_values)})


def _is_young(folder: RunFolder) -> bool:
    """Whether a run without a process may still be on its way to one."""
    return time.time() - _age(folder.config) / 1e9 < LAUNCH_GRACE_S


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
