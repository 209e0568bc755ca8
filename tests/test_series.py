"""What runs have measured is read on from where it was, shared, and thinned without losing an extreme."""

import os
from pathlib import Path

import pytest

from studio.runs.series import MOST_POINTS, RunSeries
from training.contract import MetricRecord, ProbeRecord, RunFolder, replace_text


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def write(folder: RunFolder, *records: MetricRecord) -> None:
    with folder.metrics.open("a", encoding="utf-8") as lines:
        lines.writelines(record.model_dump_json(exclude_none=True) + "\n" for record in records)


def record(step: int, **values: float) -> MetricRecord:
    return MetricRecord(step=step, total_steps=100, epoch=0.1, elapsed_s=step, **values)  # type: ignore[arg-type]


def points(folder: RunFolder, figure: str = "loss", runs: RunSeries | None = None) -> list[tuple[int, float]]:
    line = (runs or RunSeries()).of(folder).line(figure, 0, 10**9)
    return list(zip(line.steps, line.values, strict=True))


def test_a_run_is_read_on_and_half_a_line_waits(folder: RunFolder) -> None:
    runs = RunSeries()
    assert points(folder, runs=runs) == []
    write(folder, record(1, loss=3.0))
    assert points(folder, runs=runs) == [(1, 3.0)]
    write(folder, record(2, loss=2.0))
    with folder.metrics.open("a") as lines:
        lines.write(record(3, loss=1.0).model_dump_json()[:20])
    assert points(folder, runs=runs) == [(1, 3.0), (2, 2.0)]


def test_nothing_new_has_the_same_version_and_a_probe_another(folder: RunFolder) -> None:
    runs = RunSeries()
    write(folder, record(1, loss=3.0))
    version = runs.of(folder).version
    assert runs.of(folder).version == version
    probe = ProbeRecord(step=1, epoch=0.1, question_set="trained", asked=2, right=1, partly=0, seconds=0.1)
    folder.probes.write_text(probe.model_dump_json() + "\n", "utf-8")
    assert runs.of(folder).version != version and runs.of(folder).probes == [probe]


def test_an_evaluation_leaves_no_gap_in_the_loss_and_hides_nothing_of_the_last_step(folder: RunFolder) -> None:
    write(folder, record(1, loss=3.0, learning_rate=1e-3), record(1, eval_loss=2.5), record(2, loss=float("nan")))
    assert points(folder) == [(1, 3.0)] and points(folder, "eval_loss") == [(1, 2.5)]
    last = RunSeries().of(folder).last
    assert last is not None and (last.step, last.learning_rate, last.eval_loss) == (2, 1e-3, 2.5)


@pytest.mark.parametrize("longer", [False, True])
def test_a_resumed_run_whose_records_were_cut_is_read_again(folder: RunFolder, longer: bool) -> None:
    runs = RunSeries()
    write(folder, *(record(step, loss=1.0) for step in range(1, 6)))
    assert len(points(folder, runs=runs)) == 5
    replace_text(folder.metrics, "")
    write(folder, *(record(step, loss=2.0) for step in range(1, 9 if longer else 4)))
    assert points(folder, runs=runs) == [(step, 2.0) for step in range(1, 9 if longer else 4)]


def test_a_long_run_is_thinned_with_its_extremes_and_looked_at_closely_in_full(folder: RunFolder) -> None:
    lines = [f'{{"step":{step},"total_steps":9,"epoch":0,"elapsed_s":0,"loss":1.0}}\n' for step in range(1, 100_001)]
    lines[54_320] = lines[54_320].replace("1.0", "9.0")
    folder.metrics.write_text("".join(lines))
    series = RunSeries().of(folder)
    whole = series.line("loss", 0, 100_000)
    assert len(whole.steps) == MOST_POINTS and whole.steps[-1] == 100_000
    assert max(whole.high) == 9.0 and max(whole.values) < 1.1 and min(whole.low) == 1.0
    closer = series.line("loss", 54_300, 54_400)
    assert len(closer.steps) == 101 and max(closer.values) == 9.0 and closer.low == []


def test_only_so_many_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.runs.series.MOST_RUNS", 2)
    runs = RunSeries()
    for name in "abcab":
        (tmp_path / name).mkdir(exist_ok=True)
        folder = RunFolder(tmp_path / name)
        folder.metrics.write_text(record(ord(name), loss=1.0).model_dump_json() + "\n")
        assert points(folder, runs=runs) == [(ord(name), 1.0)]
    assert [os.path.basename(name) for name in runs._kept] == ["a", "b"]
