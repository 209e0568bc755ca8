"""The training tab: form, summary, the watched run and the runs that were; it must not know how a model is trained.

The truth is in the run's folder: a browser keeps a cursor into its metrics, so a reload or a second browser finds it.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.datasets.splits import Splits
from studio.errors import DatasetError, StudioError
from studio.house import Studio
from studio.i18n import text
from studio.models import cached
from studio.pages.charts import Charts, Curve
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, notice
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.plan_form import build_then, plan_line, plan_of
from studio.pages.preflight_panel import build_preflight_panel
from studio.pages.preset_view import preset_note
from studio.pages.recipes_view import recipes_table
from studio.pages.run_export_panel import build_run_export
from studio.pages.run_form import (
    DIFFERENCES_JS,
    OPEN_CHOICES,
    Form,
    build_run_form,
    differences_line,
    filled_from,
    open_choices,
    preset_values,
    version_choices,
)
from studio.pages.run_view import run_panel
from studio.pages.runs_panel import RunPage, build_run_tools, build_runs_panel
from studio.pages.shell import Shell, moment
from studio.runs.presets import presets
from studio.runs.resume import RESUMABLE

Values = dict[Any, Any]


@dataclass(frozen=True)
class Watched:
    """The run that this browser looks at."""

    charts: Charts
    panel: gr.HTML
    chart: gr.HTML
    stop: gr.Button
    resume: gr.Button
    curve: gr.State

    def parts(self) -> list[Any]:
        """In the order in which the handlers fill them."""
        return [self.panel, self.chart, self.stop, self.resume, self.curve]


def build_training_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """The form on the left, the summary and the watched run on the right, all runs below."""
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=2, min_width=340, elem_classes="oboe-panel", elem_id="run-form"):
            form, note = build_run_form()
            then = build_then()
            changed = drawn("run-differences", js=DIFFERENCES_JS)
            as_preset = gr.Button(label("training_page.all_back"), size="sm", elem_id="run-reset")
        with gr.Column(scale=4, min_width=340):
            summary, start = _build_start(studio, shell, tab, form, then)
            with gr.Column(elem_classes="oboe-panel", elem_id="watched"):
                watched = _build_watched(Charts(studio.runs))
                tools = build_run_tools()
                build_run_export(studio, shell, watched.curve)
            recipes = drawn("recipes")
    filled = gr.State({})
    runs = build_runs_panel(studio, shell, RunPage(form, then, filled, watched.charts, watched.curve, tools))
    handlers = _Training(studio, shell, form, then, watched.charts)
    parts, everything = list(form.values()), {shell.dataset, then, *form.values()}
    start.click(handlers.on_start, everything, [watched.curve, shell.runs_changed], **PRIVATE)
    # Pasted text and an input method's fire `change` only; a preset fires many, of which the last one counts.
    moved = [tab.select, shell.changed.change, then.change, *(part.change for part in parts)]
    gr.on(moved, handlers.on_form, everything, [summary, changed, note], trigger_mode="always_last", **QUIET)
    start_of = [form["preset"], shell.dataset]
    gr.on([form["preset"].input, as_preset.click], handlers.on_preset, start_of, [then, *parts], **QUIET)
    taken = [form[name] for name in (*Splits.model_fields, "dataset_version")]
    shell.changed.change(handlers.on_dataset, [*start_of, filled], [filled, *taken], **QUIET)
    changed.click(handlers.on_put_back, form["preset"], parts, **QUIET)
    choices = [form[name] for name in OPEN_CHOICES]
    tab.select(handlers.on_choices, shell.dataset, choices, **QUIET)
    tab.select(on_recipes, None, recipes, **QUIET)
    _wire_watched(handlers, shell, watched, runs)


def on_recipes(request: gr.Request) -> str:
    """Which recipe was measured to teach and to keep what."""
    return recipes_table(locale(request))


def _build_start(studio: Studio, shell: Shell, tab: gr.Tab, form: Form, then: gr.Dropdown) -> tuple[gr.HTML, gr.Button]:
    """What speaks against a start, the start, and what it would train in detail."""
    with gr.Column(elem_classes="oboe-panel", elem_id="before-start"):
        details = build_preflight_panel(studio, shell, tab, form, then)
        summary = drawn("run-summary", classes="oboe-stack")
        start = gr.Button(label("training_page.start"), variant="primary", elem_id="run-start")
    details.render()  # type: ignore[no-untyped-call]
    return summary, start


def _build_watched(charts: Charts) -> Watched:
    return Watched(
        charts=charts,
        panel=drawn("run-panel", classes="oboe-stack"),
        stop=gr.Button(label("training_page.stop"), visible=False, size="sm", elem_id="run-stop"),
        resume=gr.Button(label("training_page.resume"), visible=False, size="sm", elem_id="run-resume"),
        chart=charts.build("run-chart"),
        curve=gr.State(Curve()),
    )


def _wire_watched(handlers: "_Training", shell: Shell, watched: Watched, runs: gr.HTML) -> None:
    shell.timer.tick(handlers.on_tick, watched.curve, watched.parts(), **QUIET)
    shell.runs_changed.change(handlers.on_runs_changed, watched.curve, watched.parts(), **QUIET)
    runs.select(handlers.on_choose, None, watched.parts(), **QUIET)
    watched.stop.click(handlers.on_stop, watched.curve, watched.parts(), **PRIVATE)
    watched.resume.click(handlers.on_resume, watched.curve, shell.runs_changed, **PRIVATE)


class _Training:
    """The handlers: read the form, ask the runs once, say what changed."""

    def __init__(self, studio: Studio, shell: Shell, form: Form, then: gr.Dropdown, charts: Charts) -> None:
        self.studio = studio
        self.charts = charts
        self.runs = studio.runs
        self.dataset = shell.dataset
        self.form = form
        self.then = then

    @shows_errors
    def on_start(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        plan = plan_of(self._typed(values), values[self.then])
        self.studio.preflights.refuse_targets(plan.configs)
        run_ids = self.studio.queue.submit(plan)
        if waits := [run_id for run_id in run_ids if self.runs.status(run_id).state == "queued"]:
            tell("runs_page.queued", request, runs=", ".join(waits))
        if run_ids[0] in waits:
            return gr.skip(), moment()
        tell("training_page.started", request, run=run_ids[0])
        return Curve(run_ids[0]), moment()

    def on_form(self, values: Values, request: gr.Request) -> tuple[str, str, str]:
        """What a start would do with the form as it stands; a wrong field is told here, beside it."""
        language = locale(request)
        shown = {name: values[part] for name, part in self.form.items()}
        preset = presets().get(shown["preset"])
        note = preset_note(preset, language) if preset else ""
        try:
            summary = plan_line(plan_of(self._typed(values), values[self.then]), language)
        except StudioError as error:
            summary = notice(error.text(language), "warning")
        return summary, differences_line(shown, language), note

    def on_preset(self, preset: str, dataset: str | None) -> list[Any]:
        """The preset's values, and the preset that is to come after it, where it names any."""
        values = preset_values(preset) | self._filled(dataset)
        then = presets()[preset].then if preset in presets() else ""
        return [then, *(values[name] for name in self.form)]

    def on_dataset(self, preset: str, dataset: str | None, filled: Values) -> list[Any]:
        """The form takes how the dataset is divided, once: what a person types over it stays.

        A version is one of its dataset, so another dataset is trained as it is.
        """
        found = self._filled(dataset)
        if found == filled:
            return [gr.skip()] * (2 + len(Splits.model_fields))
        values = preset_values(preset) | found
        same = {name: found.get(name) for name in Splits.model_fields} == {
            name: filled.get(name) for name in Splits.model_fields
        }
        splits = [gr.skip() if same else values[name] for name in Splits.model_fields]
        choices = version_choices(self.studio.versions, found["dataset"])
        of_this = found["dataset"] == filled.get("dataset")
        return [found, *splits, gr.skip() if of_this else gr.Dropdown(choices=choices, value="")]

    def on_put_back(self, preset: str, event: gr.EventData) -> list[Any]:
        values = preset_values(preset)
        return [values[name] if name == event.field else gr.skip() for name in self.form]

    def on_choices(self, dataset: str | None) -> list[Any]:
        """What there is to choose from by now: models, datasets to replay, runs to go on from, versions to train."""
        names = self.studio.datasets.names()
        versions = version_choices(self.studio.versions, dataset if dataset in names else None)
        return open_choices([model.repo for model in cached()], names, self.runs.ids(), versions)

    @shows_errors
    def on_tick(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        if curve.run_id not in self.runs.ids():  # somebody has deleted it elsewhere
            return self.on_runs_changed(curve, request)
        return self._watch(curve, request)

    @shows_errors
    def on_runs_changed(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        """Keeps to the run that is watched; a page just opened takes the active one, else the newest."""
        run_id = self.runs.to_watch(curve.run_id)
        return self._watch(curve if curve.run_id == run_id else Curve(run_id), request, redraw=True)

    @shows_errors
    def on_choose(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        return self._watch(Curve(str(event.run)), request)

    @shows_errors
    def on_stop(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        self.runs.stop(curve.run_id)
        tell("training_page.stopping", request)
        return self._watch(curve, request)

    @shows_errors
    def on_resume(self, curve: Curve, request: gr.Request) -> int:
        self.studio.queue.resume(curve.run_id)
        queued = self.runs.status(curve.run_id).state == "queued"
        tell("runs_page.queued" if queued else "training_page.resumed", request, runs=curve.run_id)
        return moment()

    def _watch(self, curve: Curve, request: gr.Request, *, redraw: bool = False) -> tuple[Any, ...]:
        language = locale(request)
        if not curve.run_id:
            nothing = gr.Button(visible=False)
            return empty(text("training_page.no_run", language)), "", nothing, nothing, curve
        status = self.runs.status(curve.run_id, language)
        grown, last = self.charts.read(curve), self.charts.last(curve.run_id)
        panel = run_panel(self.runs.name(curve.run_id), status, self.runs.config(curve.run_id), last, language)
        # Nothing new, nothing drawn: a chart that someone is reading stays as it is.
        same = grown == curve and not redraw
        chart = gr.skip() if same else self.charts.shown(grown)
        going = not status.ended and status.state != "queued"
        stop = gr.Button(visible=going, interactive=status.state != "stopping")
        resume = gr.Button(visible=status.state in RESUMABLE)
        return panel, chart, stop, resume, gr.skip() if grown == curve else grown

    def _filled(self, dataset: str | None) -> Values:
        return filled_from(self.studio.versions, dataset if dataset in self.studio.datasets.names() else None)

    def _typed(self, values: Values) -> dict[str, Any]:
        if values[self.dataset] is None:
            raise DatasetError("dataset_page.no_dataset")
        return {name: values[part] for name, part in self.form.items()} | {"dataset": values[self.dataset]}
