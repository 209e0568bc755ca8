"""The training tab: form, summary, the watched run and the list of runs; it must not know how a model is trained.

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
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, notice, words
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.run_chart import Curve, loss_chart
from studio.pages.run_form import (
    DIFFERENCES_JS,
    Form,
    base_models,
    build_run_form,
    differences_line,
    preset_values,
    shown_value,
)
from studio.pages.run_view import HISTORY_JS, history, run_panel, start_summary
from studio.pages.shell import Shell, moment
from studio.runs.presets import presets, run_config

Values = dict[Any, Any]


@dataclass(frozen=True)
class Watched:
    """The run that this browser looks at."""

    panel: gr.HTML
    chart: gr.HTML
    stop: gr.Button
    curve: gr.State

    def parts(self) -> list[Any]:
        """In the order in which the handlers fill them."""
        return [self.panel, self.chart, self.stop, self.curve]


def build_training_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """The form on the left, the summary and the watched run on the right, all runs below."""
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=2, min_width=340, elem_classes="oboe-panel", elem_id="run-form"):
            form = build_run_form()
            note = drawn("preset-note")
            changed = drawn("run-differences", js=DIFFERENCES_JS)
            as_preset = gr.Button(label("training_page.all_back"), size="sm", elem_id="run-reset")
        with gr.Column(scale=4, min_width=340):
            with gr.Column(elem_classes="oboe-panel", elem_id="before-start"):
                summary = drawn("run-summary", classes="oboe-stack")
                start = gr.Button(label("training_page.start"), variant="primary", elem_id="run-start")
            with gr.Column(elem_classes="oboe-panel", elem_id="watched"):
                watched = _build_watched()
    runs = drawn("runs", js=HISTORY_JS, classes="oboe-stack")
    handlers = _Training(studio, shell, form)
    parts, everything = list(form.values()), {shell.dataset, *form.values()}
    start.click(handlers.on_start, everything, [watched.curve, shell.runs_changed], **PRIVATE)
    # Pasted text and an input method's fire `change` only; a preset fires many, of which the last one counts.
    moved = [tab.select, shell.changed.change, *(part.change for part in parts)]
    gr.on(moved, handlers.on_form, everything, [summary, changed, note], trigger_mode="always_last", **QUIET)
    start_of = [form["preset"], shell.dataset]
    form["preset"].input(handlers.on_preset, start_of, parts, **QUIET)
    as_preset.click(handlers.on_preset, start_of, parts, **QUIET)
    filled, splits = gr.State({}), [form[name] for name in Splits.model_fields]
    shell.changed.change(handlers.on_splits, [*start_of, filled], [filled, *splits], **QUIET)
    changed.click(handlers.on_put_back, form["preset"], parts, **QUIET)
    tab.select(handlers.on_models, None, form["base_model"], **QUIET)
    _wire_watched(handlers, shell, watched, runs)


def _build_watched() -> Watched:
    return Watched(
        panel=drawn("run-panel", classes="oboe-stack"),
        stop=gr.Button(label("training_page.stop"), visible=False, size="sm", elem_id="run-stop"),
        chart=drawn("run-chart"),
        curve=gr.State(Curve()),
    )


def _wire_watched(handlers: "_Training", shell: Shell, watched: Watched, runs: gr.HTML) -> None:
    shell.timer.tick(handlers.on_tick, watched.curve, watched.parts(), **QUIET)
    shell.runs_changed.change(handlers.on_runs_changed, watched.curve, [*watched.parts(), runs], **QUIET)
    runs.select(handlers.on_choose, None, watched.parts(), **QUIET)
    watched.stop.click(handlers.on_stop, watched.curve, watched.parts(), **PRIVATE)


class _Training:
    """The handlers: read the form, ask the runs once, say what changed."""

    def __init__(self, studio: Studio, shell: Shell, form: Form) -> None:
        self.studio = studio
        self.runs = studio.runs
        self.dataset = shell.dataset
        self.form = form

    @shows_errors
    def on_start(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        config = run_config(self._typed(values))
        run_id = self.runs.start(config)
        tell("training_page.started", request, run=run_id)
        return Curve(run_id), moment()

    def on_form(self, values: Values, request: gr.Request) -> tuple[str, str, str]:
        """What a start would do with the form as it stands; a wrong field is told here, beside it."""
        language = locale(request)
        shown = {name: values[part] for name, part in self.form.items()}
        preset = presets().get(shown["preset"])
        note = words(preset.note[language], "oboe-muted", "p") if preset else ""
        try:
            config = run_config(self._typed(values))
            examples = self.studio.datasets.frozen_examples(config.dataset, config)
            summary = start_summary(config, examples, language)
        except StudioError as error:
            summary = notice(error.text(language), "warning")
        return summary, differences_line(shown, language), note

    def on_preset(self, preset: str, dataset: str | None) -> list[Any]:
        values = preset_values(preset) | self._splits_of(dataset)
        return [values[name] for name in self.form]

    def on_splits(self, preset: str, dataset: str | None, filled: Values) -> list[Any]:
        """The form takes how the dataset is divided, once: what a person types over it stays."""
        kept = self._splits_of(dataset)
        if kept == filled:
            return [gr.skip()] * (1 + len(Splits.model_fields))
        values = preset_values(preset) | kept
        return [kept, *(values[name] for name in Splits.model_fields)]

    def on_put_back(self, preset: str, event: gr.EventData) -> list[Any]:
        values = preset_values(preset)
        return [values[name] if name == event.field else gr.skip() for name in self.form]

    def on_models(self) -> Any:
        found = [model.repo for model in cached()]
        return gr.Dropdown(choices=list(dict.fromkeys([*base_models(), *found])))

    @shows_errors
    def on_tick(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        return self._watch(curve, request)

    @shows_errors
    def on_runs_changed(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        """Keeps to the run that is watched; a page just opened takes the active one, else the newest."""
        known = self.runs.ids()
        run_id = curve.run_id if curve.run_id in known else self.runs.active() or next(iter(known), "")
        curve = curve if curve.run_id == run_id else Curve(run_id)
        runs = history(self.runs.summaries(locale(request)), run_id, locale(request))
        return *self._watch(curve, request, redraw=True), runs

    @shows_errors
    def on_choose(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        return self._watch(Curve(str(event.run)), request)

    @shows_errors
    def on_stop(self, curve: Curve, request: gr.Request) -> tuple[Any, ...]:
        self.runs.stop(curve.run_id)
        tell("training_page.stopping", request)
        return self._watch(curve, request)

    def _watch(self, curve: Curve, request: gr.Request, *, redraw: bool = False) -> tuple[Any, ...]:
        language = locale(request)
        if not curve.run_id:
            return empty(text("training_page.no_run", language)), "", gr.Button(visible=False), curve
        status = self.runs.status(curve.run_id, language)
        grown = curve.read(self.runs.folder(curve.run_id))
        panel = run_panel(curve.run_id, status, self.runs.config(curve.run_id), grown.last, language)
        # Nothing new, nothing drawn: a chart that someone is reading stays as it is.
        same = grown == curve and curve.offset and not redraw
        chart = gr.skip() if same else loss_chart(grown, status.total_steps, language)
        stop = gr.Button(visible=not status.ended, interactive=status.state != "stopping")
        return panel, chart, stop, gr.skip() if grown == curve else grown

    def _splits_of(self, dataset: str | None) -> Values:
        """What somebody has chosen for the dataset, as the form writes it."""
        if dataset not in self.studio.datasets.names():
            return {}
        kept = self.studio.versions.splits(dataset).model_dump(exclude_unset=True)
        return {name: shown_value(value) for name, value in kept.items()}

    def _typed(self, values: Values) -> dict[str, Any]:
        if values[self.dataset] is None:
            raise DatasetError("dataset_page.no_dataset")
        return {name: values[part] for name, part in self.form.items()} | {"dataset": values[self.dataset]}
