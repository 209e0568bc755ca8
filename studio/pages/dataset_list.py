"""The list of a dataset: search, page, edit, add, delete and undo; it must not know how data is kept.

Layout first, then the wiring. Edits go by the example's id, never by its place in the table.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.datasets import Filter
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.dataset_table import TABLE_JS, counts_line, example_line, examples_table
from studio.pages.export_panel import build_export
from studio.pages.import_panel import build_import_panel
from studio.pages.language import label, locale, say, show, shows_errors, tell
from studio.pages.markup import empty, words
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

PAGE_SIZE = 50


@dataclass(frozen=True)
class Editor:
    """The panel beside the table: a new pair, or the chosen example."""

    heading: gr.HTML
    question: gr.Textbox
    answer: gr.Textbox
    save: gr.Button
    delete: gr.Button
    close: gr.Button

    def parts(self) -> list[Any]:
        """The components in the order in which `_List.editing` fills them."""
        return [self.heading, self.question, self.answer, self.save, self.delete, self.close]


def build_dataset_list(studio: Studio, shell: Shell) -> None:
    """The list, with the way to augmentation."""
    with gr.Row(elem_classes="oboe-toolbar"):
        search = gr.Textbox(
            placeholder=label("dataset_page.search"), show_label=False, container=False, elem_id="search", scale=3
        )
        undo = gr.Button(label("dataset_page.undo"), size="sm", elem_id="undo")
        build_export(studio, shell)
        augment = gr.Button(label("dataset_page.to_augment"), size="sm", variant="primary", elem_id="to-augment")
    imported = build_import_panel(studio, shell)
    counts = drawn("counts", classes="oboe-line")
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=7, min_width=480):
            table = drawn("examples", js=TABLE_JS)
        with gr.Column(scale=3, min_width=300, elem_classes="oboe-side"):
            editor = _build_editor()
    number, selected = gr.State(1), gr.State(None)
    handlers = _List(studio)
    view = [shell.dataset, search, number, selected]
    shell.changed.change(handlers.on_show, view, [table, counts, number], **QUIET)
    shell.page.load(handlers.on_heading, None, editor.heading, **QUIET)
    shell.dataset.input(handlers.on_open, None, [number, selected, *editor.parts()], **QUIET)
    search.change(handlers.on_search, view, [table, number], trigger_mode="always_last", **QUIET)
    table.click(handlers.on_page, [shell.dataset, search, selected], [table, number], **QUIET)
    table.select(handlers.on_select, shell.dataset, [selected, *editor.parts()], **QUIET)
    _wire_editor(handlers, shell, editor, selected)
    undo.click(handlers.on_undo, shell.dataset, shell.changed, **PRIVATE)
    imported.success(handlers.on_open, None, [number, selected, *editor.parts()], **QUIET)
    augment.click(lambda: ("augment", moment()), outputs=shell.section, **QUIET)


def _build_editor() -> Editor:
    with gr.Column(elem_classes="oboe-panel", elem_id="editor"):
        return Editor(
            heading=drawn("editor-heading"),
            question=gr.Textbox(label=label("dataset_page.question"), lines=3, max_lines=12, elem_id="edit-question"),
            answer=gr.Textbox(label=label("dataset_page.answer"), lines=4, max_lines=20, elem_id="edit-answer"),
            save=gr.Button(label("dataset_page.add"), variant="primary", elem_id="save-example"),
            delete=gr.Button(label("dataset_page.delete"), variant="stop", visible=False, elem_id="delete-example"),
            close=gr.Button(label("dataset_page.close"), visible=False, elem_id="close-example"),
        )


def _wire_editor(handlers: "_List", shell: Shell, editor: Editor, selected: gr.State) -> None:
    typed = [shell.dataset, selected, editor.question, editor.answer]
    editor.save.click(handlers.on_save, typed, [selected, shell.changed, *editor.parts()], **PRIVATE)
    editor.delete.click(
        handlers.on_delete, [shell.dataset, selected], [selected, shell.changed, *editor.parts()], **PRIVATE
    )
    editor.close.click(handlers.on_close, None, [selected, shell.changed, *editor.parts()], **QUIET)


class _List:
    """The handlers: read the form, call the datasets once, say what changed."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.datasets = studio.datasets

    @shows_errors
    def on_show(
        self, dataset: str | None, search: str, number: int, selected: int | None, request: gr.Request
    ) -> tuple[Any, ...]:
        language = locale(request)
        if dataset is None:
            return empty(text("dataset_page.no_dataset", language)), "", 1
        page = self.datasets.page(dataset, filter=Filter(search=search), number=number, size=PAGE_SIZE)
        counts = counts_line(self.datasets.counts(dataset), language)
        return examples_table(page, selected, search, language), counts, page.number

    def on_search(
        self, dataset: str | None, search: str, number: int, selected: int | None, request: gr.Request
    ) -> tuple[Any, ...]:
        table, _, number = self.on_show(dataset, search, 1, selected, request)
        return table, number

    def on_page(
        self, dataset: str, search: str, selected: int | None, event: gr.EventData, request: gr.Request
    ) -> tuple[Any, ...]:
        table, _, number = self.on_show(dataset, search, int(event.page), selected, request)
        return table, number

    @shows_errors
    def on_select(self, dataset: str, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        example = self.datasets.example(int(event.id))
        return example.id, *self._editing(example.id, request)

    def on_heading(self, request: gr.Request) -> str:
        return words(say("dataset_page.new_pair", request), name="h3")

    def on_open(self, request: gr.Request) -> tuple[Any, ...]:
        return 1, None, *self._editing(None, request)

    def on_close(self, request: gr.Request) -> tuple[Any, ...]:
        return None, moment(), *self._editing(None, request)

    @shows_errors
    def on_save(
        self, dataset: str | None, selected: int | None, question: str, answer: str, request: gr.Request
    ) -> tuple[Any, ...]:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        if selected is None:
            self.datasets.add_fact(dataset, question, answer)
            tell("dataset_page.added", request)
        else:
            self.datasets.edit_example(dataset, selected, question=question, answer=answer)
            tell("dataset_page.saved", request)
        return selected, moment(), *self._editing(selected, request)

    @shows_errors
    def on_delete(self, dataset: str, selected: int, request: gr.Request) -> tuple[Any, ...]:
        number = self.datasets.delete_examples(dataset, [selected])
        tell("dataset_page.deleted", request, number=number)
        return None, moment(), *self._editing(None, request)

    @shows_errors
    def on_undo(self, dataset: str | None, request: gr.Request) -> int:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        show(self.datasets.undo(dataset).text(locale(request)), request)
        return moment()

    def _editing(self, selected: int | None, request: gr.Request) -> tuple[Any, ...]:
        if selected is None:
            return (
                self.on_heading(request),
                "",
                "",
                gr.Button(label("dataset_page.add")),
                gr.Button(visible=False),
                gr.Button(visible=False),
            )
        example = self.datasets.example(selected)
        heading = words(say("dataset_page.edit_pair", request), name="h3") + example_line(example, locale(request))
        buttons = gr.Button(label("dataset_page.save")), gr.Button(visible=True), gr.Button(visible=True)
        return heading, example.question, example.answer, *buttons
