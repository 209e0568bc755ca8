"""The question sets' section: a file of test questions comes in, and each is confirmed by key; not how it is linked."""

from pathlib import Path
from typing import Any

import gradio as gr

from studio.datasets import READERS
from studio.datasets.questions import KINDS, QuestionSet
from studio.datasets.search import LARGEST_ID
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty, whole_number
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.questions_view import SETS_JS, import_report, questions_list, sets_list
from studio.pages.shell import Shell, moment
from training.contract import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "assets" / "scripts" / "questions.js"
PAGE_SIZE = 25
# The set that is shown and the page of it.
View = tuple[str, int]
NOTHING: View = ("", 1)


def build_questions_panel(studio: Studio, shell: Shell) -> None:
    """The import on top, then the sets, then the questions of one."""
    with gr.Accordion(label("questions_page.import"), open=False, elem_id="questions-import"):
        file = gr.File(
            label=label("questions_page.file"), file_types=list(READERS), height=110, elem_id="questions-file"
        )
        start = gr.Button(label("questions_page.start"), variant="primary", elem_id="questions-start")
        report = drawn("questions-report")
    sets = drawn("question-sets", js=SETS_JS)
    questions = drawn("questions", js=SCRIPT.read_text("utf-8"))
    view, handlers = gr.State(NOTHING), _Questions(studio)
    asked, shown = [shell.dataset, view], [sets, questions, view]
    shell.changed.change(handlers.on_show, asked, shown, **QUIET)
    shell.dataset.input(lambda: NOTHING, None, view, **QUIET)
    start.click(handlers.on_import, [shell.dataset, file], [report, file, view, shell.changed], **PRIVATE)
    sets.select(handlers.on_set, shell.dataset, shown, **QUIET)
    sets.apply(handlers.on_act, [shell.dataset, view, shell.person], shell.changed, **PRIVATE)
    questions.click(handlers.on_page, asked, shown, **QUIET)
    # Rapid keys: each is one decision, in the order of pressing.
    rapid = QUIET | {"trigger_mode": "multiple", "concurrency_limit": 1}
    questions.select(handlers.on_decide, [shell.dataset, view, shell.person], shown, **rapid)


class _Questions:
    """The handlers: read what was pressed, call the sets once, say what is there."""

    def __init__(self, studio: Studio) -> None:
        self.datasets = studio.datasets
        self.sets = studio.questions

    @shows_errors
    def on_show(self, dataset: str | None, view: View, request: gr.Request) -> tuple[str, str, View]:
        if dataset is None:
            return empty(text("dataset_page.no_dataset", locale(request))), "", NOTHING
        return self._shown(dataset, view, locale(request))

    @shows_errors
    def on_import(self, dataset: str | None, file: str | None, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            raise DatasetError("dataset_page.no_dataset")
        if not file:
            raise DatasetError("questions_page.choose_a_file")
        path = Path(file)
        report = self.sets.import_file(dataset, _free_name(path.stem, self.sets.sets(dataset)), path)
        return import_report(report, locale(request)), None, (report.name, 1), moment()

    @shows_errors
    def on_set(self, dataset: str, event: gr.EventData, request: gr.Request) -> tuple[str, str, View]:
        return self._shown(dataset, (str(event.name), 1), locale(request))

    @shows_errors
    def on_act(self, dataset: str, view: View, person: str, event: gr.EventData, request: gr.Request) -> int:
        """What is done to the whole set that is shown."""
        if event.act == "confirm_all":
            number = self.sets.confirm_all(dataset, view[0], person)
        elif event.act == "propose_again":
            number = self.sets.propose_again(dataset, view[0])
        else:
            number = self.sets.delete(dataset, view[0])
        tell(f"questions_page.did_{event.act}", request, number=f"{number:,}")
        return moment()

    @shows_errors
    def on_page(self, dataset: str, view: View, event: gr.EventData, request: gr.Request) -> tuple[str, str, View]:
        return self._shown(dataset, (view[0], int(event.page)), locale(request))

    @shows_errors
    def on_decide(
        self, dataset: str, view: View, person: str, event: gr.EventData, request: gr.Request
    ) -> tuple[str, str, View]:
        if event.act == "reopen":
            self.sets.reopen(dataset, int(event.question))
        else:
            kind = next((kind for kind in KINDS if kind == event.kind), None)
            self.sets.confirm(dataset, int(event.question), kind=kind, fact_id=_fact(str(event.fact)), author=person)
        return self._shown(dataset, view, locale(request))

    def _shown(self, dataset: str, view: View, language: str) -> tuple[str, str, View]:
        sets = self.sets.sets(dataset)
        name = view[0] if any(found.name == view[0] for found in sets) else sets[0].name if sets else ""
        page = self.sets.page(dataset, name, number=view[1], size=PAGE_SIZE)
        linked = {question.fact_id for question in page.questions if question.fact_id is not None}
        facts = {fact_id: self.datasets.fact(fact_id) for fact_id in linked}
        return sets_list(sets, name, language), questions_list(page, facts, language), (name, page.number)


def _fact(typed: str) -> int | None:
    """The number of a fact as it was typed; empty leaves the fact as it is."""
    if not typed.strip():
        return None
    number = whole_number(typed)
    if number is None or number > LARGEST_ID:
        raise DatasetError("questions_page.no_fact_number", typed=typed)
    return number


def _free_name(wanted: str, sets: list[QuestionSet]) -> str:
    """A file's name as the set's, numbered where there is one of that name already."""
    taken = {found.name for found in sets}
    names = (wanted if number == 1 else f"{wanted} {number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
