"""The quality checks' section: run them, read what they found, decide; it must not know how anything is found."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.datasets import ExampleStatus, Filter
from studio.errors import DatasetError
from studio.house import Studio
from studio.pages.checks_view import (
    FINDINGS_JS,
    KINDS_JS,
    findings_list,
    kinds_list,
    progress_line,
    status_line,
)
from studio.pages.language import label, locale, shows_errors
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

# Which findings are shown: their kind and the page of them.
Shown = tuple[str, int]
NOTHING: Shown = ("", 1)


def build_checks_panel(studio: Studio, shell: Shell) -> None:
    """The kinds of findings on the left, the examples of one kind on the right."""
    with gr.Row(elem_classes="oboe-toolbar", elem_id="checks-toolbar"):
        status = drawn("checks-status")
        stop = gr.Button(label("checks_page.stop"), size="sm", visible=False, elem_id="checks-stop")
        run = gr.Button(label("checks_page.run"), size="sm", variant="primary", elem_id="checks-run")
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=4, min_width=320):
            kinds = drawn("checks-kinds", js=KINDS_JS)
        with gr.Column(scale=6, min_width=320):
            findings = drawn("checks-findings", js=FINDINGS_JS)
    shown = gr.State(NOTHING)
    handlers, view = _Checks(studio), [status, kinds, findings, shown]
    shell.changed.change(handlers.on_show, [shell.dataset, shown], view, **QUIET)
    shell.dataset.input(lambda: NOTHING, None, shown, **QUIET)
    checking = run.click(handlers.on_run, shell.dataset, [status, run, stop], show_progress="hidden", **PRIVATE)
    checking.then(handlers.on_ended, None, [run, stop, shell.changed], **QUIET)
    stop.click(handlers.on_ended, None, [run, stop, shell.changed], cancels=checking, **QUIET)
    kinds.select(handlers.on_kind, shell.dataset, [findings, shown], **QUIET)
    findings.click(handlers.on_page, [shell.dataset, shown], [findings, shown], **QUIET)
    findings.expand(handlers.on_list, None, shell.filter, **QUIET)
    findings.apply(lambda: ("augment", moment()), None, shell.section, **QUIET)
    findings.select(handlers.on_decide, [shell.dataset, shell.person], shell.changed, **QUIET)


class _Checks:
    """The handlers: read what was clicked, ask the checks once, say what is there."""

    def __init__(self, studio: Studio) -> None:
        self.checks = studio.checks
        self.datasets = studio.datasets

    @shows_errors
    def on_show(self, dataset: str | None, shown: Shown, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            return "", "", "", NOTHING
        report = self.checks.report(dataset)
        code, number = shown
        if report is None or not report.number(code):
            code = report.counts[0].code if report and report.counts else ""
            number = 1
        language = locale(request)
        findings = self._drawn(dataset, (code, number), language)
        return status_line(report, language), kinds_list(report, code, language), findings, (code, number)

    @shows_errors
    def on_run(self, dataset: str | None, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        for stage in self.checks.stages(dataset):
            yield progress_line(stage, locale(request)), gr.Button(interactive=False), gr.Button(visible=True)

    def on_ended(self) -> tuple[Any, ...]:
        return gr.Button(interactive=True), gr.Button(visible=False), moment()

    @shows_errors
    def on_kind(self, dataset: str, event: gr.EventData, request: gr.Request) -> tuple[str, Shown]:
        shown = (str(event.code), 1)
        return self._drawn(dataset, shown, locale(request)), shown

    @shows_errors
    def on_page(self, dataset: str, shown: Shown, event: gr.EventData, request: gr.Request) -> tuple[str, Shown]:
        shown = (shown[0], int(event.page))
        return self._drawn(dataset, shown, locale(request)), shown

    def on_list(self, event: gr.EventData) -> tuple[dict[str, Any], int]:
        """The list on all examples of a kind of finding, or of one fact."""
        wanted = Filter(fact_id=int(event.value)) if event.filter == "fact_id" else Filter(check=str(event.value))
        return wanted.model_dump(), moment()

    @shows_errors
    def on_decide(self, dataset: str, person: str, event: gr.EventData, request: gr.Request) -> int:
        wanted: ExampleStatus = "rejected" if event.status == "rejected" else "accepted"
        self.datasets.set_status(dataset, [int(event.id)], wanted, person)
        return moment()

    def _drawn(self, dataset: str, shown: Shown, language: str) -> str:
        code, number = shown
        return findings_list(self.checks.findings(dataset, code, number) if code else None, code, language)
