"""The folded panel that brings a file into a dataset; it must not know how a file is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from studio.errors import DatasetError
from studio.house import Studio
from studio.pages.import_view import import_report
from studio.pages.language import label, locale, shows_errors
from studio.pages.parts import PRIVATE, drawn
from studio.pages.shell import Shell, chosen, moment

FILE_TYPES = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"]

# In the browser, so that a name typed while the file comes in is not overwritten by an answer that is on its way.
NAME_JS = "(file, name) => name || (file?.orig_name ?? '').replace(/\\.[^.]*$/, '')"


@dataclass(frozen=True)
class Importer:
    """What the panel is made of."""

    file: gr.File
    name: gr.Textbox
    question_column: gr.Textbox
    answer_column: gr.Textbox
    start: gr.Button
    report: gr.HTML


def build_import_panel(studio: Studio, shell: Shell) -> Dependency:
    """The panel; the event returned is the end of an import."""
    importer = _build()
    importer.file.upload(None, [importer.file, importer.name], importer.name, js=NAME_JS)
    return importer.start.click(
        _Import(studio).on_import,
        [importer.file, importer.name, importer.question_column, importer.answer_column],
        [importer.report, importer.file, importer.name, shell.dataset, shell.changed],
        **PRIVATE,
    )


def _build() -> Importer:
    with gr.Accordion(label("files_page.import"), open=False, elem_id="import"), gr.Row():
        file = gr.File(
            label=label("files_page.import_file"), file_types=FILE_TYPES, height=150, elem_id="import-file", scale=2
        )
        with gr.Column(scale=2):
            name = gr.Textbox(
                label=label("files_page.import_name"),
                info=label("files_page.import_name_help"),
                elem_id="import-name",
            )
            with gr.Row():
                question = gr.Textbox(
                    label=label("files_page.question_column"),
                    placeholder=label("files_page.found_by_itself"),
                    elem_id="import-question-column",
                )
                answer = gr.Textbox(
                    label=label("files_page.answer_column"),
                    placeholder=label("files_page.found_by_itself"),
                    elem_id="import-answer-column",
                )
            start = gr.Button(label("files_page.import_start"), variant="primary", elem_id="import-start")
    report = drawn("import-report")
    return Importer(file, name, question, answer, start, report)


class _Import:
    """The handlers: read the form, call the datasets once, say what changed."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.datasets = studio.datasets

    @shows_errors
    def on_import(
        self, file: str | None, name: str, question_column: str, answer_column: str, request: gr.Request
    ) -> tuple[Any, ...]:
        if not file:
            raise DatasetError("files_page.choose_a_file")
        columns = {"question": question_column.strip(), "answer": answer_column.strip()}
        mapping = {field: column for field, column in columns.items() if column} or None
        report = self.datasets.import_file(name, Path(file), mapping)
        name = name.strip()
        return import_report(report, name, locale(request)), None, "", chosen(self.studio, name), moment()
