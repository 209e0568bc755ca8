"""The check before training: follows the form, and offers what remedies a finding; it must not know what it checks."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio.errors import DatasetError, StudioError
from studio.house import Studio
from studio.pages.language import label, locale
from studio.pages.markup import notice, whole_number
from studio.pages.parts import QUIET, drawn
from studio.pages.preflight_view import FIX_JS, Time, checked, checking
from studio.pages.run_form import Form, shown_value
from studio.pages.shell import Shell
from studio.runs.materials import fewer_variants
from studio.runs.presets import run_config
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


def build_preflight_panel(studio: Studio, shell: Shell, tab: gr.Tab, form: Form) -> None:
    """The panel; it checks whenever the form has changed while the tab is open."""
    panel = drawn("preflight", js=FIX_JS, classes="oboe-stack")
    budget = gr.Textbox(label=label("preflight_page.budget"), max_lines=1, elem_id="preflight-budget")
    timer = gr.Timer(SETTLED_S, active=False)
    opened, watch = gr.State(False), gr.State(Watch())
    handlers = _Panel(studio, shell, form)
    shown, everything = [panel, watch, timer], {shell.dataset, opened, *form.values()}
    tab.select(lambda: True, None, opened, **QUIET)
    moved = [opened.change, shell.changed.change, *(part.change for part in form.values())]
    handlers.opened = opened
    gr.on(moved, handlers.on_form, everything, shown, trigger_mode="always_last", **QUIET)
    timer.tick(handlers.on_tick, [watch, budget], shown, **QUIET)
    budget.change(handlers.on_budget, [watch, budget], panel, trigger_mode="always_last", **QUIET)
    panel.click(handlers.on_fix, None, list(form.values()), **QUIET)


class _Panel:
    """The handlers: read the form, begin or look at a check, say what it found."""

    opened: gr.State

    def __init__(self, studio: Studio, shell: Shell, form: Form) -> None:
        self.studio = studio
        self.dataset = shell.dataset
        self.form = form

    def on_form(self, values: Values, request: gr.Request) -> tuple[Any, ...]:
        """What can be told at once; the check begins when the form is left alone."""
        if not values[self.opened]:
            return gr.skip(), gr.skip(), gr.skip()
        language = locale(request)
        try:
            if values[self.dataset] is None:
                raise DatasetError("dataset_page.no_dataset")
            typed = {name: values[part] for name, part in self.form.items()}
            config = run_config(typed | {"dataset": values[self.dataset]})
            known = self._known(config)
        except StudioError as error:
            return notice(error.text(language), "warning"), Watch(), gr.Timer(active=False)
        return checking(known, "", language), Watch(config), gr.Timer(active=True)

    def on_tick(self, watch: Watch, budget: str, request: gr.Request) -> tuple[Any, ...]:
        """Begin the check of a form that has settled, or show what it found."""
        if watch.config is None or watch.found is not None:
            return gr.skip(), gr.skip(), gr.Timer(active=False)
        try:
            if not watch.key:
                key = self.studio.preflights.begin(watch.config, str(request.session_hash))
                return gr.skip(), replace(watch, key=key), gr.skip()
            found = self.studio.preflights.result(watch.key)
        except StudioError as error:
            problem = checking(self._known(watch.config), error.text(locale(request)), locale(request))
            return problem, Watch(), gr.Timer(active=False)
        if found is None:
            return gr.skip(), gr.skip(), gr.skip()
        watch = replace(watch, found=found)
        return self._checked(watch, budget, request), watch, gr.Timer(active=False)

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
