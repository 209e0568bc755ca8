"""What runs have measured, read on from where it was and thinned for a chart; it must not know how one is drawn.

Every browser that looks at a run shares what was read of it: a hundred thousand steps are parsed once.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from training.contract import MetricRecord, ProbeRecord, RunFolder

FIGURES = ("loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_s", "memory_bytes", "gpu_load")
MOST_POINTS = 400
MOST_RUNS = 24
LATEST = 50  # records that are looked through for what the last one does not say


class Line(NamedTuple):
    """Points of a chart; where several steps share a point, `low` and `high` are their extremes."""

    steps: list[int]
    values: list[float]
    low: list[float]
    high: list[float]


@dataclass
class Series:
    """What one run has measured so far."""

    files: tuple[int, int] = (0, 0)
    offset: int = 0
    probes_offset: int = 0
    steps: "array[int]" = field(default_factory=lambda: array("q"))
    figures: "dict[str, array[float]]" = field(default_factory=lambda: {name: array("d") for name in FIGURES})
    probes: list[ProbeRecord] = field(default_factory=list)
    questions: int = 0
    last: MetricRecord | None = None

    @property
    def version(self) -> str:
        """Another one when there is more to draw."""
        return f"{self.offset}-{self.probes_offset}"

    def line(self, figure: str, first: float, last: float) -> Line:
        """A figure between two steps as at most MOST_POINTS points; a value that is no number leaves a gap."""
        place = slice(bisect_left(self.steps, first), bisect_right(self.steps, last))
        steps, values = np.array(self.steps[place]), np.array(self.figures[figure][place])
        told = np.isfinite(values)
        return _thinned(steps[told], values[told])

    def read_on(self, folder: RunFolder) -> None:
        """Take in what was written since."""
        records, self.offset = folder.read_metrics(self.offset)
        probes, self.probes_offset = folder.read_probes(self.probes_offset)
        for record in records:
            for name, values in self.figures.items():
                value = getattr(record, name)
                values.append(np.nan if value is None else value)
            self.steps.append(record.step)  # last: another thread reads as far as the steps go
        self.probes += probes
        if probes and not self.questions:
            self.questions = len(folder.read_probe_questions())
        if records:
            self.last = _newest(self.last, records[-LATEST:])


class RunSeries:
    """The series of the runs that somebody looks at. Safe to ask from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, Series] = OrderedDict()

    def of(self, folder: RunFolder) -> Series:
        """All that a run has measured up to now; read from the beginning where a resumed run has cut its records."""
        name, files = str(folder.root), (_file(folder.metrics), _file(folder.probes))
        with self._lock:
            series = self._kept.pop(name, None)
            if series is None or any(old not in (0, new) for old, new in zip(series.files, files, strict=True)):
                series = Series()
            series.files = files
            series.read_on(folder)
            self._kept[name] = series
            while len(self._kept) > MOST_RUNS:
                self._kept.popitem(last=False)
            return series


def _thinned(steps: np.ndarray, values: np.ndarray) -> Line:
    if len(steps) <= MOST_POINTS:
        return Line(steps.tolist(), values.tolist(), [], [])
    starts = np.linspace(0, len(steps), MOST_POINTS, endpoint=False).astype(int)
    ends = np.append(starts[1:], len(steps))
    means = np.add.reduceat(values, starts) / (ends - starts)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return Line(steps[ends - 1].tolist(), means.tolist(), low.tolist(), high.tolist())


def _newest(last: MetricRecord | None, records: list[MetricRecord]) -> MetricRecord:
    """The last record, with what only earlier ones say: an evaluation's record has no learning rate."""
    known: dict[str, object] = {}
    for record in (*([last] if last else []), *records):
        known |= record.model_dump(exclude_none=True)
    return MetricRecord.model_validate(known)


def _file(path: Path) -> int:
    """What tells a file from one that has taken its place; 0 where there is none."""
    return path.stat().st_ino if path.exists() else 0
