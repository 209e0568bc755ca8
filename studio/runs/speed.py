"""How long a run will take, from how fast this machine trained the same base before; it must not know how a run works.

The runs of the data folder are the measurements: nothing else is kept.
"""

import statistics
from dataclasses import dataclass

from pydantic import ValidationError

from studio.runs.registry import Runs
from training.contract import MetricRecord, RunConfig, RunFolder, resolve_base_model
from training.preflight_report import FieldValue, Preflight, total_tokens

TAIL_BYTES = 1 << 16
LEAST_RECORDS = 5


@dataclass(frozen=True)
class Speed:
    """Tokens a second, padding not counted; `here` is False for the sample run, which another machine trained."""

    tokens_per_s: float
    here: bool


def measured_speed(runs: Runs, base_model: str) -> Speed | None:
    """The speed of the newest run of this base that tells one, one of this machine's before the sample's."""
    base = resolve_base_model(base_model)
    sample = None
    for run_id in runs.ids():
        folder = RunFolder(runs.root / run_id)
        try:
            same = resolve_base_model(folder.read_config().base_model) == base
        except (OSError, ValidationError):
            continue
        if same and (speed := _speed_of(folder)) is not None:
            if folder.launch.exists():
                return Speed(speed, here=True)
            sample = sample or Speed(speed, here=False)
    return sample


def expected_seconds(config: RunConfig, found: Preflight, speed: Speed | None) -> float | None:
    """Time of the steps of a run, None where nobody has measured it."""
    tokens = total_tokens(config, found)
    return tokens / speed.tokens_per_s if tokens is not None and speed is not None else None


def within(config: RunConfig, found: Preflight, seconds: float, budget_s: float) -> list[dict[str, FieldValue]]:
    """The ways to keep a run of so many seconds within a budget: fewer steps, or fewer examples of each fact."""
    if seconds <= budget_s or not found.steps:
        return []
    share = budget_s / seconds
    ways: list[dict[str, FieldValue]] = [{"max_steps": max(1, int(found.steps * share))}]
    if found.facts and found.examples and config.method != "cpt" and config.max_steps < 0:
        variants = int(found.examples / found.facts * share)
        ways += [{"variants_per_fact": variants}] if variants >= 1 else []
    return ways


def _speed_of(folder: RunFolder) -> float | None:
    """The median over the last records: the first steps compile, and an evaluation stands between some."""
    try:
        with folder.metrics.open("rb") as file:
            file.seek(0, 2)
            start = max(0, file.tell() - TAIL_BYTES)
            file.seek(start)
            tail = file.read()
        # The first line may be cut, and the last one still be written.
        lines = tail[: tail.rfind(b"\n") + 1].splitlines()[1 if start else 0 :]
        records = [MetricRecord.model_validate_json(line) for line in lines]
    except (OSError, ValidationError):
        return None
    speeds = [record.tokens_per_s for record in records if record.tokens_per_s]
    return statistics.median(speeds) if len(speeds) >= LEAST_RECORDS else None
