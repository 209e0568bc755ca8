"""The folded panel that brings files into a dataset, with a preview; it must not know how a file is read.

The files stay where they were uploaded until they are imported: every look at them and the import read them anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.events import Dependency

from studio.datasets import READERS, ImportPlan
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.hub_import import build_hub_import
from studio.pages.import_view import COLUMNS_JS, REPORT_JS, columns_form, import_preview, import_report
from studio.pages.language import label, locale, shows_errors
from studio.pages.markup import notice, whole_number
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, chosen, moment

# The fields that a person may say the column of.
FIELDS = ("question", "answer", "subject", "tags", "fact_id")
# Choices that are no column; no header is written like this.
ROWS = "="
BLOCKS = (2, 4, 8, 16, 32)
IN_TURN: dict[str, Any] = QUIET | {"trigger_mode": "multiple", "concurrency_limit": 1}
Form = dict[Any, Any]  # what a person has said, by component


@dataclass(frozen=True)
class Importer:
    """What the panel is made of."""

    files: gr.File
    name: gr.Textbox
    start: gr.Button
    columns: gr.HTML
    asked: gr.State  # the choice of each field
    preview: gr.HTML
    report: gr.HTML


def build_import_panel(studio: Studio, shell: Shell) -> Dependency:
    """The panel; the event returned is the end of an import, after which `shell.changed` is for the caller to set."""
    panel = _build(studio)
    handlers = _Import(studio, shell, panel)
    form: set[Block] = {panel.files, panel.name, panel.asked, shell.person}
    # Of several changes on their way the last one counts.
    late = QUIET | {"trigger_mode": "always_last"}
    panel.files.change(handlers.on_files, form, [panel.columns, panel.asked, panel.preview], **late)
    # Apart from the preview, so that a choice counts at once; the last of quick ones would be lost with `late`.
    panel.columns.input(on_columns, None, panel.asked, **IN_TURN)
    panel.asked.change(handlers.on_preview, form, panel.preview, **late)
    panel.name.blur(handlers.on_preview, form, panel.preview, **late)
    panel.report.click(lambda: ("facts", moment()), outputs=shell.section, **QUIET)
    return panel.start.click(
        handlers.on_import, form, [panel.report, panel.files, panel.name, shell.dataset], **PRIVATE
    )


def _build(studio: Studio) -> Importer:
    with gr.Accordion(label("files_page.import"), open=False, elem_id="import"):
        with gr.Row():
            files = gr.File(
                label=label("files_page.import_file"),
                file_count="multiple",
                file_types=list(READERS),
                height=150,
                elem_id="import-file",
                scale=2,
            )
            with gr.Column(scale=2):
                name = gr.Textbox(
                    label=label("files_page.import_name"),
                    info=label("files_page.import_name_help"),
                    placeholder=label("files_page.import_name_default"),
                    elem_id="import-name",
                )
                start = gr.Button(label("files_page.import_start"), variant="primary", elem_id="import-start")
        build_hub_import(studio, files, name)
        columns = drawn("import-columns", js=COLUMNS_JS)
        preview = drawn("import-preview")
    report = drawn("import-report", js=REPORT_JS)
    return Importer(files, name, start, columns, gr.State({}), preview, report)


class _Import:
    """The handlers: read the form, call the datasets once, say what changed."""

    def __init__(self, studio: Studio, shell: Shell, panel: Importer) -> None:
        self.studio = studio
        self.shell = shell
        self.datasets = studio.datasets
        self.panel = panel

    def on_files(self, form: Form, request: gr.Request) -> tuple[Any, ...]:
        """Other files have other columns: every choice begins anew."""
        files = form[self.panel.files]
        if not files:
            return "", {}, ""
        columns, found = self.datasets.columns_of_files([Path(file) for file in files])
        choices = {field: _choices(field, columns, found.get(field), locale(request)) for field in FIELDS}
        return columns_form(choices, locale(request)), {}, self.on_preview({**form, self.panel.asked: {}}, request)

    def on_preview(self, form: Form, request: gr.Request) -> str:
        """What is wrong is said where the choices are that mend it."""
        files = form[self.panel.files]
        if not files:
            return ""
        name = self._name(form)
        try:
            preview = self.datasets.preview_import(name, [Path(file) for file in files], _plan(form[self.panel.asked]))
        except DatasetError as error:
            return notice(error.text(locale(request)), "failed")
        return import_preview(preview, locale(request))

    @shows_errors
    def on_import(self, form: Form, request: gr.Request) -> tuple[Any, ...]:
        files = form[self.panel.files]
        if not files:
            raise DatasetError("files_page.choose_a_file")
        name = self._name(form)
        author = form[self.shell.person] or ""
        report = self.datasets.import_files(name, [Path(file) for file in files], _plan(form[self.panel.asked]), author)
        return import_report(report, name, locale(request)), None, "", chosen(self.studio, name)

    def _name(self, form: Form) -> str:
        """The dataset's name as typed, else the first file's."""
        typed: str = form[self.panel.name].strip()
        return typed or Path(form[self.panel.files][0]).stem


def on_columns(event: gr.EventData) -> dict[str, str]:
    """What a person has chosen for each field."""
    return {field: str(event.asked.get(field) or "") for field in FIELDS}


def _choices(field: str, columns: list[str], found: str | None, language: str) -> list[tuple[str, str]]:
    by_itself = text("files_page.found_by_itself", language)
    if found:
        by_itself = text("files_page.found_column", language, column=found)
    elif field == "fact_id":
        by_itself = text("files_page.facts_proposed", language)
    special = [(by_itself, "")]
    if field == "fact_id":
        special.append((text("files_page.facts_rows", language), ROWS))
        special += [(text("files_page.facts_blocks", language, number=number), f"={number}") for number in BLOCKS]
    return [*special, *((column, column) for column in columns)]


def _plan(asked: dict[str, str]) -> ImportPlan:
    of_facts = asked.get("fact_id", "")
    if not of_facts.startswith(ROWS):
        return ImportPlan(columns=asked)
    return ImportPlan(columns=asked | {"fact_id": ""}, facts=whole_number(of_facts.removeprefix(ROWS)) or "rows")
