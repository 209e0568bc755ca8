"""A dataset, its jobs and the waiting for them, for the tests of augmentation."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio.augmentation.jobs import AugmentJobs, AugmentStatus
from studio.augmentation.plan import Plan
from studio.datasets import Datasets
from studio.store import open_store
from tests.openai_server import Server

PLAN = Plan(forward=3, reverse=2, answers=2)


def new_datasets(folder: Path) -> Datasets:
    """An empty dataset called anime."""
    made = Datasets(open_store(folder / "studio.db"))
    made.create("anime")
    return made


def fill(datasets: Datasets, facts: int) -> None:
    """Facts whose answers are all different."""
    for number in range(facts):
        datasets.add_fact("anime", f"作品{number}の主人公は誰ですか？", f"作品{number}の主人公は人物{number}です。")


def wait_until(condition: Callable[[], bool], bound_s: float = 120) -> None:
    """Poll a condition."""
    ends = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < ends, "the condition did not come true in time"
        threading.Event().wait(0.01)


def ended(jobs: AugmentJobs, job_id: str) -> AugmentStatus:
    """The status of a job that runs no more."""
    wait_until(lambda: jobs.status(job_id).state != "running")
    return jobs.status(job_id)


def ask(jobs: AugmentJobs, server: Server, **options: object) -> AugmentStatus:
    """Multiply the dataset by a server."""
    os.environ["OBOE_API_URL"] = server.base_url
    chosen = {"base_url": server.base_url, "model": "tiny", **options}
    return ended(jobs, jobs.start("anime", generator="endpoint", plan=PLAN, options=chosen))
