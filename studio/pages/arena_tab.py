"""The arena: one question, the base on the left, the fine-tuned run on the right; it must not know servers.

The question stands above the answers, so that a growing answer moves nothing a person is typing in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.arena import BASE
from studio.datasets import Fact, Filter
from studio.errors import StudioError
from studio.house import Studio
from studio.i18n import text
from studio.inference import Options
from studio.pages.arena_view import QUESTIONS_JS, answer, expected_line, question_chips, titles, waiting
from studio.pages.language import label, locale, shows_errors
from studio.pages.markup import notice
from studio.pages.parts import PRIVATE, QUIET, drawn
from studio.pages.shell import Shell
from studio.runs.registry import RunSummary

MOST_QUESTIONS = 6
Values = dict[Any, Any]


@dataclass(frozen=True)
class Arena:
    """The components of the tab."""

    run: gr.Dropdown
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    reasoning: gr.Checkbox
    examples: gr.HTML
    base: gr.HTML
    tuned: gr.HTML
    expected: gr.HTML


def build_arena_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """The question, then both answers side by side."""
    with gr.Row(elem_id="ask-row"):
        question = gr.Textbox(
            placeholder=label("arena_page.question"), show_label=False, container=False, elem_id="question", scale=6
        )
        ask = gr.Button(label("arena_page.ask"), variant="primary", elem_id="ask")
        stop = gr.Button(label("arena_page.stop"), visible=False, elem_id="ask-stop")
    examples = drawn("question-examples", js=QUESTIONS_JS, classes="oboe-chips")
    with gr.Row(elem_id="answers"):
        base = drawn("answer-base")
        tuned = drawn("answer-tuned")
    expected = drawn("expected", classes="oboe-line")
    with gr.Row(elem_id="arena-choices"):
        run = gr.Dropdown([], label=label("arena_page.run"), elem_id="arena-run", interactive=True)
        reasoning = gr.Checkbox(
            False,
            label=label("arena_page.show_reasoning"),
            info=label("arena_page.reasoning_help"),
            elem_id="reasoning",
        )
    _wire(
        _Handlers(studio, shell, Arena(run, question, ask, stop, reasoning, examples, base, tuned, expected)),
        shell,
        tab,
    )


def _wire(handlers: "_Handlers", shell: Shell, tab: gr.Tab) -> None:
    arena = handlers.arena
    asked = {arena.question, arena.run, arena.reasoning, shell.dataset}
    shown = [arena.base, arena.tuned, arena.expected, arena.ask, arena.stop]
    asking: dict[str, Any] = {"inputs": asked, "outputs": shown, "show_progress": "hidden", "concurrency_limit": 4}
    arena.ask.click(handlers.on_ask, **asking, **PRIVATE)
    arena.question.submit(handlers.on_ask, **asking, **PRIVATE)
    filled = arena.examples.click(handlers.on_example, None, arena.question, **QUIET)
    filled.then(handlers.on_ask, **asking, **PRIVATE)
    arena.stop.click(handlers.on_stop, **QUIET)
    blank = [arena.base, arena.tuned, arena.expected]
    newest = gr.State("")  # the newest run that this page has offered
    looked = [tab.select, shell.runs_changed.change]
    gr.on(looked, handlers.on_runs, [arena.run, newest], [arena.run, newest, *blank], **QUIET)
    arena.run.input(handlers.on_run, arena.run, blank, **QUIET)
    shell.changed.change(handlers.on_dataset, shell.dataset, arena.examples, **QUIET)


class _Handlers:
    """Read the question, ask the arena once, show each scene."""

    def __init__(self, studio: Studio, shell: Shell, arena: Arena) -> None:
        self.studio = studio
        self.dataset = shell.dataset
        self.arena = arena

    @shows_errors
    def on_ask(self, values: Values, request: gr.Request) -> Iterator[dict[Any, Any]]:
        arena, language = self.arena, locale(request)
        models = [BASE, values[arena.run]] if values[arena.run] else [BASE]
        left, right = self._titles(values[arena.run], language)
        busy = {arena.ask: gr.Button(interactive=False), arena.stop: gr.Button(visible=True)}
        known = self._known(values)
        yield busy | {arena.expected: expected_line(known, language)}
        options = Options(include_reasoning=bool(values[arena.reasoning]))
        try:
            scenes = self.studio.arena.ask(
                values[arena.question], models, options=options, reader=request.session_hash or ""
            )
            for scene in scenes:
                columns = {arena.base: answer(left, "base", scene, known, language)}
                if len(models) > 1:
                    columns[arena.tuned] = answer(right, "tuned", scene, known, language)
                yield columns
        except StudioError as error:
            # In the columns, not only in a toast that passes: nothing below would say why they are empty.
            sentence = notice(error.text(language), "warning")
            yield {
                arena.base: waiting(left, "base", ""),
                arena.tuned: waiting(right, "tuned", ""),
                arena.expected: sentence,
            }
        yield {arena.ask: gr.Button(interactive=True), arena.stop: gr.Button(visible=False)}

    def on_stop(self, request: gr.Request) -> None:
        self.studio.arena.stop(request.session_hash or "")

    def on_example(self, event: gr.EventData) -> str:
        return str(event.question)

    def on_dataset(self, dataset: str | None, request: gr.Request) -> str:
        facts = self.studio.datasets.facts(dataset) if dataset else []
        return question_chips([fact.question for fact in spread(facts)], locale(request))

    def on_runs(self, run_id: str | None, newest: str, request: gr.Request) -> tuple[Any, ...]:
        """The runs that can be asked. One that has just ended is chosen; otherwise choice and answers stay."""
        tuned = self.studio.arena.tuned()
        known = [run.run_id for run in tuned]
        choices = [(_named(run), run.run_id) for run in tuned]
        latest = known[0] if known else ""
        if run_id in known and latest == newest:
            return gr.Dropdown(choices=choices), newest, gr.skip(), gr.skip(), gr.skip()
        chosen = latest or None
        return gr.Dropdown(choices=choices, value=chosen), latest, *self.on_run(chosen, request)

    def on_run(self, run_id: str | None, request: gr.Request) -> tuple[str, str, str]:
        """Two columns without answers, and why there can be none yet."""
        language = locale(request)
        left, right = self._titles(run_id, language)
        ready = text("arena_page.ready" if self.studio.runs.active() is None else "arena_page.training_first", language)
        told = ready if run_id else text("arena_page.no_tuned", language)
        return waiting(left, "base", ready), waiting(right, "tuned", told), ""

    def _titles(self, run_id: str | None, language: str) -> tuple[str, str]:
        run = next((run for run in self.studio.arena.tuned() if run.run_id == run_id), None)
        base = self.studio.arena.base_model([run.run_id] if run else [])
        return titles(base, run, language)

    def _known(self, values: Values) -> Fact | None:
        """The fact that a question of the dataset asks for, whatever its phrasing there; reversed ones ask another."""
        dataset, question = values[self.dataset], values[self.arena.question].strip()
        if not (dataset and question):
            return None
        found = self.studio.datasets.page(dataset, filter=Filter(search=question), size=10).examples
        same = [example for example in found if example.question == question and example.kind != "reverse"]
        if not same:
            return None
        return next((fact for fact in self.studio.datasets.facts(dataset) if fact.id == same[0].fact_id), None)


def spread(facts: Sequence[Fact]) -> list[Fact]:
    """A few facts from all over a dataset, of different relations where these follow one another in turn."""
    number = min(MOST_QUESTIONS, len(facts))
    return [facts[min(place * len(facts) // number + place, len(facts) - 1)] for place in range(number)]


def _named(run: RunSummary) -> str:
    return f"{run.name or run.run_id} · {run.dataset} · {run.created_at.astimezone():%m-%d %H:%M}"
