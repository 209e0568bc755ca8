"""The facts' section: what was proposed and why, merged and split by hand, and what a base knows already.

It must not know how facts are found or what a model is.
"""

from collections.abc import Callable
from typing import Any, cast

import gradio as gr

from studio.datasets import Filter
from studio.datasets.proposed import Shown
from studio.errors import DatasetError
from studio.house import Studio
from studio.i18n import text
from studio.pages.facts_view import (
    ACTS_JS,
    ALL,
    LIST_JS,
    SHOWN,
    facts_list,
    knowledge_lines,
    known_form,
    overview_line,
)
from studio.pages.language import label, locale, shows_errors, tell
from studio.pages.markup import empty
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell, moment
from studio.runs.presets import presets

TICK_S = 1.0
# Which facts are shown and the page of them.
View = tuple[Shown, int]
FIRST: View = ("proposed", 1)


def build_facts_panel(studio: Studio, shell: Shell) -> None:
    """What was proposed on top, the facts below, and what a base knows of them between the two."""
    overview = drawn("facts-overview", js=ACTS_JS)
    known = drawn("known-form", js=ACTS_JS)
    asking, timer = drawn("known-status", js=ACTS_JS, classes="oboe-stack"), gr.Timer(TICK_S, active=False)
    search = gr.Textbox(
        placeholder=label("facts_page.search"), show_label=False, container=False, elem_id="facts-search"
    )
    facts = drawn("facts-list", js=LIST_JS)
    view, handlers = gr.State(FIRST), _Facts(studio)
    asked, shown = [shell.dataset, search, view], [overview, facts, view]
    shell.changed.change(handlers.on_show, asked, shown, **QUIET)
    shell.dataset.input(lambda: FIRST, None, view, **QUIET)
    search.change(handlers.on_search, asked, shown, trigger_mode="always_last", **QUIET)
    overview.select(handlers.on_shown, [shell.dataset, search], shown, **QUIET)
    overview.apply(handlers.on_all, [shell.dataset, shell.person], shell.changed, **PRIVATE)
    overview.click(lambda: ("augment", moment(), "fields"), None, shell.section, **QUIET)
    facts.click(handlers.on_page, asked, shown, **QUIET)
    facts.expand(handlers.on_list, None, shell.filter, **QUIET)
    facts.select(handlers.on_act, [shell.dataset, shell.person], shell.changed, **QUIET)
    shell.page.load(handlers.on_form, None, known, **QUIET)
    shell.changed.change(handlers.on_known, shell.dataset, [asking, timer], **QUIET)
    known.apply(handlers.on_ask, shell.dataset, [asking, timer], **PRIVATE)
    asking.apply(handlers.on_cancel, shell.dataset, [asking, timer], **PRIVATE)
    timer.tick(handlers.on_tick, shell.dataset, [asking, timer, shell.changed], **QUIET)


class _Facts:
    """The handlers: read what was asked for, call one room, say what is there."""

    def __init__(self, studio: Studio) -> None:
        self.datasets = studio.datasets
        self.proposed = studio.proposed
        self.known = studio.known
        self.acts: dict[str, Callable[..., int]] = {act: getattr(studio.proposed, act) for act in ALL}

    @shows_errors
    def on_show(self, dataset: str | None, search: str | None, view: View, request: gr.Request) -> tuple[Any, ...]:
        language = locale(request)
        if dataset is None:
            return "", empty(text("dataset_page.no_dataset", language)), FIRST
        shown, number = view
        page = self.proposed.page(dataset, shown=shown, search=search or "", number=number)
        knowledge = self.known.knowledge(dataset)[:1]
        ids = [sheet.fact.id for sheet in page.sheets]
        answers = self.known.answers(dataset, knowledge[0].base_model, ids) if knowledge else {}
        overview = overview_line(self.proposed.overview(dataset), shown, language)
        return overview, facts_list(page, answers, shown, language), (shown, page.number)

    def on_search(self, dataset: str | None, search: str, view: View, request: gr.Request) -> tuple[Any, ...]:
        return self.on_show(dataset, search, (view[0], 1), request)

    def on_shown(self, dataset: str, search: str, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        shown = event.shown if event.shown in SHOWN else FIRST[0]
        return self.on_show(dataset, search, (cast(Shown, shown), 1), request)

    def on_page(
        self, dataset: str, search: str, view: View, event: gr.EventData, request: gr.Request
    ) -> tuple[Any, ...]:
        return self.on_show(dataset, search, (view[0], int(event.page)), request)

    def on_list(self, event: gr.EventData) -> tuple[dict[str, Any], int]:
        """The list on all examples of one fact."""
        return Filter(fact_id=int(event.fact)).model_dump(), moment()

    @shows_errors
    def on_act(self, dataset: str, person: str, event: gr.EventData, request: gr.Request) -> int:
        """What was done to facts by hand: confirmed, merged or split."""
        facts, examples = [int(fact) for fact in event.facts], [int(example) for example in event.examples]
        if event.act == "merge":
            self.datasets.merge_facts(dataset, facts, person)
            tell("facts_page.merged", request, number=f"{len(facts):,}")
        elif event.act == "split":
            new = self.datasets.split_fact(dataset, facts[0], examples, person)
            tell("facts_page.was_split", request, number=f"{len(examples):,}", fact=new.id)
        else:
            self.proposed.confirm(dataset, facts, person)
        return moment()

    @shows_errors
    def on_all(self, dataset: str | None, person: str, event: gr.EventData, request: gr.Request) -> int:
        """What was asked for of all facts at once: confirmed, regrouped or filled in."""
        act = str(event.act)
        number = self.acts[act](_named(dataset), author=person)
        tell(f"facts_page.did_{act}" if number else f"facts_page.nothing_to_{act}", request, number=f"{number:,}")
        return moment()

    def on_form(self, request: gr.Request) -> str:
        bases = dict.fromkeys(str(preset.config["base_model"]) for preset in presets().values())
        return known_form(list(bases), locale(request))

    @shows_errors
    def on_known(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        if dataset is None:
            return "", gr.Timer(active=False)
        asking = self.known.status(dataset)
        lines = knowledge_lines(self.known.knowledge(dataset), asking, locale(request))
        return lines, gr.Timer(active=asking.active)

    @shows_errors
    def on_ask(self, dataset: str | None, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        self.known.start(_named(dataset), str(event.choice), again=event.act == "again")
        # The first tick looks again, however soon the asking ends: it is what tells the list.
        return self.on_known(dataset, request)[0], gr.Timer(active=True)

    @shows_errors
    def on_cancel(self, dataset: str, request: gr.Request) -> tuple[Any, ...]:
        self.known.cancel(dataset)
        return self.on_known(dataset, request)

    @shows_errors
    def on_tick(self, dataset: str | None, request: gr.Request) -> tuple[Any, ...]:
        active = dataset is not None and self.known.status(dataset).active
        return *self.on_known(dataset, request), gr.skip() if active else moment()


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise DatasetError("dataset_page.no_dataset")
    return dataset
