"""Augments a dataset in a thread and keeps every step on disk; it must not know pages."""

from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from studio.augmentation.plan import Plan
from studio.datasets import Datasets
from training.contract import Frozen

Generator = Literal["rules", "endpoint"]
AugmentState = Literal["running", "finished", "cancelled", "failed", "interrupted"]


class FailedFact(Frozen):
    """A fact that got no examples, and why."""

    fact_id: int
    question: str
    reason: str


class AugmentStatus(Frozen):
    """`status.json` of a job."""

    state: AugmentState
    reason: str = ""
    done: int = 0
    total: int = 0
    planned: int = 0
    made: int = 0
    added: int = 0
    needs_model: int = 0
    reverse_left_out: int = 0
    tokens: int = 0
    failed: list[FailedFact] = []


class AugmentJobs:
    """The augmentation jobs of one data folder."""

    def __init__(self, datasets: Datasets, folder: Path) -> None:
        self._datasets = datasets
        self._folder = folder

    def start(
        self, dataset: str, *, generator: Generator = "rules", plan: Plan, options: dict[str, JsonValue] | None = None
    ) -> str:
        """Start augmenting a dataset and return the job's id."""
        raise NotImplementedError

    def status(self, job_id: str) -> AugmentStatus:
        """Where a job stands; a job that a restart of the app cut off reads as interrupted."""
        raise NotImplementedError

    def cancel(self, job_id: str) -> AugmentStatus:
        """Ask a job to stop after the facts in work; what it made stays."""
        raise NotImplementedError
