"""The runs of one data folder: what is on disk is the truth; starting spawns a worker that outlives the UI.

Knows processes and files, not how a model is trained or how a page looks.
"""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from training.contract import Phase, RunConfig, RunFolder, RunState, RunStatus, TrainingExample


class ExampleSource(Protocol):
    """Where a run's examples come from (studio.datasets.Datasets)."""

    def frozen_examples(self, name: str, config: RunConfig) -> list[TrainingExample]:
        """The accepted examples of a dataset with their splits."""
        ...


class RunSummary(BaseModel):
    """One line of a list of runs."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    name: str
    preset: str
    dataset: str
    base_model: str
    state: RunState
    phase: Phase | None
    reason: str
    step: int
    total_steps: int
    train_loss: float | None
    created_at: datetime
    has_adapter: bool
    ended: bool


class Runs:
    """Every run below `data_dir`/runs."""

    def __init__(self, data_dir: Path, datasets: ExampleSource) -> None: ...

    def ids(self) -> list[str]:
        """Run ids, newest first."""
        raise NotImplementedError

    def summaries(self, locale: str = "en") -> list[RunSummary]:
        """All runs, newest first; `reason` is in `locale`."""
        raise NotImplementedError

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run that exists. The id may come from a browser, so it is looked up, never joined."""
        raise NotImplementedError

    def config(self, run_id: str) -> RunConfig:
        """What a run was started with."""
        raise NotImplementedError

    def status(self, run_id: str, locale: str = "en") -> RunStatus:
        """Where a run stands; `crashed` with a reason when its process is gone without a last word."""
        raise NotImplementedError

    def active(self) -> str | None:
        """The run whose process lives, if any."""
        raise NotImplementedError

    def start(self, config: RunConfig) -> str:
        """Freeze configuration and examples, spawn the worker, and return the new run's id."""
        raise NotImplementedError

    def stop(self, run_id: str) -> RunStatus:
        """Ask a run to stop and save its adapter; returns at once."""
        raise NotImplementedError

    def install_sample(self, folder: Path) -> None:
        """Copy the run that ships with the project to `demo-sample`, once per data folder."""
        raise NotImplementedError
