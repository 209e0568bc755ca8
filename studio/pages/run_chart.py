"""A run's loss as a light SVG of fixed size: a new point moves nothing else. It must not know who writes records."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from studio.i18n import text
from studio.pages.markup import element, figure, words
from training.contract import MetricRecord, RunFolder

MOST_POINTS = 500
WIDTH, HEIGHT = 760, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 26
WINDOW_SHARE = 40  # the bold line is a mean over this part of the points


@dataclass(frozen=True)
class Curve:
    """What one browser has read of a run's metrics: a cursor and the points drawn from it."""

    run_id: str = ""
    offset: int = 0
    loss: tuple[tuple[int, float], ...] = ()
    eval_loss: tuple[tuple[int, float], ...] = ()
    last: MetricRecord | None = None

    def read(self, folder: RunFolder) -> "Curve":
        """The curve with what the worker has written since; itself where that is nothing."""
        records, offset = folder.read_metrics(self.offset)
        if not records:
            return self
        loss = [(record.step, record.loss) for record in records if record.loss is not None]
        eval_loss = [(record.step, record.eval_loss) for record in records if record.eval_loss is not None]
        return replace(
            self,
            offset=offset,
            loss=downsampled((*self.loss, *loss)),
            eval_loss=(*self.eval_loss, *eval_loss),
            last=_newest(self.last, records),
        )


def _newest(last: MetricRecord | None, records: Sequence[MetricRecord]) -> MetricRecord:
    """The last record, with what only earlier ones say: an evaluation's record has no learning rate."""
    known: dict[str, object] = {}
    for record in (*([last] if last else []), *records):
        known |= record.model_dump(exclude_none=True)
    return MetricRecord.model_validate(known)


def downsampled(points: Sequence[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """At most MOST_POINTS, each the mean of its neighbours; below that the points themselves."""
    if len(points) <= MOST_POINTS:
        return tuple(points)
    # Halving leaves room, so that a long run is thinned now and then instead of at every tick.
    size = math.ceil(len(points) / (MOST_POINTS // 2))
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return tuple((group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups)


def loss_chart(curve: Curve, total_steps: int, locale: str) -> str:
    """The loss over the steps of the whole run."""
    if not curve.loss:
        return element("div", words(text("training_page.no_loss_yet", locale), "oboe-muted"), "oboe-chart empty")
    points = [(step, loss) for step, loss in curve.loss if math.isfinite(loss)]
    last_step = max(total_steps, points[-1][0] if points else 1, 1)
    top = _nice(max((loss for _, loss in points), default=1.0))
    drawn = (
        _grid(last_step, top) + _line(points, last_step, top, "raw") + _line(_smooth(points), last_step, top, "smooth")
    )
    drawn += _line(curve.eval_loss, last_step, top, "eval")
    title = text("training_page.chart", locale, loss=figure(points[-1][1] if points else None))
    key = "training_page.chart_legend" if curve.eval_loss else "training_page.loss"
    legend = words(text(key, locale), "oboe-chart-title")
    svg = element("svg", drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)
    return element("div", legend + svg, "oboe-chart")


def _place(step: float, loss: float, last_step: int, top: float) -> tuple[float, float]:
    x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(loss, top) / top)
    return x, y


def _line(points: Sequence[tuple[float, float]], last_step: int, top: float, classes: str) -> str:
    if not points:
        return ""
    places = " ".join("{:.1f},{:.1f}".format(*_place(step, loss, last_step, top)) for step, loss in points)
    return element("polyline", "", classes, points=places)


def _smooth(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The mean of each point's neighbours on both sides, so that the line does not lag behind."""
    reach = max(2, len(points) // WINDOW_SHARE)
    found = []
    for place, (step, _) in enumerate(points):
        near = points[max(0, place - reach) : place + reach + 1]
        found.append((step, sum(loss for _, loss in near) / len(near)))
    return found


def _grid(last_step: int, top: float) -> str:
    drawn = []
    for part in range(5):
        value = top * part / 4
        x, y = _place(0, value, last_step, top)
        drawn.append(element("line", "", x1=f"{x:.1f}", x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}"))
        drawn.append(element("text", f"{value:.3g}", "y", x=LEFT - 8, y=f"{y + 4:.1f}"))
    for part in range(5):
        step = round(last_step * part / 4)
        x, _ = _place(step, 0, last_step, top)
        drawn.append(element("text", f"{step:,}", "x", x=f"{x:.1f}", y=HEIGHT - 6))
    return "".join(drawn)


def _nice(value: float) -> float:
    """The next round number above a value, so that the axis stays while the loss falls."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 4.0, 6.0, 8.0, 10.0) if value <= step * power)
