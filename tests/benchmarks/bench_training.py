"""What does the worker cost beside a bare TRL script of the same settings? `python -m tests.benchmarks.bench_training`.

Both train the demo's examples, each in a process of its own, a few steps at a time while the other is halted: the speed
of a shared machine drifts by more within a minute than what is looked for. The losses of all steps are compared too.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.results_file import save
from training.contract import PROJECT_ROOT, RunFolder, replace_text

# Within the first epoch: the bare script knows the order of that one only.
STEPS, TURNS = 33, 3
AT_ONCE = 2
POLL_S = 0.002
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


class Side:
    """A training that goes on when it is told to, a few steps at a time."""

    def __init__(self, module: str, lines: Path, *arguments: str) -> None:
        self._lines = lines
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=PROJECT_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def losses(self) -> list[float]:
        """Of all steps so far."""
        whole = self._lines.read_bytes().rpartition(b"\n")[0].splitlines() if self._lines.exists() else []
        return [loss for line in whole if (loss := json.loads(line).get("loss")) is not None]

    def go_on(self, steps: int) -> float:
        """Seconds until that many steps are done; then it is halted, unless it has ended."""
        began = time.perf_counter()
        self._process.send_signal(signal.SIGCONT)
        while len(self.losses()) < steps:
            if self._process.poll() not in (None, 0):
                raise SystemExit(f"{self._process.args} failed")
            time.sleep(POLL_S)
        seconds = time.perf_counter() - began
        if steps < STEPS:
            self._process.send_signal(signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        """Let it end, or end it."""
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    """Train in turns, compare, keep."""
    seconds: dict[str, list[float]] = {"worker": [], "bare": []}
    differences: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(TURNS):
            folders = {name: prepared(Path(scratch) / f"{name}{turn}") for name in seconds}
            lines = folders["bare"].root / "bare.jsonl"
            sides = {"worker": Side("training.worker", folders["worker"].metrics, str(folders["worker"].root))}
            sides["worker"].go_on(WARM)
            sides["bare"] = Side("tests.benchmarks.bare_training", lines, str(folders["bare"].root), str(lines))
            sides["bare"].go_on(WARM)
            for step in range(WARM + AT_ONCE, STEPS + 1, AT_ONCE):
                # Whoever goes first has the caches of the other: they take turns at that too.
                for name in list(sides)[:: 1 if step // AT_ONCE % 2 else -1]:
                    seconds[name].append(sides[name].go_on(step))
            pairs = zip(*(side.losses() for side in sides.values()), strict=True)
            differences += [abs(one - other) for one, other in pairs]
            for side in sides.values():
                side.end()
            print(told(seconds), flush=True)
    figures = told(seconds) | {
        "steps": STEPS,
        "largest_loss_difference": max(differences),
        "load_average": round(os.getloadavg()[1], 1),
    }
    print(json.dumps(figures))
    save("training", figures)


def told(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Milliseconds a step, and the median of the ratios of the same steps, seconds after one another."""
    ratios = [one / other for one, other in zip(seconds["worker"], seconds["bare"], strict=True)]
    medians = {name: statistics.median(found) / AT_ONCE for name, found in seconds.items()}
    return {
        "worker_step_ms": round(1000 * medians["worker"], 1),
        "bare_step_ms": round(1000 * medians["bare"], 1),
        "ratio": round(statistics.median(ratios), 3),
    }


if __name__ == "__main__":
    main()
