"""The list of a dataset: filters, search, pages, bulk changes, editing and undo; it must not know how data is kept.

Layout first, then the wiring. Edits go by the example's id, never by its place in the table.
"""

from dataclasses import dataclass
from typing import Any, cast, get_args

import gradio as gr

from studio.datasets import ExampleStatus, Filter, Selection
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.dataset_editor import EditorHandlers, build_editor
from studio.pages.dataset_filters import CONFIRM_JS, FILTERS_JS, confirm_bar, filters_row
from studio.pages.dataset_table import BULK, TABLE_JS, counts_line, examples_table
from studio.pages.export_panel import build_export
from studio.pages.import_panel import build_import_panel
from studio.pages.language import label, locale, show, shows_errors, tell
from studio.pages.markup import empty
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment

PAGE_SIZE = 50
Values = dict[Any, Any]  # what a person has said, by component
# What to do, to which ids or to all that a filter's dump shows, and how many those were when it was asked.
Pending = tuple[str, list[int] | dict[str, Any], int]


@dataclass(frozen=True)
class Parts:
    """What the list is made of, but for the panel beside it."""

    search: gr.Textbox
    filters: gr.HTML
    counts: gr.HTML
    confirm: gr.HTML
    table: gr.HTML
    asked: gr.State  # a Filter's dump; the search is in its own field
    number: gr.State
    pending: gr.State  # a Pending


def build_dataset_list(studio: Studio, shell: Shell) -> None:
    """The list, with the way to augmentation."""
    asked = gr.State({})
    with gr.Row(elem_classes="oboe-toolbar"):
        search = gr.Textbox(
            placeholder=label("dataset_page.search"), show_label=False, container=False, elem_id="search", scale=3
        )
        undo = gr.Button(label("dataset_page.undo"), size="sm", elem_id="undo")
        build_export(studio, shell, search, asked)
        augment = gr.Button(label("dataset_page.to_augment"), size="sm", variant="primary", elem_id="to-augment")
    imported = build_import_panel(studio, shell)
    filters = drawn("filters", js=FILTERS_JS)
    counts = drawn("counts", classes="oboe-line")
    confirm = drawn("bulk-confirm", js=CONFIRM_JS)
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=7, min_width=480):
            table = drawn("examples", js=TABLE_JS)
        with gr.Column(scale=3, min_width=300, elem_classes="oboe-side"):
            editor, editing = build_editor(studio, shell)
    parts = Parts(search, filters, counts, confirm, table, asked, gr.State(1), gr.State(None))
    handlers = _List(studio, shell, parts, editing)
    undo.click(handlers.on_undo, [shell.dataset, shell.person], shell.changed, **PRIVATE)
    augment.click(lambda: ("augment", moment()), outputs=shell.section, **QUIET)
    _wire(handlers, shell, parts)
    opened = [parts.number, parts.asked, parts.pending, parts.confirm, *editor.parts()]
    shell.dataset.input(handlers.on_open, None, opened, **QUIET)
    # First the panel beside the table is emptied, then the table drawn: who clicks a row at once must not lose it.
    imported.success(handlers.on_open, None, opened, **QUIET).then(moment, outputs=shell.changed, **QUIET)


def _wire(handlers: "_List", shell: Shell, parts: Parts) -> None:
    said: set[Any] = {
        shell.dataset, shell.person, shell.filter, parts.search, parts.asked, parts.number, parts.pending,
        handlers.editing.editor.selected,
    }  # fmt: skip
    view = [parts.table, parts.number]
    shell.changed.change(handlers.on_show, said, [*view, parts.counts, parts.filters], **QUIET)
    unasked = [parts.confirm, parts.pending]
    shown = [*view, parts.filters, *unasked]
    parts.search.change(handlers.on_search, said, shown, trigger_mode="always_last", **QUIET)
    # An event carries which filter it is: of several in a row none may be left out.
    parts.filters.input(handlers.on_filter, said, [*shown, parts.asked], trigger_mode="multiple", **QUIET)
    parts.table.select(handlers.on_select, None, handlers.editing.editor.parts(), **QUIET)
    asking = [*view, *unasked, shell.changed]
    parts.table.click(handlers.on_table, said, asking, **QUIET)
    parts.confirm.click(handlers.on_confirm, said, [*unasked, shell.changed], **QUIET)
    wished = [parts.search, parts.asked, parts.number, *unasked, shell.section, shell.changed]
    shell.filter.change(handlers.on_wish, shell.filter, wished, **QUIET)


class _List:
    """The handlers: read the form, call the datasets once, say what changed."""

    def __init__(self, studio: Studio, shell: Shell, parts: Parts, editing: EditorHandlers) -> None:
        self.datasets = studio.datasets
        self.shell = shell
        self.parts = parts
        self.editing = editing

    @shows_errors
    def on_show(self, values: Values, request: gr.Request) -> Values:
        """Everything anew: data has changed, here or elsewhere."""
        language, dataset = locale(request), values[self.shell.dataset]
        if dataset is None:
            nothing = empty(text("dataset_page.no_dataset", language))
            return {self.parts.table: nothing, self.parts.counts: "", self.parts.filters: "", self.parts.number: 1}
        counts = counts_line(self.datasets.counts(dataset), language)
        return {**self._page(values, request), self.parts.counts: counts, **self._filters(values, language)}

    @shows_errors
    def on_search(self, values: Values, request: gr.Request) -> Values:
        values = {**values, self.parts.number: 1}
        if values[self.shell.dataset] is None:
            return {}
        return {**self._page(values, request), **self._filters(values, locale(request)), **self._unasked()}

    @shows_errors
    def on_filter(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        asked = {name: value for name, value in dict(event.asked).items() if value not in ("", None)}
        values = {**values, self.parts.asked: asked, self.parts.number: 1}
        drawn_anew = self._filters(values, locale(request))
        return {**self._page(values, request), **drawn_anew, **self._unasked(), self.parts.asked: asked}

    def on_wish(self, wish: tuple[dict[str, Any], int]) -> Values:
        """Another panel opens the list on what it asks for."""
        asked = dict(wish[0])
        search = asked.pop("search", "")
        return {
            self.parts.search: search,
            self.parts.asked: {name: value for name, value in asked.items() if value not in ("", None)},
            self.parts.number: 1,
            **self._unasked(),
            self.shell.section: ("list", moment()),
            self.shell.changed: moment(),
        }

    @shows_errors
    def on_table(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        """Another page, or something to do with what is chosen."""
        told = dict(event._data or {})
        if "page" in told:
            return self._page({**values, self.parts.number: int(told["page"])}, request)
        action, ids = str(told.get("bulk")), told.get("ids")
        if action not in BULK:
            return {}
        chosen = self._filter(values).model_dump() if ids is None else [int(key) for key in ids]
        if action in get_args(ExampleStatus) and ids is not None:  # undo is one click, a question would be one too
            return self._run((action, chosen, len(ids)), "", values, request)
        return self._ask(action, chosen, values, request)

    @shows_errors
    def on_confirm(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        pending = values[self.parts.pending]
        if not event.run or pending is None:
            return self._unasked()
        action, chosen, number = pending
        if self._going(action, chosen, values)[1] != number:  # somebody has changed the dataset meanwhile
            tell("dataset_page.number_changed", request, number=f"{number:,}")
            return self._ask(action, chosen, values, request)
        return self._run(pending, str(event.tag), values, request)

    @shows_errors
    def on_select(self, event: gr.EventData, request: gr.Request) -> Values:
        return self.editing.filled(int(event.id), request)

    def on_open(self, request: gr.Request) -> Values:
        """Another dataset: nothing of the last one is asked for or chosen."""
        parts = self.parts
        cleared: Values = {parts.number: 1, parts.asked: {}}
        return {**cleared, **self._unasked(), **self.editing.filled(None, request)}

    @shows_errors
    def on_undo(self, dataset: str | None, person: str, request: gr.Request) -> int:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        show(self.datasets.undo(dataset, person).text(locale(request)), request)
        return moment()

    def _filter(self, values: Values) -> Filter:
        return Filter.model_validate({**values[self.parts.asked], "search": values[self.parts.search] or ""})

    def _ask(self, action: str, chosen: Any, values: Values, request: gr.Request) -> Values:
        """The question with the number of examples that would change."""
        number, going = self._going(action, chosen, values)
        question = confirm_bar(action, going, takes_facts=going > number, locale=locale(request))
        return {self.parts.confirm: question, self.parts.pending: (action, chosen, going)}

    def _unasked(self) -> Values:
        return {self.parts.confirm: "", self.parts.pending: None}

    def _going(self, action: str, chosen: Any, values: Values) -> tuple[int, int]:
        """How many examples were chosen, and how many change: a deleted seed takes its fact along."""
        dataset, selection = values[self.shell.dataset], _selection(chosen)
        number = self.datasets.count(dataset, selection)
        return number, self.datasets.deletion_count(dataset, selection) if action == "delete" else number

    def _page(self, values: Values, request: gr.Request) -> Values:
        filter, number = self._filter(values), values[self.parts.number]
        page = self.datasets.page(values[self.shell.dataset], filter=filter, number=number, size=PAGE_SIZE)
        selected = values[self.editing.editor.selected]
        table = examples_table(page, selected, filter, locale(request))
        return {self.parts.table: table, self.parts.number: page.number}

    def _filters(self, values: Values, language: str) -> Values:
        facets = self.datasets.facets(values[self.shell.dataset])
        return {self.parts.filters: filters_row(self._filter(values), facets, language)}

    def _run(self, pending: Pending, tag: str, values: Values, request: gr.Request) -> Values:
        """Do what was asked for, in one step that can be undone, and say how many it was."""
        action, selection = pending[0], _selection(pending[1])
        dataset, person = values[self.shell.dataset], values[self.shell.person]
        if action == "tag":
            number = self.datasets.add_tag(dataset, selection, tag, person)
        elif action == "delete":
            number = self.datasets.delete_examples(dataset, selection, person)
        else:
            number = self.datasets.set_status(dataset, selection, cast(ExampleStatus, action), person)
        tell(f"dataset_page.did_{action}", request, number=f"{number:,}")
        return {**self._unasked(), self.shell.changed: moment()}


def _selection(chosen: list[int] | dict[str, Any]) -> Selection:
    return Filter.model_validate(chosen) if isinstance(chosen, dict) else chosen
