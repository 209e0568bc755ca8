"""The check before training: follows the form, and offers what remedies a finding; it must not know what it checks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.house import Studio
from studio.pages.language import label, locale
from studio.pages.markup import whole_number
from studio.pages.parts import QUIET, drawn
from studio.pages.plan_form import plan_of
from studio.pages.preflight_view import FIX_JS, Time, checked, checking, details
from studio.pages.run_form import Form, shown_value
from studio.pages.shell import Shell
from studio.runs.materials import fewer_variants
from studio.runs.speed import expected_seconds, measured_speed, within
from training.contract import RunConfig
from training.doctor import examine
from training.preflight_report import Preflight, counts_of, planned_steps

# A form that is being typed in is not checked: only one that has been left alone so long.
SETTLED_S = 1.0

Values = dict[Any, Any]


@dataclass(frozen=True)
class Watch:
    """What this browser's panel shows: the form's configuration, and the check of it by its key."""

    config: RunConfig | None = None
    key: str = ""
    found: Preflight | None = None


def build_preflight_panel(studio: Studio, shell: Shell, tab: gr.Tab, form: Form, then: gr.Dropdown) -> gr.Column:
    """The panel, which checks whenever the form has changed while the tab is open; its details are still to render."""
    panel = drawn("preflight", js=FIX_JS, classes="oboe-stack")
    column = gr.Column(render=False, elem_classes="oboe-panel", elem_id="preflight-details")
    with column:
        more = drawn("preflight-more", classes="oboe-stack")
    budget = gr.Textbox(label=label("preflight_page.budget"), max_lines=1, elem_id="preflight-budget")
    timer = gr.Timer(SETTLED_S, active=False)
    opened, watch = gr.State(False), gr.State(Watch())
    handlers = _Panel(studio, form, _Beside(shell.dataset, then, opened))
    shown, everything = [panel, more, watch, timer], {shell.dataset, then, opened, *form.values()}
    tab.select(lambda: True, None, opened, **QUIET)
    moved = [opened.change, shell.changed.change, then.change, *(part.change for part in form.values())]
    gr.on(moved, handlers.on_form, everything, shown, trigger_mode="always_last", **QUIET)
    timer.tick(handlers.on_tick, [watch, budget], shown, **QUIET)
    budget.change(handlers.on_budget, [watch, budget], panel, trigger_mode="always_last", **QUIET)
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
            return [gr.skip()] * 4
        language = locale(request)
        try:
            typed = {name: values[part] for name, part in self.form.items()} | {"dataset": values[self.beside.dataset]}
            # Of a chain or a sweep the first run is checked: the others differ in what a person chose.
            config = plan_of(typed, values[self.beside.then]).configs[0]
            known = self._known(config)
        except StudioError:
            return "", "", Watch(), gr.Timer(active=False)  # the form says what is wrong with it
        return checking(known, "", language), gr.skip(), Watch(config), gr.Timer(active=True)

    def on_tick(self, watch: Watch, budget: str, request: gr.Request) -> Sequence[Any]:
        """Begin the check of a form that has settled, or show what it found."""
        if watch.config is None or watch.found is not None:
            return gr.skip(), gr.skip(), gr.skip(), gr.Timer(active=False)
        try:
            if not watch.key:
                key = self.studio.preflights.begin(watch.config, str(request.session_hash))
                return gr.skip(), gr.skip(), replace(watch, key=key), gr.skip()
            found = self.studio.preflights.result(watch.key)
        except StudioError as error:
            problem = checking(self._known(watch.config), error.text(locale(request)), locale(request))
            return problem, "", Watch(), gr.Timer(active=False)
        if found is None:
            return [gr.skip()] * 4
        watch = replace(watch, found=found)
        told = self._checked(watch, budget, request)
        return told, details(found, locale(request)), watch, gr.Timer(active=False)

    def on_budget(self, watch: Watch, budget: str, request: gr.Request) -> Any:
        return self._checked(watch, budget, request) if watch.found is not None else gr.skip()

    def on_fix(self, event: gr.EventData) -> list[Any]:
        """Put the remedy's values into the form; what they mean is read when the form is."""
        fix = event.fix if isinstance(event.fix, dict) else {}
        return [shown_value(fix[name]) if name in fix else gr.skip() for name in self.form]

    def _known(self, config: RunConfig) -> Preflight:
        """What the dataset alone tells, with what the doctor says to it."""
        examples = fewer_variants(self.studio.datasets.frozen_examples(config.dataset, config), config)
        counts = counts_of(examples)
        steps = planned_steps(config, counts["examples"]) if config.method == "sft" and counts["examples"] else None
        known = Preflight(**counts, steps=steps)
        return known.model_copy(update={"findings": examine(config, known)})

    def _checked(self, watch: Watch, budget: str, request: gr.Request) -> str:
        assert watch.config is not None and watch.found is not None
        speed = measured_speed(self.studio.runs, watch.config.base_model)
        seconds = expected_seconds(watch.config, watch.found, speed)
        minutes = whole_number(budget)
        time = Time(seconds, speed, minutes * 60 if minutes else None)
        if seconds is not None and time.budget_s:
            time = replace(time, ways=within(watch.config, watch.found, seconds, time.budget_s))
        return checked(watch.found, time, locale(request))
