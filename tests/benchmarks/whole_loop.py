"""The product's path without a browser, for benchmarks: import, augment, train, ask, score."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import inference
from studio.augmentation.plan import Plan
from studio.house import Studio
from studio.inference import Endpoint, Reply
from studio.runs.presets import run_config
from training.contract import RunStatus
from training.scoring import holds_key_terms

AT_ONCE = 16


@dataclass(frozen=True)
class Question:
    """A question and the terms that a right answer holds."""

    text: str
    key_terms: Sequence[Sequence[str]]


def wait_for(done: Callable[[], bool], timeout_s: float) -> None:
    """Poll until something is so; raises TimeoutError after `timeout_s`."""
    limit = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > limit:
            raise TimeoutError(f"not done after {timeout_s} s")
        time.sleep(0.2)


def augment(studio: Studio, dataset: str, plan: Plan | None = None) -> None:
    """Multiply every fact with the built-in rules."""
    job = studio.jobs.start(dataset, generator="rules", plan=plan or Plan())
    wait_for(lambda: studio.jobs.status(job).state != "running", 120)
    if (status := studio.jobs.status(job)).state != "finished":
        raise RuntimeError(f"augmentation {status.state}: {status.reason}")


def train(studio: Studio, values: dict[str, Any], timeout_s: float = 1800) -> tuple[str, RunStatus, float]:
    """Start a run and wait for its end: run id, last status, seconds of training (loading left out)."""
    run_id = studio.runs.start(run_config(values))
    wait_for(lambda: studio.runs.status(run_id).ended, timeout_s)
    status = studio.runs.status(run_id)
    if status.state != "finished":
        raise RuntimeError(f"run {status.state}: {status.reason}")
    metrics, _ = studio.runs.folder(run_id).read_metrics()
    return run_id, status, metrics[-1].elapsed_s


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSONL file with `question` and `key_terms`."""
    return [Question(line["question"], line["key_terms"]) for line in read_lines(path)]


def ask_all(endpoint: Endpoint, model: str, questions: Sequence[Question]) -> list[Reply]:
    """Ask every question once, several at a time, in order."""

    def one(question: Question) -> Reply:
        return inference.ask(endpoint, model, [{"role": "user", "content": question.text}])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, questions))


def share_right(questions: Sequence[Question], replies: Sequence[Reply]) -> float:
    """Share of the answers that hold their question's key terms."""
    right = [holds_key_terms(r.answer, q.key_terms) for q, r in zip(questions, replies, strict=True)]
    return sum(right) / len(right)
