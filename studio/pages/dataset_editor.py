"""The panel beside the table: a new pair or the chosen example, what happened to it, and a conflict over it.

Knows one example, not the list it was chosen from.
"""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from studio.datasets import EditConflict, ExampleStatus
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.example_view import conflict_box, example_line, history_list
from studio.pages.language import label, locale, say, shows_errors, tell
from studio.pages.markup import words
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

Values = dict[Any, Any]  # what a person has said, by component

# A button in HTML of ours that says what it is for: {do: ...}.
DO_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (button) trigger('click', {do: button.dataset.do});
});
"""


@dataclass(frozen=True)
class Editor:
    """The components; `selected` is the example's id, `shown` the time of its last change when it was shown."""

    selected: gr.State
    shown: gr.State
    heading: gr.HTML
    conflict: gr.HTML
    question: gr.Textbox
    answer: gr.Textbox
    kind: gr.Radio
    answer_style: gr.Radio
    save: gr.Button
    delete: gr.Button
    close: gr.Button
    history: gr.HTML

    def parts(self) -> list[Any]:
        """All components, to be filled by `EditorHandlers.filled`."""
        return [getattr(self, field.name) for field in fields(self)]


def build_editor(studio: Studio, shell: Shell) -> tuple[Editor, "EditorHandlers"]:
    """The panel with its own buttons wired; who chooses an example fills it with `filled`."""
    editor = _build()
    handlers = EditorHandlers(studio, shell, editor)
    outputs = [shell.changed, *editor.parts()]
    said = {shell.dataset, shell.person, *editor.parts()}
    editor.save.click(handlers.on_save, said, outputs, **PRIVATE)
    editor.delete.click(handlers.on_delete, said, outputs, **PRIVATE)
    editor.close.click(handlers.on_close, None, outputs, **QUIET)
    editor.heading.click(handlers.on_decide, said, outputs, **QUIET)
    editor.conflict.click(handlers.on_take_theirs, said, editor.parts(), **QUIET)
    shell.page.load(handlers.on_heading, None, editor.heading, **QUIET)
    return editor, handlers


def _build() -> Editor:
    with gr.Column(elem_classes="oboe-panel", elem_id="editor"):
        return Editor(
            selected=gr.State(None),
            shown=gr.State(""),
            heading=drawn("editor-heading", js=DO_JS),
            conflict=drawn("editor-conflict", js=DO_JS),
            question=gr.Textbox(label=label("dataset_page.question"), lines=3, max_lines=12, elem_id="edit-question"),
            answer=gr.Textbox(label=label("dataset_page.answer"), lines=4, max_lines=20, elem_id="edit-answer"),
            kind=_radio("kind", ("paraphrase", "reverse")),
            answer_style=_radio("style", ("short", "detailed")),
            save=gr.Button(label("dataset_page.add"), variant="primary", elem_id="save-example"),
            delete=gr.Button(label("dataset_page.delete"), variant="stop", visible=False, elem_id="delete-example"),
            close=gr.Button(label("dataset_page.close"), visible=False, elem_id="close-example"),
            history=drawn("example-history"),
        )


def _radio(name: str, values: tuple[str, ...]) -> gr.Radio:
    choices = [(label(f"dataset_page.{name}_{value}"), value) for value in values]
    return gr.Radio(choices, label=label(f"dataset_page.column_{name}"), visible=False, elem_id=f"edit-{name}")


class EditorHandlers:
    """Reads the form, calls the datasets once, and fills the panel again."""

    def __init__(self, studio: Studio, shell: Shell, editor: Editor) -> None:
        self.datasets = studio.datasets
        self.shell = shell
        self.editor = editor

    def filled(self, example_id: int | None, request: gr.Request) -> Values:
        """What every component shows for an example, or for a new pair."""
        editor, editing = self.editor, example_id is not None
        update: Values = {
            editor.conflict: "",
            editor.selected: example_id,
            editor.save: gr.Button(label("dataset_page.save" if editing else "dataset_page.add")),
            editor.delete: gr.Button(visible=editing),
            editor.close: gr.Button(visible=editing),
        }
        if example_id is None:
            gone = {editor.kind: gr.Radio(visible=False), editor.answer_style: gr.Radio(visible=False)}
            texts = {editor.question: "", editor.answer: "", editor.shown: "", editor.history: ""}
            return update | gone | texts | {editor.heading: self.on_heading(request)}
        example = self.datasets.example(example_id)
        language = locale(request)
        return update | {
            editor.heading: words(text("dataset_page.edit_pair", language), name="h3")
            + example_line(example, language),
            editor.question: example.question,
            editor.answer: example.answer,
            editor.kind: gr.Radio(
                visible=example.kind != "seed", value=None if example.kind == "seed" else example.kind
            ),
            editor.answer_style: gr.Radio(visible=True, value=example.answer_style),
            editor.shown: example.updated_at.isoformat(),
            editor.history: history_list(self.datasets.history(example_id), language),
        }

    def on_heading(self, request: gr.Request) -> str:
        return words(say("dataset_page.new_pair", request), name="h3")

    def on_close(self, request: gr.Request) -> Values:
        return {**self.filled(None, request), self.shell.changed: moment()}

    @shows_errors
    def on_save(self, values: Values, request: gr.Request) -> Values:
        dataset, selected, person = values[self.shell.dataset], values[self.editor.selected], values[self.shell.person]
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        if selected is None:
            self.datasets.add_fact(dataset, values[self.editor.question], values[self.editor.answer], person)
            tell("dataset_page.added", request)
        else:
            try:
                self._edit(dataset, selected, values)
            except EditConflict as conflict:
                return self._conflict(conflict, request)
            tell("dataset_page.saved", request)
        return {**self.filled(selected, request), self.shell.changed: moment()}

    def _edit(self, dataset: str, selected: int, values: Values) -> None:
        editor = self.editor
        self.datasets.edit_example(
            dataset,
            selected,
            author=values[self.shell.person],
            question=values[editor.question],
            answer=values[editor.answer],
            kind=values[editor.kind],
            answer_style=values[editor.answer_style],
            expected=values[editor.shown] or None,
        )

    def _conflict(self, conflict: EditConflict, request: gr.Request) -> Values:
        """What is typed stays; beside it stands what the example says now, which a second save replaces."""
        language = locale(request)
        history = self.datasets.history(conflict.current.id)
        return {
            self.editor.conflict: conflict_box(conflict, language),
            self.editor.shown: conflict.current.updated_at.isoformat(),
            self.editor.history: history_list(history, language),
        }

    @shows_errors
    def on_take_theirs(self, values: Values, request: gr.Request) -> Values:
        return self.filled(values[self.editor.selected], request)

    @shows_errors
    def on_decide(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        status: ExampleStatus = "rejected" if event.do == "rejected" else "accepted"
        selected = values[self.editor.selected]
        self.datasets.set_status(values[self.shell.dataset], [selected], status, values[self.shell.person])
        return {**self.filled(selected, request), self.shell.changed: moment()}

    @shows_errors
    def on_delete(self, values: Values, request: gr.Request) -> Values:
        ids, person = [values[self.editor.selected]], values[self.shell.person]
        number = self.datasets.delete_examples(values[self.shell.dataset], ids, person)
        tell("dataset_page.deleted", request, number=number)
        return {**self.filled(None, request), self.shell.changed: moment()}
