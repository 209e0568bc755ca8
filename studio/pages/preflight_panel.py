"""The check before training: follows the form, and offers what remedies a finding; it must not know what it checks."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.house import Studio
from studio.pages.language import label, locale
from studio.pages.markup import whole_number
from studio.pages.parts import QUIET, drawn
from studio.pages.plan_form import plan_of
from studio.pages.preflight_view import FIX_JS, Time, Whole, checked, checking, details
from studio.pages.run_form import Form, shown_value
from studio.pages.shell import Shell, moment
from studio.runs.materials import fewer_variants
from studio.runs.plans import Plan
from studio.runs.speed import expected_seconds, measured_speed, within
from studio.runs.stages import Outlook, outlook
from training.contract import RunConfig
from training.doctor import examine
from training.preflight_report import Preflight, counts_of, planned_steps

# A form that is being typed in is not checked: only one that has been left alone so long.
SETTLED_S = 1.0

Values = dict[Any, Any]


@dataclass(frozen=True)
class Asked:
    """The form as it was left last, with what the dataset alone tells of it; `moment` tells it from earlier ones."""

    moment: int = 0
    plan: Plan | None = None
    known: Preflight = field(default_factory=Preflight)


@dataclass(frozen=True)
class Watch:
    """What this browser's panel shows: the check of a form, by its key, and what became of it.

    Only the timer writes it and only the form writes Asked, so a late answer about an old form loses no newer one.
    """

    moment: int = 0
    key: str = ""
    outlook: Outlook = field(default_factory=Outlook)
    found: Preflight | None = None
    failed: bool = False


def build_preflight_panel(studio: Studio, shell: Shell, tab: gr.Tab, form: Form, then: gr.Dropdown) -> gr.Column:
    """The panel, which checks whenever the form has changed while the tab is open; its details are still to render."""
    panel = drawn("preflight", js=FIX_JS, classes="oboe-stack")
    column = gr.Column(render=False, elem_classes="oboe-panel", elem_id="preflight-details")
    with column:
        more = drawn("preflight-more", classes="oboe-stack")
    budget = gr.Textbox(label=label("preflight_page.budget"), max_lines=1, elem_id="preflight-budget")
    timer = gr.Timer(SETTLED_S, active=False)
    opened, asked, watch = gr.State(False), gr.State(Asked()), gr.State(Watch())
    handlers = _Panel(studio, form, _Beside(shell.dataset, then, opened))
    everything = {shell.dataset, then, opened, *form.values()}
    tab.select(lambda: True, None, opened, **QUIET)
    moved = [opened.change, shell.changed.change, then.change, *(part.change for part in form.values())]
    gr.on(moved, handlers.on_form, everything, [panel, asked, timer], trigger_mode="always_last", **QUIET)
    looked = [asked, watch, budget]
    timer.tick(handlers.on_tick, looked, [panel, more, watch, timer], **QUIET)
    budget.change(handlers.on_budget, looked, panel, trigger_mode="always_last", **QUIET)
    panel.click(handlers.on_fix, None, list(form.values()), **QUIET)
    return column


@dataclass(frozen=True)
class _Beside:
    """What decides a check besides the form: the dataset, what is to follow, and whether the tab was ever open."""

    dataset: gr.Dropdown
    then: gr.Dropdown
    opened: gr.State


class _Panel:
    """The handlers: read the form, begin or look at a check, say what it found."""

    def __init__(self, studio: Studio, form: Form, beside: _Beside) -> None:
        self.studio = studio
        self.form = form
        self.beside = beside

    def on_form(self, values: Values, request: gr.Request) -> Sequence[Any]:
        """What can be told at once; the check begins when the form is left alone."""
        if not values[self.beside.opened]:
            return [gr.skip()] * 3
        try:
            typed = {name: values[part] for name, part in self.form.items()} | {"dataset": values[self.beside.dataset]}
            plan = plan_of(typed, values[self.beside.then])
        except StudioError:  # the form says what is wrong with it
            return "", Asked(moment()), gr.Timer(active=True)
        known = Preflight()
        with suppress(StudioError):  # the check will say what is wrong with the data
            known = self._known(plan.configs[0])
        told = checking(known, "", locale(request), Whole(plan, Outlook()))
        return told, Asked(moment(), plan, known), gr.Timer(active=True)

    def on_tick(self, asked: Asked, watch: Watch, budget: str, request: gr.Request) -> Sequence[Any]:
        """Begin the check of a form that has settled, or show what it found.

        The timer rests only when a tick finds the last form's check over, so a form edited meanwhile is always begun.
        """
        if watch.moment != asked.moment:
            return self._begin(asked, request)
        if watch.failed or watch.found is not None:
            return gr.skip(), gr.skip(), gr.skip(), gr.Timer(active=False)
        try:
            found = self.studio.preflights.result(watch.key)
        except StudioError as error:
            return self._failed(asked, error, request)
        if found is None:
            return [gr.skip()] * 4
        watch = replace(watch, found=found)
        return self._checked(asked, watch, budget, request), details(found, locale(request)), watch, gr.skip()

    def _begin(self, asked: Asked, request: gr.Request) -> Sequence[Any]:
        if asked.plan is None:
            return "", "", Watch(asked.moment, failed=True), gr.skip()
        try:
            # Of a chain or a sweep the first run is checked in full: the others are looked at without their tokens.
            key = self.studio.preflights.begin(asked.plan.configs[0], str(request.session_hash))
            whole = outlook(self.studio.runs, self.studio.preflights.source, asked.plan)
        except StudioError as error:
            return self._failed(asked, error, request)
        # Drawn once more: a late answer about the form before may have come over what the form showed.
        told = checking(asked.known, "", locale(request), Whole(asked.plan, whole))
        return told, gr.skip(), Watch(asked.moment, key, whole), gr.skip()

    def _failed(self, asked: Asked, error: StudioError, request: gr.Request) -> Sequence[Any]:
        whole = Whole(asked.plan, Outlook()) if asked.plan else None
        problem = checking(asked.known, error.text(locale(request)), locale(request), whole)
        return problem, "", Watch(asked.moment, failed=True), gr.skip()

    def on_budget(self, asked: Asked, watch: Watch, budget: str, request: gr.Request) -> Any:
        is_told = watch.moment == asked.moment and watch.found is not None
        return self._checked(asked, watch, budget, request) if is_told else gr.skip()

    def on_fix(self, event: gr.EventData) -> list[Any]:
        """Put the remedy's values into the form; what they mean is read when the form is."""
        fix = event.fix if isinstance(event.fix, dict) else {}
        return [shown_value(fix[name]) if name in fix else gr.skip() for name in self.form]

    def _known(self, config: RunConfig) -> Preflight:
        """What the dataset alone tells, with what the doctor says to it."""
        _, examples = self.studio.preflights.source.frozen_examples(config.dataset, config)
        counts = counts_of(fewer_variants(examples, config))
        steps = planned_steps(config, counts["examples"]) if config.method == "sft" and counts["examples"] else None
        known = Preflight(**counts, steps=steps)
        return known.model_copy(update={"findings": examine(config, known)})

    def _checked(self, asked: Asked, watch: Watch, budget: str, request: gr.Request) -> str:
        assert asked.plan is not None and watch.found is not None
        config, found = asked.plan.configs[0], watch.found
        speed = measured_speed(self.studio.runs, config.base_model)
        seconds = expected_seconds(config, found, speed)
        minutes = whole_number(budget)
        time = Time(seconds, speed, minutes * 60 if minutes else None)
        if seconds is not None and time.budget_s:
            time = replace(time, ways=within(config, found, seconds, time.budget_s))
        return checked(found, time, locale(request), Whole(asked.plan, watch.outlook))
