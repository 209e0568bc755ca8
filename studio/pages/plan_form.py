"""What follows a run in the form: a second run on its adapter, or the same run with other values of one field.

Knows the component and what a start would queue, not how configurations follow from it.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.i18n import text
from studio.pages.language import label
from studio.pages.markup import words
from studio.runs.plans import Plan, planned
from studio.runs.presets import presets


def build_then() -> gr.Dropdown:
    """What is trained on the adapter of the run in the form."""
    nothing = (label("runs_page.then_nothing"), "")
    return gr.Dropdown(
        [nothing, *((label(f"preset.{name}"), name) for name in presets())],
        value="",
        label=label("runs_page.then"),
        info=label("runs_page.then_help"),
        elem_id="run-then",
        interactive=True,
    )


def plan_of(typed: Mapping[str, Any], then: str) -> Plan:
    """What a start would queue. In a chain, `stack_adapter` of the form is the second run's choice."""
    if not then:
        return planned([typed], {})
    first = {**typed, "stack_adapter": bool(typed["init_run"]) and typed["stack_adapter"]}
    second = {"preset": then} | ({"stack_adapter": True} if typed["stack_adapter"] else {})
    return planned([first, second], {})


def plan_line(plan: Plan, locale: str) -> str:
    """One sentence on what a start would queue; where it is one run, how it could be more."""
    if plan.kind == "single":
        return words(text("runs_page.plan_hint", locale), "oboe-muted", "p")
    names = [config.name if plan.kind == "sweep" else _title(config.preset, locale) for config in plan.configs]
    joined = text(f"runs_page.joined_{plan.kind}", locale).join(names)
    return words(text("runs_page.plan", locale, number=len(plan.configs), names=joined), name="p")


def _title(preset: str, locale: str) -> str:
    known = presets().get(preset)
    return known.title[locale] if known else preset
