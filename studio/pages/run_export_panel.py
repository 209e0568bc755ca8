"""The exports of the watched run: what is asked for, and where it stands; it must not know how weights are written."""

import shutil
from typing import Any, cast

import gradio as gr

from studio.errors import RunFailed
from studio.house import Studio
from studio.pages.export_panel import DOWNLOAD_JS
from studio.pages.language import label, locale, shows_errors
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.run_export_view import FORM_JS, STATUS_JS, adapter_lines, export_form, export_lines
from studio.pages.shell import Shell
from studio.runs.exports import KINDS
from studio.runs.registry import has_adapter
from training.errands import ExportKind

TICK_S = 1.0


def build_run_export(studio: Studio, shell: Shell, watched: gr.State) -> None:
    """A folded panel below the watched run; `watched` holds what has the run's id as `run_id`."""
    handlers = _RunExport(studio)
    with gr.Accordion(label("run_export_page.title"), open=False, elem_id="run-export"):
        adapter = drawn("run-export-adapter")
        form = drawn("run-export-form", js=FORM_JS)
        lines = drawn("run-export-status", js=STATUS_JS, classes="oboe-stack")
    timer = gr.Timer(TICK_S, active=False)
    download = gr.DownloadButton(visible="hidden", elem_id="run-export-download")
    shown = [adapter, lines, timer]
    shell.page.load(handlers.on_form, None, form, **QUIET)
    gr.on([watched.change, shell.runs_changed.change], handlers.on_show, watched, shown, **QUIET)
    timer.tick(handlers.on_show, watched, shown, **QUIET)
    lines.apply(handlers.on_cancel, watched, shown, **PRIVATE)
    asked = form.apply(handlers.on_ask, watched, [*shown, download], **PRIVATE)
    asked.success(None, download, None, js=f"(file) => file && ({DOWNLOAD_JS})(file)", **PRIVATE)


class _RunExport:
    """The handlers: one call of the exports each."""

    def __init__(self, studio: Studio) -> None:
        self.runs = studio.runs
        self.exports = studio.run_exports
        self.folder = studio.exports

    def on_form(self, request: gr.Request) -> str:
        return export_form(locale(request))

    @shows_errors
    def on_show(self, watched: Any, request: gr.Request) -> tuple[Any, ...]:
        language, run_id = locale(request), watched.run_id
        if run_id not in self.runs.ids() or not has_adapter(self.runs.folder(run_id)):
            return "", "", gr.Timer(active=False)
        found = self.exports.status(run_id, language)
        adapter = adapter_lines(run_id, self.runs.folder(run_id).adapter, self.runs.config(run_id), language)
        busy = any(status.state in ("starting", "running") for status in found.values())
        return adapter, export_lines(found, language), gr.Timer(active=busy)

    @shows_errors
    def on_ask(self, watched: Any, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        if event.act == "adapter":
            return *self.on_show(watched, request), gr.DownloadButton(value=self._zipped(watched.run_id))
        if event.act not in KINDS:
            return *self.on_show(watched, request), gr.skip()
        kind = cast(ExportKind, event.act)
        self.exports.start(watched.run_id, kind, repo=str(event.repo), base_model=str(event.base_model))
        return *self.on_show(watched, request), gr.DownloadButton(value=None)

    @shows_errors
    def on_cancel(self, watched: Any, request: gr.Request) -> tuple[Any, ...]:
        self.exports.cancel(watched.run_id)
        return self.on_show(watched, request)

    def _zipped(self, run_id: str) -> str:
        run = self.runs.folder(run_id)
        if not has_adapter(run):
            raise RunFailed("export.error_unfinished", run=run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.make_archive(str(self.folder / run_id), "zip", run.adapter)
