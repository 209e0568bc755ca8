"""The section of the articles for continued pre-training; it must not know how one is read, cleaned or compared.

Layout first, then the wiring. An import goes on in the studio whatever the browser does: a tick looks how far it is.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from studio.datasets.documents import DocumentFilter, Selection
from studio.errors import DatasetError
from studio.house import Studio
from studio.pages import documents_view as view
from studio.pages.language import label, locale, say, show, shows_errors, tell
from studio.pages.markup import empty, whole_number
from studio.pages.parts import QUIET, drawn
from studio.pages.shell import Shell, chosen, moment

TICK_S = 0.5
PAGE_SIZE = 50
FILE_TYPES = [".zip", ".gz", ".tgz"]
WORD_ENDS = re.compile(r"[、,，\n\u3000]+")
DELETE = "delete"
Waiting = tuple[Selection, int] | str | None
# keep or leave_out, and where the words are looked for.
MODES = [(action, where) for action in ("keep", "leave_out") for where in ("text", "title")]
EVERYTHING = DocumentFilter()


@dataclass(frozen=True)
class Seen:
    """What a browser looks at; kept in a gr.State."""

    filter: DocumentFilter = EVERYTHING
    number: int = 1
    selected: int | None = None


@dataclass(frozen=True)
class Importer:
    """The folded form that brings articles in."""

    panel: gr.Accordion
    file: gr.File
    folder: gr.Textbox
    name: gr.Textbox
    start: gr.Button


@dataclass(frozen=True)
class Chooser:
    """The line that chooses articles by words, and what has to be confirmed."""

    words: gr.Textbox
    mode: gr.Dropdown
    times: gr.Textbox
    count: gr.Button
    confirm: gr.HTML
    waiting: gr.State  # what waits for a yes: a Selection with its number, or DELETE


@dataclass(frozen=True)
class List:
    """The articles, and the chosen one beside them."""

    search: gr.Textbox
    table: gr.HTML
    article: gr.HTML
    seen: gr.State


@dataclass(frozen=True)
class Section:
    """The whole section, for handlers that change what was clicked for."""

    importer: Importer
    job: gr.HTML
    timer: gr.Timer
    counts: gr.HTML
    tools: gr.Column
    chooser: Chooser
    listed: List


def build_documents_panel(studio: Studio, shell: Shell) -> None:
    """Import on top, then selection by words, the list and the chosen article."""
    importer = _build_importer()
    job = drawn("documents-job", js=view.ACTIONS_JS, classes="oboe-stack")
    counts = drawn("documents-counts", classes="oboe-line")
    with gr.Column(visible=False, elem_id="documents-tools") as tools:
        chooser = _build_chooser()
        listed = _build_list()
    section = Section(importer, job, gr.Timer(TICK_S, active=False), counts, tools, chooser, listed)
    handlers = _Documents(studio, shell, section)
    shown = [counts, tools, importer.panel, listed.table, listed.article, listed.seen, job, section.timer]
    shell.changed.change(handlers.on_show, [shell.dataset, listed.seen], shown, **QUIET)
    cleared = [listed.seen, listed.search, chooser.confirm, chooser.waiting]
    shell.dataset.input(lambda: (Seen(), "", "", None), None, cleared, **QUIET)
    _wire_jobs(handlers, shell, section)
    _wire_chooser(handlers, shell, chooser)
    _wire_list(handlers, shell, section)


def _build_importer() -> Importer:
    with gr.Accordion(label("documents_page.import"), open=False, elem_id="documents-import") as panel, gr.Row():
        file = gr.File(
            label=label("documents_page.file"), file_types=FILE_TYPES, height=150, elem_id="documents-file", scale=2
        )
        with gr.Column(scale=2):
            folder = gr.Textbox(
                label=label("documents_page.folder"),
                info=label("documents_page.folder_help"),
                elem_id="documents-folder",
            )
            name = gr.Textbox(
                label=label("documents_page.name"), info=label("documents_page.name_help"), elem_id="documents-name"
            )
            start = gr.Button(label("documents_page.start"), variant="primary", elem_id="documents-start")
    return Importer(panel, file, folder, name, start)


def _build_chooser() -> Chooser:
    with gr.Row(elem_id="documents-words-row"):
        words = gr.Textbox(
            label=label("documents_page.words"),
            placeholder=label("documents_page.words_example"),
            elem_id="documents-words",
            scale=4,
        )
        mode = gr.Dropdown(
            [(label(f"documents_page.mode_{action}_{where}"), f"{action} {where}") for action, where in MODES],
            value="keep text",
            label=label("documents_page.mode"),
            elem_id="documents-mode",
            scale=3,
        )
        times = gr.Textbox("1", label=label("documents_page.times"), elem_id="documents-times", min_width=90, scale=1)
        count = gr.Button(label("documents_page.count"), elem_id="documents-count")
    confirm = drawn("documents-confirm", js=view.ACTIONS_JS, classes="oboe-stack")
    return Chooser(words, mode, times, count, confirm, gr.State(None))


def _build_list() -> List:
    with gr.Row(elem_classes="oboe-columns"):
        with gr.Column(scale=5, min_width=320):
            search = gr.Textbox(
                placeholder=label("documents_page.search"),
                show_label=False,
                container=False,
                elem_id="documents-search",
            )
            table = drawn("documents", js=view.ACTIONS_JS)
        with gr.Column(scale=6, min_width=320, elem_classes="oboe-side"):
            article = drawn("document", js=view.ACTIONS_JS, classes="oboe-stack")
    return List(search, table, article, gr.State(Seen()))


def _wire_jobs(handlers: "_Documents", shell: Shell, section: Section) -> None:
    importer, shown = section.importer, [section.job, section.timer]
    importer.start.click(
        handlers.on_import,
        {importer.file, importer.folder, importer.name, shell.dataset, shell.person},
        [*shown, importer.panel, importer.file, importer.folder, importer.name, shell.dataset, shell.changed],
        **QUIET,
    )
    section.timer.tick(handlers.on_tick, shell.dataset, [*shown, shell.changed], **QUIET)
    clicked = [*shown, section.listed.article, shell.changed]
    section.job.click(handlers.on_job, [shell.dataset, shell.person], clicked, **QUIET)


def _wire_chooser(handlers: "_Documents", shell: Shell, chooser: Chooser) -> None:
    typed = [shell.dataset, chooser.words, chooser.mode, chooser.times]
    asked = [chooser.confirm, chooser.waiting]
    gr.on([chooser.count.click, chooser.words.submit], handlers.on_count, typed, asked, **QUIET)
    chooser.confirm.click(
        handlers.on_confirm, [shell.dataset, chooser.waiting, shell.person], [*asked, shell.changed], **QUIET
    )


def _wire_list(handlers: "_Documents", shell: Shell, section: Section) -> None:
    listed, chooser = section.listed, section.chooser
    listed.search.change(
        handlers.on_search,
        [shell.dataset, listed.search, listed.seen],
        [listed.table, listed.seen],
        trigger_mode="always_last",
        **QUIET,
    )
    parts = [listed.table, listed.seen, listed.article, chooser.confirm, chooser.waiting, section.job, section.timer]
    listed.table.click(handlers.on_table, [shell.dataset, listed.seen, shell.person], [*parts, shell.changed], **QUIET)
    listed.article.click(handlers.on_article, [shell.dataset, shell.person], shell.changed, **QUIET)


class _Documents:
    """The handlers: read what was typed or clicked, ask the documents once, say what is there."""

    def __init__(self, studio: Studio, shell: Shell, section: Section) -> None:
        self.studio = studio
        self.shell = shell
        self.section = section
        self.documents = studio.documents

    @shows_errors
    def on_show(self, dataset: str | None, seen: Seen, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            return self._nothing("", gr.Timer(active=False), request)
        counts = self.documents.counts(dataset)
        job, timer = self._job(dataset, request)
        if not counts.documents:
            return self._nothing(job, timer, request)
        line = view.counts_line(counts, locale(request))
        article = self._article(dataset, seen.selected, request)
        table, seen = self._table(dataset, seen, request)
        return line, gr.Column(visible=True), gr.skip(), table, article, seen, job, timer

    @shows_errors
    def on_import(self, form: dict[Any, Any], request: gr.Request) -> tuple[Any, ...]:
        importer = self.section.importer
        source = form[importer.file] or os.path.expanduser(form[importer.folder].strip())
        name, person = form[importer.name].strip() or form[self.shell.dataset], form[self.shell.person]
        if not source:
            raise DatasetError("documents_page.choose_a_source")
        self.documents.start_import(_named(name), Path(source), person or "")
        # The first tick looks again, however soon it ends: it is what tells the other views.
        job, _ = self._job(name, request)
        folded = gr.Accordion(open=False)
        return job, gr.Timer(active=True), folded, None, "", "", chosen(self.studio, name), moment()

    def on_tick(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            return "", gr.Timer(active=False), gr.skip()
        job = self.documents.job(dataset)
        running = job is not None and job.state == "running"
        return *self._job(dataset, request), gr.skip() if running else moment()

    @shows_errors
    def on_job(self, dataset: str, person: str, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        article, changed = gr.skip(), gr.skip()
        if event.act == "cancel":
            self.documents.cancel(dataset)
        elif event.act == "leave_out_alike":
            number = self.documents.leave_out_alike(dataset, author=person or "")
            tell("documents_page.left_out", request, number=f"{number:,}")
            changed = moment()
        elif event.act == "alike":
            kept, other = (self.documents.document(dataset, int(key)) for key in str(event.value).split("-"))
            article = view.alike(kept, other, locale(request))
        return *self._job(dataset, request), article, changed

    @shows_errors
    def on_count(
        self, dataset: str | None, words: str, mode: str, times: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        selection, name = _selection(words, mode, times), _named(dataset)
        yield view.working(locale(request)), None
        selected = self.documents.count(name, selection)
        yield view.confirmation(selection, selected, locale(request)), (selection, selected.number)

    @shows_errors
    def on_confirm(
        self, dataset: str, waiting: Waiting, person: str, event: gr.EventData, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        if event.act != "yes" or waiting is None:
            yield "", None, gr.skip()
            return
        yield view.working(locale(request)), None, gr.skip()
        try:
            if isinstance(waiting, str):
                number, said = self.documents.delete_all(dataset), "documents_page.deleted"
            else:
                number = self.documents.select(dataset, waiting[0], expected=waiting[1], author=person or "")
                said = "documents_page.left_out"
        except DatasetError:
            yield "", None, gr.skip()
            raise
        tell(said, request, number=f"{number:,}")
        yield "", None, moment()

    def on_search(self, dataset: str | None, search: str, seen: Seen, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            return "", seen
        return self._table(dataset, Seen(seen.filter.model_copy(update={"search": search})), request)

    @shows_errors
    def on_table(
        self, dataset: str, seen: Seen, person: str, event: gr.EventData, request: gr.Request
    ) -> dict[Any, Any]:
        """Everything that a button or a row of the list does; what it changes is all that is sent back."""
        act, value, section = str(event.act), str(event.value), self.section
        if act == "near":
            self.documents.start_near(dataset)
            return {section.job: self._job(dataset, request)[0], section.timer: gr.Timer(active=True)}
        if act == "undo":
            show(self.studio.datasets.undo(dataset, person or "").text(locale(request)), request)
            return {self.shell.changed: moment()}
        if act == "export":
            path = self.documents.export(dataset, self.studio.exports)
            number = self.documents.counts(dataset).included
            return {section.chooser.confirm: view.exported(path, number, locale(request))}
        if act == DELETE:
            asked = view.deletion(self.documents.counts(dataset), locale(request))
            return {section.chooser.confirm: asked, section.chooser.waiting: DELETE}
        table, seen = self._table(dataset, _turned(seen, act, value), request)
        shown = {section.listed.table: table, section.listed.seen: seen}
        if act == "open":
            shown[section.listed.article] = self._article(dataset, seen.selected, request)
        return shown

    @shows_errors
    def on_article(self, dataset: str, person: str, event: gr.EventData, request: gr.Request) -> int:
        included = event.act == "include"
        self.documents.set_included(dataset, int(event.value), included, person or "")
        tell("documents_page.put_back" if included else "documents_page.left_one_out", request)
        return moment()

    def _nothing(self, job: str, timer: gr.Timer, request: gr.Request) -> tuple[Any, ...]:
        """The import opens where it is the next step, and is never closed under a person's hands."""
        line = "" if job else empty(say("documents_page.none", request))
        panel = gr.skip() if job else gr.Accordion(open=True)
        return line, gr.Column(visible=False), panel, "", "", Seen(), job, timer

    def _table(self, dataset: str, seen: Seen, request: gr.Request) -> tuple[str, Seen]:
        page = self.documents.page(dataset, filter=seen.filter, number=seen.number, size=PAGE_SIZE)
        table = view.documents_table(page, seen.filter, seen.selected, locale(request))
        return table, Seen(seen.filter, page.number, seen.selected)

    def _article(self, dataset: str, selected: int | None, request: gr.Request) -> str:
        there = selected is not None and self.documents.documents(dataset, [selected])
        document = self.documents.document(dataset, selected) if there and selected else None
        return view.article(document, locale(request))

    def _job(self, dataset: str, request: gr.Request) -> tuple[str, gr.Timer]:
        job = self.documents.job(dataset)
        ids = [key for group in (job.alike if job else ()) for key in (group.kept, *(key for key, _ in group.others))]
        titles = {document.id: document.title for document in self.documents.documents(dataset, ids)} if ids else {}
        running = job is not None and job.state == "running"
        return view.job_line(job, titles, locale(request)), gr.Timer(active=running)


def _turned(seen: Seen, act: str, value: str) -> Seen:
    """What a browser looks at after a click in the list."""
    if act == "open":
        return replace(seen, selected=int(value))
    if act == "page":
        return replace(seen, number=int(value))
    return replace(seen, filter=DocumentFilter.model_validate(seen.filter.model_dump() | {act: value}), number=1)


def _selection(words: str, mode: str, times: str) -> Selection:
    typed = tuple(word.strip() for word in WORD_ENDS.split(words) if word.strip())
    if not typed:
        raise DatasetError("documents.error_no_words")
    action, _, where = mode.partition(" ")
    try:
        return Selection.model_validate(
            {"words": typed, "action": action, "where": where, "times": whole_number(times)}
        )
    except ValidationError:
        raise DatasetError("documents_page.error_times", value=times) from None


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise DatasetError("dataset_page.no_dataset")
    return dataset
