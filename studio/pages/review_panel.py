"""The review queue's section: what a pressed key asks for, and what the browser gets back; it must not know how
decisions are kept.

A key is one call of the server outside Gradio's queue, which would cost two requests and a stream for each.
"""

from collections.abc import Callable
from typing import Any, Literal

import gradio as gr
from pydantic import Field

from studio.datasets.model import EditConflict, FactConflict, NewFactFields
from studio.datasets.review import Reader, ReviewQueue, Sheet
from studio.datasets.search import LARGEST_ID
from studio.errors import StudioError
from studio.house import Studio
from studio.i18n import text
from studio.pages.language import locale
from studio.pages.parts import QUIET
from studio.pages.review_view import (
    conflict_of,
    fact_conflict_of,
    frame,
    nothing_to_review,
    sheet_of,
    typed_list,
    typed_terms,
)
from studio.pages.shell import Shell, moment
from training.contract import PROJECT_ROOT, Frozen

SCRIPT = PROJECT_ROOT / "assets" / "scripts" / "review.js"
# The script asks for nothing before it knows which dataset is chosen, and looks again when something has changed.
CHANGED_JS = """(dataset, person) => {
  window.oboe = {dataset: dataset || '', person: person || ''};
  window.dispatchEvent(new Event('oboe-changed'));
}"""
PERSON_JS = "(person) => { if (window.oboe) window.oboe.person = person; }"
Answer = dict[str, Any]


class Wish(Frozen):
    """What a page asks for, as assets/scripts/review.js sends it."""

    act: Literal["open", "accept", "reject", "accept_all", "next", "previous", "undo", "reopen", "save", "save_fact"]
    dataset: str
    person: str = Field("", max_length=100)
    page: str = Field(max_length=100)
    framed: bool = Field(description="Whether the page has its frame already.")
    fact: int = Field(0, ge=0, le=LARGEST_ID)
    example: int = Field(0, ge=0, le=LARGEST_ID)
    seen: dict[int, str] = Field(default_factory=dict, max_length=1000)
    expected: str = ""
    values: dict[str, str] = Field(default_factory=dict)

    @property
    def reader(self) -> Reader:
        """Who asks."""
        return Reader(page=self.page, person=self.person.strip())


def build_review_panel(studio: Studio, shell: Shell) -> None:
    """One component: assets/scripts/review.js fills it, and says when its changes concern the other views."""
    handlers = _Review(studio)

    def review(wish: dict[str, Any], request: gr.Request) -> Answer:
        return handlers.answer(Wish.model_validate(wish), locale(request))

    screen = gr.HTML(
        elem_id="review",
        js_on_load=SCRIPT.read_text("utf-8"),
        apply_default_css=False,
        server_functions=[review],
    )
    shell.changed.change(None, [shell.dataset, shell.person], None, js=CHANGED_JS)
    shell.person.change(None, shell.person, None, js=PERSON_JS)
    screen.left(moment, None, shell.changed, **QUIET)
    screen.away(handlers.on_away, None, shell.section, **QUIET)


class _Review:
    """The answers: ask the queue once, draw where it leads."""

    def __init__(self, studio: Studio) -> None:
        self.datasets = studio.datasets
        self.queue = ReviewQueue(studio.datasets)
        self._acts: dict[str, Callable[[Wish, str], Answer]] = {
            "open": self._on_open,
            "accept": self._on_decision,
            "accept_all": self._on_decision,
            "reject": self._on_decision,
            "next": self._on_next,
            "previous": self._on_previous,
            "undo": self._on_undo,
            "reopen": self._on_reopen,
            "save": self._on_save,
            "save_fact": self._on_save_fact,
        }

    def answer(self, wish: Wish, language: str) -> Answer:
        """The next screen. What a person is told never takes an open editor away."""
        framed = {} if wish.framed else {"frame": frame(language)}
        try:
            return framed | self._acts[wish.act](wish, language)
        except EditConflict as error:
            return {
                "conflict": conflict_of(error, language),
                "expected": error.current.updated_at.isoformat(),
                **_told(""),
            }
        except FactConflict as error:
            return {"conflict": fact_conflict_of(error, language), "expected": error.current.said, **_told("")}
        except StudioError as error:
            return (
                framed
                | {"refused": True, **_told(error.text(language), "failed")}
                | self._instead(wish, error, language)
            )

    def on_away(self, event: gr.EventData) -> tuple[str, int]:
        """The section that the page wants to see, with its moment."""
        return str(event.section), moment()

    def _instead(self, wish: Wish, error: StudioError, language: str) -> Answer:
        """What is there now, where a decision met something that is gone; an editor keeps what is typed."""
        if wish.act in ("save", "save_fact"):
            return {}
        try:
            return _drawn(self.queue.open(wish.dataset, wish.reader, wish.example), language)
        except StudioError:  # the dataset itself is gone
            return {"sheet": nothing_to_review(error.text(language), text("review_page.to_list", language))}

    def _on_open(self, wish: Wish, language: str) -> Answer:
        if not wish.dataset:
            sentence = text("dataset_page.no_dataset", language)
            return {"sheet": nothing_to_review(sentence, text("review_page.to_list", language)), **_told("")}
        return _drawn(self.queue.open(wish.dataset, wish.reader, wish.example), language) | _told("")

    def _on_decision(self, wish: Wish, language: str) -> Answer:
        status: Literal["accepted", "rejected"] = "rejected" if wish.act == "reject" else "accepted"
        sheet, changed = self.queue.decide(wish.dataset, wish.seen, status, wish.reader)
        if changed:
            told = _told(text("review_page.changed_meanwhile", language, number=changed), "warning")
        else:
            told = _told(text(f"review_page.told_{status}", language, number=len(wish.seen)))
        return _drawn(sheet, language) | told | {"changed": True}

    def _on_next(self, wish: Wish, language: str) -> Answer:
        return _drawn(self.queue.next(wish.dataset, wish.fact, wish.reader), language) | _told("")

    def _on_previous(self, wish: Wish, language: str) -> Answer:
        return _drawn(self.queue.previous(wish.dataset, wish.fact, wish.reader), language) | _told("")

    def _on_undo(self, wish: Wish, language: str) -> Answer:
        sheet, undone = self.queue.undo(wish.dataset, wish.reader)
        return _drawn(sheet, language) | _told(undone.text(language)) | {"changed": True}

    def _on_reopen(self, wish: Wish, language: str) -> Answer:
        sheet, number = self.queue.reopen(wish.dataset, wish.reader)
        told = _told(text("review_page.reopened", language, number=f"{number:,}"))
        return _drawn(sheet, language) | told | {"changed": True}

    def _on_save(self, wish: Wish, language: str) -> Answer:
        self.datasets.edit_example(
            wish.dataset,
            wish.example,
            question=wish.values.get("question"),
            answer=wish.values.get("answer"),
            expected=wish.expected,
            everywhere=wish.values.get("everywhere") == "on",
            author=wish.reader.person,
        )
        return self._saved(wish, language)

    def _on_save_fact(self, wish: Wish, language: str) -> Answer:
        typed = wish.values
        fields: NewFactFields = {
            "subject": typed.get("subject", ""),
            "spellings": typed_list(typed.get("spellings", "")),
            "tags": typed_list(typed.get("tags", "")),
            "key_terms": typed_terms(typed.get("key_terms", "")),
        }
        short = typed.get("short_answer") == "short"
        if short != self.datasets.fact(wish.fact).short_answer:  # told by the answer until a person says otherwise
            fields["short_answer"] = short
        if wish.expected:
            fields["expected"] = wish.expected
        self.datasets.edit_fact(wish.dataset, wish.fact, author=wish.reader.person, **fields)
        return self._saved(wish, language)

    def _saved(self, wish: Wish, language: str) -> Answer:
        told = _told(text("review_page.saved", language))
        return _drawn(self.queue.at(wish.dataset, wish.example, wish.reader), language) | told | {"changed": True}


def _drawn(sheet: Sheet | None, language: str) -> Answer:
    if sheet is not None:
        return {"sheet": sheet_of(sheet, language)}
    sentence = text("review_page.no_facts", language)
    return {"sheet": nothing_to_review(sentence, text("review_page.to_list", language))}


def _told(sentence: str, tone: str = "") -> Answer:
    return {"told": sentence, "tone": tone}
