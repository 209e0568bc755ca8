"""What the charts of some runs hold, as assets/scripts/charts.js draws it; it must not know who asks or reads files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from studio.i18n import text
from studio.pages.markup import element, words
from studio.runs.series import MOST_POINTS, Series
from training.contract import Frozen, ProbeRecord, QuestionSet

MOST_RUNS = 12
MOST_TAGS = 6
# What is charted besides the loss and the scores: the size of its unit, and whether a logarithm may help.
FOLDED = {
    "learning_rate": (1.0, True),
    "grad_norm": (1.0, True),
    "tokens_per_s": (1.0, False),
    "memory_bytes": (1e9, False),
    "gpu_load": (0.01, False),
}
# The same colour for a set in every chart: what is taught is the accent, what must not be lost is the base's.
TONES: dict[QuestionSet, str] = {
    "trained": "0",
    "heldout_phrasing": "1",
    "reverse": "2",
    "heldout_fact": "3",
    "out_of_domain": "base",
}
WORDS = ("smoothing", "log_scale", "by_set", "whole", "zoom_hint", "more", "answers", "step")

Line = dict[str, Any]
Chart = dict[str, Any]


class View(Frozen):
    """What a browser looks at: runs, the steps between which, and the question set that is shown by tag."""

    runs: tuple[str, ...] = Field(max_length=MOST_RUNS)
    first: float | None = None
    last: float | None = None
    by_tag: QuestionSet | None = None


@dataclass(frozen=True)
class Charted:
    """A run as it is drawn."""

    name: str
    series: Series
    total_steps: int


def charts_of(runs: Sequence[Charted], view: View, language: str) -> dict[str, Any]:
    """Words, the runs' names, the range of steps, and charts whose lines have at most MOST_POINTS points each."""
    drawing = _Drawing(runs, view, language)
    answers = drawing.alone and any(record.answers for record in runs[0].series.probes)
    charts = [chart for chart in drawing.charts() if chart["lines"]]
    return {
        "language": language,
        "words": {name: text(f"charts.{name}", language) for name in WORDS},
        "sets": {name: text("charts.by_tag", language, question_set=drawing.title(name)) for name in TONES},
        "runs": [{"name": run.name, "tone": str(place)} for place, run in enumerate(runs)],
        "whole": drawing.whole,
        "note": drawing.thinned(),
        "charts": charts,
        "answers": answers,
        "nothing": "" if charts else text("charts.nothing", language),
    }


def answers_table(probes: Sequence[ProbeRecord], language: str) -> str:
    """What was asked last and what was said, set by set; nothing before the first probe."""
    last = max((record.step for record in probes), default=-1)
    records = [record for record in probes if record.step == last]
    rows = [
        element(
            "tr",
            words(text(f"charts.set_{record.question_set}", language), name="td")
            + words(answer.question, name="td")
            + words(answer.answer or text(f"arena_page.state_{answer.reply_state}", language), name="td")
            + words(text(f"charts.verdict_{answer.verdict}", language), f"oboe-verdict-{answer.verdict}", "td"),
        )
        for record in records
        for answer in record.answers
    ]
    heads = ("column_set", "column_question", "column_answer", "column_verdict")
    head = element("tr", "".join(words(text(f"charts.{name}", language), name="th") for name in heads))
    table = element("table", element("thead", head) + element("tbody", "".join(rows)), "oboe-table")
    told = words(text("charts.answers_at", language, step=f"{last:,}"), "oboe-muted", "p")
    return told + element("div", table, "oboe-table-frame") if rows else ""


class _Drawing:
    def __init__(self, runs: Sequence[Charted], view: View, language: str) -> None:
        self.runs = runs
        self.alone = len(runs) == 1
        self.view = view
        self.language = language
        self.whole = max((run.total_steps for run in runs), default=0)
        self.span = (view.first or 0, self.whole if view.last is None else view.last)

    def charts(self) -> Iterator[Chart]:
        losses = [*self._lines("loss"), *map(self._evaluation, self._lines("eval_loss"))]
        yield self._chart("loss", losses, log=True)
        yield from self._by_tag(self.view.by_tag) if self.view.by_tag else self._by_set()
        for name, (unit, log) in FOLDED.items():
            yield self._chart(name, list(self._lines(name, unit)), log=log, folded=True)

    def title(self, question_set: QuestionSet) -> str:
        return text(f"charts.set_{question_set}", self.language)

    def thinned(self) -> str:
        """That a probe asks fewer questions than the run has, to stay within its time."""
        for run in self.runs:
            last = max((record.step for record in run.series.probes), default=0)
            asked = sum(record.asked for record in run.series.probes if record.step == last)
            if 0 < asked < run.series.questions:
                values = {"run": run.name, "asked": asked, "questions": run.series.questions}
                return text("charts.thinned", self.language, **values)
        return ""

    def _lines(self, name: str, unit: float = 1.0) -> Iterator[Line]:
        label = text(f"charts.line_{name}", self.language)
        for place, run in enumerate(self.runs):
            line = run.series.line(name, *self.span)
            if line.steps:
                points = {"values": line.values, "low": line.low, "high": line.high}
                yield {
                    "label": label if self.alone else run.name,
                    "tone": str(place),
                    "dashed": False,
                    "x": line.steps,
                } | {key: _short(values, unit) for key, values in points.items()}

    def _evaluation(self, line: Line) -> Line:
        label = line["label"] if self.alone else text("charts.evaluation_of", self.language, run=line["label"])
        return line | {"label": label, "dashed": True}

    def _by_set(self) -> Iterator[Chart]:
        """The scores of one run in one chart; of several, a chart for each question set: so runs are told apart."""
        if self.alone:
            probes = self.runs[0].series.probes
            lines = [_scores(_of(probes, name), self.title(name), tone) for name, tone in TONES.items()]
            yield self._chart("probes", lines, share=True)
            return
        for name in TONES:
            lines = [_scores(_of(run.series.probes, name), run.name, str(place)) for place, run in enumerate(self.runs)]
            title = text("charts.chart_set", self.language, question_set=self.title(name))
            yield self._chart("probes", lines, share=True) | {"title": title}

    def _by_tag(self, question_set: QuestionSet) -> Iterator[Chart]:
        """A chart for each run, with the tags that most of its questions have."""
        for run in self.runs:
            records = _of(run.series.probes, question_set)
            asked: dict[str, int] = {}
            for tag, (_, number) in (entry for record in records for entry in record.by_tag.items()):
                asked[tag] = max(number, asked.get(tag, 0))
            tags = sorted(asked, key=lambda tag: (-asked[tag], tag))[:MOST_TAGS]
            lines = [_scores(records, tag, str(place), tag=tag) for place, tag in enumerate(tags)]
            values = {"question_set": self.title(question_set), "run": run.name}
            yield self._chart("probes", lines, share=True) | {
                "title": text("charts.chart_tags", self.language, **values)
            }

    def _chart(self, key: str, lines: Sequence[Line], **traits: bool) -> Chart:
        """`share` is drawn from 0 to 100 %, `log` may be drawn on a logarithm's scale, `folded` is looked at seldom."""
        usual = {"log": False, "share": False, "folded": False}
        title = text(f"charts.chart_{key}", self.language)
        return {"key": key, "title": title, "lines": [line for line in lines if line["x"]]} | usual | traits


def _of(probes: Sequence[ProbeRecord], question_set: QuestionSet) -> list[ProbeRecord]:
    return [record for record in probes if record.question_set == question_set]


def _scores(records: Sequence[ProbeRecord], label: str, tone: str, *, tag: str = "") -> Line:
    """Right answers in percent, of all questions or of those with a tag; `told` says of how many."""
    scores = {
        record.step: record.by_tag.get(tag, (0, 0)) if tag else (record.right, record.asked) for record in records
    }
    told = {step: score for step, score in scores.items() if score[1]}
    # Of very many short epochs every so many are enough for a curve; the last one is always there.
    steps = list(told)[:: -max(1, -(-len(told) // MOST_POINTS))][::-1]
    return {
        "label": label,
        "tone": tone,
        "dashed": False,
        "x": steps,
        "values": [round(100 * told[step][0] / told[step][1], 1) for step in steps],
        "low": [],
        "high": [],
        "told": [f"{told[step][0]}/{told[step][1]}" for step in steps],
    }


def _short(values: Sequence[float], unit: float) -> list[float]:
    """Four digits are more than a chart shows, and a third of what would be sent."""
    return [float(f"{value / unit:.4g}") for value in values]
