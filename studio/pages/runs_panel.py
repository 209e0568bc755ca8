"""Past runs and the queue below the training form; it must not know how runs are kept.

The list is drawn again when a run begins or ends; what a person is typing about a run stays.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.house import Studio
from studio.i18n import text
from studio.pages.charts import Charts, Curve
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, size_text
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.run_form import FIRST_PRESET, Form, filled_from, shown_value, version_choices
from studio.pages.runs_view import COMPARISON_JS, RUNS_JS, TOOLS_JS, comparison_view, run_tools, runs_list
from studio.pages.shell import Shell, moment
from studio.runs import last_words
from studio.runs.presets import presets

NOTHING_COMPARED = ("", "", Curve())


@dataclass(frozen=True)
class RunPage:
    """What the rest of the tab has of runs: the form, the charts, which run is watched, and its tools.

    `then` is what the form lets come after its run, `filled` which dataset's division it has taken.
    """

    form: Form
    then: gr.Dropdown
    filled: gr.State
    charts: Charts
    curve: gr.State
    tools: gr.HTML


def build_run_tools() -> gr.HTML:
    """Name, note, and what can be done with the watched run."""
    return drawn("run-tools", js=TOOLS_JS)


def build_runs_panel(studio: Studio, shell: Shell, page: RunPage) -> gr.HTML:
    """The list of runs; its `select` says which one a person wants to see."""
    comparison = drawn("run-comparison", js=COMPARISON_JS, classes="oboe-stack")
    chart = page.charts.build("comparison-chart")
    compared = gr.State(Curve())  # the runs that are compared, which may still go on
    search = gr.Textbox(
        "", label=label("runs_page.history"), placeholder=label("runs_page.search"), elem_id="runs-search"
    )
    runs = drawn("runs", js=RUNS_JS, classes="oboe-stack")
    told = gr.State(("", False))  # the run that the tools are about, and whether it was over
    handlers = _PastRuns(studio, page)
    shown = [runs, page.tools, told]
    shell.runs_changed.change(handlers.on_runs_changed, [search, page.curve, told], shown, **QUIET)
    search.change(handlers.on_search, [search, page.curve], runs, trigger_mode="always_last", **QUIET)
    runs.select(handlers.on_choose, None, [page.tools, told], **QUIET)
    runs.click(handlers.on_queue, None, shell.runs_changed, **QUIET)
    beside = [comparison, chart, compared]
    runs.submit(handlers.on_compare, None, beside, **QUIET)
    comparison.clear(lambda: NOTHING_COMPARED, None, beside, **QUIET)
    shell.timer.tick(handlers.on_tick, compared, [chart, compared], **QUIET)
    shell.runs_changed.change(handlers.on_compared_changed, compared, comparison, **QUIET)
    page.tools.submit(handlers.on_describe, None, shell.runs_changed, **PRIVATE)
    page.tools.clear(handlers.on_delete, None, [shell.runs_changed, *beside], **PRIVATE)
    copied = [*page.form.values(), page.then, page.filled, shell.dataset, shell.changed]
    page.tools.select(handlers.on_clone, None, copied, **QUIET)
    return runs


class _PastRuns:
    """Ids come from a browser: the rooms look each of them up."""

    def __init__(self, studio: Studio, page: RunPage) -> None:
        self.studio = studio
        self.fields, self.charts = tuple(page.form), page.charts
        self.runs, self.past, self.queue = studio.runs, studio.past, studio.queue

    @shows_errors
    def on_runs_changed(
        self, search: str | None, curve: Curve, told: tuple[str, bool], request: gr.Request
    ) -> tuple[Any, ...]:
        run_id = self.runs.to_watch(curve.run_id)
        shown = (run_id, bool(run_id) and self.runs.status(run_id).ended)
        tools = gr.skip() if shown == told else self._tools(run_id, locale(request))
        return self._list(search, run_id, locale(request)), tools, shown

    @shows_errors
    def on_search(self, search: str | None, curve: Curve, request: gr.Request) -> str:
        return self._list(search, curve.run_id, locale(request))

    @shows_errors
    def on_choose(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        run_id = str(event.run)
        return self._tools(run_id, locale(request)), (run_id, self.runs.status(run_id).ended)

    @shows_errors
    def on_queue(self, event: gr.EventData, request: gr.Request) -> int:
        """Another place in the queue, or none."""
        if event.places:
            self.queue.move(str(event.run), int(event.places))
        else:
            lost = self.queue.cancel(str(event.run))
            tell("runs_page.cancelled", request, runs=", ".join(lost))
        return moment()

    @shows_errors
    def on_compare(self, event: gr.EventData, request: gr.Request) -> tuple[str, str, Curve]:
        run_ids = [str(run_id) for run_id in event.runs]
        compared = self.past.compare(run_ids, locale(request))
        curve = self.charts.read(Curve(beside=tuple(run_ids)))
        return comparison_view(compared, locale(request)), self.charts.shown(curve), curve

    @shows_errors
    def on_compared_changed(self, compared: Curve, request: gr.Request) -> str:
        """How compared runs stand, when one has begun or ended; those that are gone are left out."""
        known = [run_id for run_id in compared.beside if run_id in self.runs.ids()]
        return comparison_view(self.past.compare(known, locale(request)), locale(request)) if known else ""

    def on_tick(self, compared: Curve) -> tuple[Any, Any]:
        """Runs of a sweep are compared while they go on."""
        grown = self.charts.read(compared)
        return (gr.skip(), gr.skip()) if grown == compared else (self.charts.shown(grown), grown)

    @shows_errors
    def on_describe(self, event: gr.EventData, request: gr.Request) -> int:
        self.past.describe(str(event.run), name=str(event.name), note=str(event.note))
        tell("runs_page.kept", request, run=str(event.run))
        return moment()

    @shows_errors
    def on_delete(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        size = self.past.delete(str(event.run))
        tell("runs_page.deleted", request, run=str(event.run), size=size_text(size))
        return moment(), *NOTHING_COMPARED

    @shows_errors
    def on_clone(self, event: gr.EventData, request: gr.Request) -> list[Any]:
        """The settings of a run in the form, and its dataset and version where these still are.

        It is one run that is copied: nothing is to come after it. How the dataset is divided is the run's as well.
        """
        config = self.runs.config(str(event.run))
        tell("runs_page.cloned", request, run=str(event.run))
        known = config.dataset in self.studio.datasets.names()
        preset = config.preset if config.preset in presets() else FIRST_PRESET
        versions = version_choices(self.studio.versions, config.dataset if known else None)
        version = config.dataset_version if config.dataset_version in dict(versions).values() else ""
        copied = {name: shown_value(value) for name, value in (config.model_dump() | {"preset": preset}).items()}
        copied["dataset_version"] = gr.Dropdown(choices=versions, value=version)
        filled = filled_from(self.studio.versions, config.dataset) if known else gr.skip()
        dataset = [config.dataset, moment()] if known else [gr.skip(), gr.skip()]
        return [*(copied[name] for name in self.fields), "", filled, *dataset]

    def _list(self, search: str | None, watched: str, language: str) -> str:
        found = self.past.find(search or "", language)
        if not found:
            return empty(text("runs_page.none_found" if search else "runs_page.none", language))
        return runs_list(found, self.queue.ids(), watched, language)

    def _tools(self, run_id: str, language: str) -> str:
        if not run_id:
            return ""
        folder, status = self.runs.folder(run_id), self.runs.status(run_id)
        size = self.past.size_bytes(run_id) if status.ended else None
        log = last_words.tail(folder.log)
        return run_tools(run_id, self.past.about(run_id), size_bytes=size, log=log, locale=language)
