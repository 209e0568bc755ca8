"""A browser's curve follows a run's metrics from its cursor, stays small, and draws what it has read."""

from pathlib import Path

from studio.pages.run_chart import MOST_POINTS, Curve, downsampled, loss_chart
from training.contract import MetricRecord, RunFolder


def record(step: int, **values: float) -> str:
    return MetricRecord(step=step, total_steps=100, epoch=0.1, elapsed_s=step, **values).model_dump_json() + "\n"


def test_a_curve_reads_on_from_where_it_was(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text(record(1, loss=3.0))
    curve = Curve("run").read(folder)
    with folder.metrics.open("a") as file:
        file.write(record(2, loss=2.0) + record(3, loss=1.0)[:20])
    assert curve.read(folder).loss == ((1, 3.0), (2, 2.0))


def test_nothing_new_gives_the_same_curve(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert Curve("run").read(folder) is not None
    folder.metrics.write_text(record(1, loss=3.0))
    curve = Curve("run").read(folder)
    assert curve.read(folder) is curve


def test_an_evaluation_does_not_hide_the_last_loss(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text(record(1, loss=3.0, learning_rate=1e-3) + record(1, eval_loss=2.5))
    last = Curve("run").read(folder).last
    assert last is not None and (last.loss, last.learning_rate, last.eval_loss) == (3.0, 1e-3, 2.5)


def test_a_long_run_is_thinned_and_keeps_its_last_step() -> None:
    points = downsampled([(step, 1.0) for step in range(1, 30_001)])
    assert len(points) <= MOST_POINTS and points[-1] == (30_000, 1.0)


def test_a_run_that_grows_step_by_step_never_holds_more_points(tmp_path: Path) -> None:
    points: tuple[tuple[int, float], ...] = ()
    for step in range(2_000):
        points = downsampled((*points, (step, 0.5)))
        assert len(points) <= MOST_POINTS
    assert points[-1][0] == 1_999


def test_a_loss_that_is_no_number_draws_nothing_broken() -> None:
    drawn = loss_chart(Curve("run", loss=((1, 2.0), (2, float("nan")), (3, float("inf")))), 10, "ja")
    assert "nan" not in drawn and "inf" not in drawn and drawn.count("<polyline") == 2


def test_before_the_first_step_the_chart_says_so() -> None:
    assert "<svg" not in loss_chart(Curve("run"), 0, "en")
