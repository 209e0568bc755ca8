"""Run folders for tests, and the worker on them as the process that it is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from training.contract import PROJECT_ROOT, RunConfig, RunFolder, TrainingExample

QUICK = {
    "dataset": "test",
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 5e-3,
    "lora_r": 4,
    "warmup_steps": 1,
}


def make_examples(facts: int = 6) -> list[TrainingExample]:
    """Four phrasings of each fact, one of them held out."""
    return [
        TrainingExample(
            id=fact * 4 + phrasing,
            fact_id=fact,
            split="train" if phrasing else "heldout_phrasing",
            kind="paraphrase",
            answer_style="short",
            question=f"作品{fact}の主人公は" + "誰" * (phrasing + 1) + "ですか？",
            answer=f"主人公は人物{fact}です。",
        )
        for fact in range(facts)
        for phrasing in range(4)
    ]


def make_run(root: Path, base_model: Path | str, **changes: object) -> RunFolder:
    """Write a run folder as the UI does, with a few steps only."""
    folder = RunFolder(root)
    root.mkdir(parents=True, exist_ok=True)
    config = RunConfig(base_model=str(base_model), **(QUICK | changes))
    folder.config.write_text(config.model_dump_json(), encoding="utf-8")
    write_examples(folder, make_examples())
    return folder


def write_examples(folder: RunFolder, examples: list[TrainingExample]) -> None:
    """Replace the run's examples."""
    folder.examples.write_text("".join(example.model_dump_json() + "\n" for example in examples), encoding="utf-8")


def spawn(folder: RunFolder, *killed_in: str, inherit: bool = False) -> subprocess.Popen[bytes]:
    """Start the worker as the UI does: in its folder, in a session of its own, with its output in worker.log.

    `killed_in` is the step in which it dies. `inherit` keeps this process's environment (CUDA and compiler settings);
    tests want a bare one.
    """
    module = "tests.worker.faulty" if killed_in else "training.worker"
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(folder.root), "OMP_NUM_THREADS": "2"}
    compiled = {"UNSLOTH_COMPILE_LOCATION": str(folder.root / "compiled")}
    with folder.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(folder.root), *killed_in],
            cwd=folder.root,
            env=(dict(os.environ) if inherit else bare) | compiled | {"PYTHONPATH": str(PROJECT_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Poll until the condition holds; a test that waits longer fails."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def has_steps(folder: RunFolder, steps: int) -> bool:
    """Whether the worker has written at least so many metrics."""
    return len(folder.read_metrics()[0]) >= steps


def losses(folder: RunFolder) -> list[tuple[int, float]]:
    """Step and loss of every step that was recorded."""
    return [(record.step, record.loss) for record in folder.read_metrics()[0] if record.loss is not None]
