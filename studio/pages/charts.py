"""The charts of runs as a component: which runs a browser looks at, and what its script asks for.

The script asks outside Gradio's queue: when there is something new, and when somebody looks closer. What was read of a
run is shared by all browsers.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio.pages.charts_view import MOST_RUNS, Charted, View, answers_table, charts_of
from studio.pages.language import locale
from studio.runs.registry import Runs
from studio.runs.series import RunSeries, Series
from training.contract import PROJECT_ROOT, MetricRecord

SCRIPT = PROJECT_ROOT / "assets" / "scripts" / "charts.js"


@dataclass(frozen=True)
class Curve:
    """The run that one browser watches, the runs laid over it, and how far it has drawn them."""

    run_id: str = ""
    beside: tuple[str, ...] = ()
    version: str = ""


class Charts:
    """The charts of one program."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._series = RunSeries()

    def build(self, elem_id: str) -> gr.HTML:
        """A component that draws what `shown` gives, and nothing where that is empty."""

        def figures(view: dict[str, Any], request: gr.Request) -> dict[str, Any]:
            return self.figures(View.model_validate(view), locale(request))

        def answers(run_id: str, request: gr.Request) -> str:
            return answers_table(self._of(run_id).probes, locale(request)) if run_id in self._runs.ids() else ""

        return gr.HTML(
            "",
            elem_id=elem_id,
            html_template="<div></div>",  # the script fills it: a new value must not draw it afresh
            js_on_load=SCRIPT.read_text("utf-8"),
            apply_default_css=False,
            server_functions=[figures, answers],
        )

    def read(self, curve: Curve) -> Curve:
        """The curve as far as the workers have written; the same one where there is nothing new."""
        known = self._runs.ids()
        beside = tuple(run_id for run_id in curve.beside if run_id in known)
        version = " ".join(self._of(run_id).version for run_id in (curve.run_id, *beside) if run_id)
        return replace(curve, beside=beside, version=version)

    def last(self, run_id: str) -> MetricRecord | None:
        """The newest record of a run, None before its first step."""
        return self._of(run_id).last

    def shown(self, curve: Curve) -> str:
        """The component's value that draws these runs."""
        runs = [run_id for run_id in (curve.run_id, *curve.beside) if run_id][:MOST_RUNS]
        return json.dumps({"runs": runs, "version": curve.version}) if runs else ""

    def figures(self, view: View, language: str) -> dict[str, Any]:
        """What the script draws. Ids come from a browser: those of no run are left out."""
        known = self._runs.ids()
        return charts_of([self._charted(run_id, language) for run_id in view.runs if run_id in known], view, language)

    def _charted(self, run_id: str, language: str) -> Charted:
        series = self._of(run_id)
        last_step = series.last.step if series.last else 0
        return Charted(self._runs.name(run_id), series, max(self._runs.status(run_id, language).total_steps, last_step))

    def _of(self, run_id: str) -> Series:
        return self._series.of(self._runs.folder(run_id))
