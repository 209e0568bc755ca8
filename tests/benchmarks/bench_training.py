"""What does the worker cost beside a bare TRL script of the same settings? `python -m tests.benchmarks.bench_training`.

Both train the demo's examples, in turns, each in a process of its own; the losses of all steps are compared too.
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.results_file import save
from training.contract import PROJECT_ROOT, RunFolder, replace_text

STEPS, TURNS = 30, 4  # within the first epoch: the bare script knows the order of that one only
WARM = 5  # the first steps build caches
SAMPLE = RunFolder(PROJECT_ROOT / "assets/demo/run")


def prepared(root: Path) -> RunFolder:
    """A folder with the sample run's examples, short, without probes, which the bare script has none of."""
    folder = RunFolder(root)
    root.mkdir()
    shutil.copy(SAMPLE.examples, folder.examples)
    changes = {"max_steps": STEPS, "save_steps": 10_000, "probe_questions": 0, "heldout_phrasings": 0}
    changes |= {"replay_dataset": "", "replay_share": 0.0}
    replace_text(folder.config, SAMPLE.read_config().model_copy(update=changes).model_dump_json())
    trained = [e.model_copy(update={"split": "train"}) for e in SAMPLE.read_examples()]
    replace_text(folder.examples, "".join(example.model_dump_json() + "\n" for example in trained))
    return folder


def worker(root: Path) -> tuple[list[float], list[float]]:
    """Seconds and losses of the steps of the real worker."""
    folder = prepared(root)
    _run("training.worker", str(root))
    records = [record for record in folder.read_metrics()[0] if record.loss is not None]
    return _between([record.elapsed_s for record in records]), [record.loss for record in records if record.loss]


def bare(root: Path) -> tuple[list[float], list[float]]:
    """Seconds and losses of the steps of the bare script."""
    prepared(root)
    result = root / "bare.json"
    _run("tests.benchmarks.bare_training", str(root), str(result))
    told: dict[str, Any] = json.loads(result.read_text())
    return _between(told["ends"]), told["losses"]


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=PROJECT_ROOT, check=True, stdout=subprocess.DEVNULL)


def _between(moments: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(moments)][WARM:]


def main() -> None:
    """Train in turns, compare, keep."""
    seconds: dict[str, list[float]] = {"worker": [], "bare": []}
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(TURNS):
            pair = [("worker", worker), ("bare", bare)]
            for name, train in pair if turn % 2 else pair[::-1]:
                steps, losses[name] = train(Path(scratch) / f"{name}{turn}")
                seconds[name] += steps
                print(name, f"{1000 * statistics.median(steps):.0f} ms a step", flush=True)
    medians = {name: statistics.median(steps) for name, steps in seconds.items()}
    apart = max(abs(one - other) for one, other in zip(losses["worker"], losses["bare"], strict=True))
    figures = {
        "steps": STEPS,
        "worker_step_ms": round(1000 * medians["worker"], 1),
        "bare_step_ms": round(1000 * medians["bare"], 1),
        "ratio": round(medians["worker"] / medians["bare"], 3),
        "largest_loss_difference": apart,
        "load_average": round(os.getloadavg()[1], 1),
    }
    print(json.dumps(figures))
    save("training", figures)


if __name__ == "__main__":
    main()
