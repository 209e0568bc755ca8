"""The form of an augmentation: what shall be made, by whom, for how much; it must not know how examples are made."""

import unicodedata
from dataclasses import dataclass
from typing import Any

import gradio as gr
from pydantic import JsonValue, ValidationError

from studio.augmentation.plan import Plan
from studio.augmentation.presets import PRESETS
from studio.augmentation.status import JobPlan, Seeds
from studio.errors import AugmentError
from studio.i18n import text
from studio.pages.language import label
from studio.pages.markup import whole_number
from studio.pages.parts import drawn

Values = dict[Any, Any]
PRESET = {preset.name: preset for preset in PRESETS}


@dataclass(frozen=True)
class PlanForm:
    """What is asked for, and of whom. The numbers are typed: in half or full width."""

    source: gr.Radio
    forward: gr.Textbox
    reverse: gr.Textbox
    answers: gr.Radio
    shared_reverse: gr.Radio
    pairs: gr.Textbox
    documents: gr.Textbox
    titles: gr.Textbox
    aspects: gr.Textbox
    generator: gr.Radio
    preset: gr.Dropdown
    base_url: gr.Textbox
    model: gr.Textbox
    prompt_price: gr.Textbox
    completion_price: gr.Textbox
    budget: gr.Textbox
    concurrency: gr.Textbox
    timeout_s: gr.Textbox

    def numbers(self) -> list[Any]:
        """The three numbers of a Plan, whose product is shown while they are typed."""
        return [self.forward, self.reverse, self.answers]

    def parts(self) -> set[Any]:
        """Everything, for a handler that takes its inputs as a dictionary."""
        return set(vars(self).values())

    def preset_fields(self) -> list[Any]:
        """What a preset fills."""
        return [self.base_url, self.model, self.prompt_price, self.completion_price, self.concurrency]

    def settled(self) -> list[Any]:
        """The events after which a person has finished with a field that changes what a job costs."""
        typed = [self.forward, self.reverse, self.pairs, self.documents, self.titles, self.aspects, self.budget]
        choices = [self.answers, self.shared_reverse, self.generator]
        events = [field.blur for field in (*typed, *self.preset_fields())] + [choice.input for choice in choices]
        return [*events, self.source.change]  # another section may choose it, too

    def plan(self, values: Values) -> Plan:
        """The plan that was typed."""
        plan = read_plan(*(values[number] for number in self.numbers()))
        return plan.model_copy(update={"shared_reverse": values[self.shared_reverse]})

    def options(self, values: Values) -> dict[str, JsonValue] | None:
        """Where to ask, if it is an endpoint."""
        if self.by_rules(values):
            return None
        return {
            "base_url": values[self.base_url].strip(),
            "model": values[self.model].strip(),
            "prompt_price": _money(values[self.prompt_price], "prompt_price") or 0.0,
            "completion_price": _money(values[self.completion_price], "completion_price") or 0.0,
            "budget": self.money(values),
            "concurrency": _whole(values[self.concurrency], "concurrency", 64),
            "timeout_s": _whole(values[self.timeout_s], "timeout_s", 3600),
        }

    def by_rules(self, values: Values) -> bool:
        """Whether the built-in rules make the examples; for all else there is only a model."""
        return bool(values[self.generator] == "rules" and values[self.source] == "facts")

    def money(self, values: Values) -> float | None:
        """The budget in dollars; None is none."""
        return _money(values[self.budget], "budget")

    def job(self, values: Values, planned: JobPlan, author: str) -> JobPlan:
        """A planned job with what the form says beside plan and options."""
        seeds = Seeds(
            titles=_lines(values[self.titles]),
            aspects=_lines(values[self.aspects]),
            pairs=_whole(values[self.pairs], "pairs", 30),
            documents=_whole(values[self.documents], "documents", 100_000),
        )
        return planned.model_copy(update={"source": values[self.source], "seeds": seeds, "author": author})


@dataclass(frozen=True)
class FormParts:
    """The form with the parts of it that come and go."""

    form: PlanForm
    of_facts: gr.Column
    of_documents: gr.Column
    of_titles: gr.Column
    endpoint: gr.Column
    key_state: gr.HTML


def build_form() -> FormParts:
    """Five fields; the endpoint's and those of new facts appear with the choice that needs them."""
    source = _radio("source", ("facts", "fields", "documents", "titles"), "facts")
    with gr.Column(elem_id="plan-of-facts") as of_facts:
        with gr.Row():
            forward, reverse = _typed("forward", "8"), _typed("reverse", "8")
        answers = gr.Radio(
            [(label("augment_page.answers_short"), 1), (label("augment_page.answers_both"), 2)],
            value=2,
            label=label("augment_page.answers"),
            elem_id="plan-answers",
        )
        shared = _radio("shared_reverse", ("leave_out", "ask_for_one"), "leave_out", help_line=True)
    with gr.Column(visible=False) as of_documents, gr.Row():
        pairs, documents = _typed("pairs", "5"), _typed("documents", "100")
    with gr.Column(visible=False) as of_titles:
        titles = gr.Textbox(label=label("augment_page.titles"), lines=4, max_lines=12, elem_id="plan-titles")
        aspects = gr.Textbox(label=label("augment_page.aspects"), lines=4, max_lines=12, elem_id="plan-aspects")
    generator = _radio("generator", ("rules", "endpoint"), "rules")
    with gr.Column(visible=False, elem_id="endpoint-fields") as endpoint:
        fields = _endpoint_fields()
    form = PlanForm(source, forward, reverse, answers, shared, pairs, documents, titles, aspects, generator, *fields)
    return FormParts(form, of_facts, of_documents, of_titles, endpoint, drawn("endpoint-key"))


def preset_values(name: str) -> list[Any]:
    """What a preset puts into the form, in the order of `preset_fields`."""
    preset = PRESET[name]
    prices = [f"{price:g}" if price else "" for price in (preset.prompt_price, preset.completion_price)]
    return [preset.base_url, preset.model, *prices, str(preset.concurrency)]


def default_aspects(locale: str) -> str:
    """Aspects that most works have, one a line."""
    return text("augment_page.default_aspects", locale)


def read_plan(forward: object, reverse: object, answers: object) -> Plan:
    """The plan that was typed, in half or full width. Raises AugmentError naming the field and its bounds."""
    typed = {"forward": whole_number(forward), "reverse": whole_number(reverse), "answers": whole_number(answers)}
    try:
        return Plan.model_validate(typed)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        value = {"forward": forward, "reverse": reverse, "answers": answers}[field]
        raise AugmentError(f"augment_page.error_{field}", value=value) from None


def _endpoint_fields() -> tuple[Any, ...]:
    preset = gr.Dropdown(
        [(label(f"augment_page.preset_{preset.name}"), preset.name) for preset in PRESETS],
        value=None,
        label=label("augment_page.preset"),
        elem_id="endpoint-preset",
    )
    base_url = gr.Textbox(
        label=label("augment_page.base_url"), placeholder="http://127.0.0.1:8000/v1", elem_id="endpoint-address"
    )
    model = gr.Textbox(label=label("augment_page.model"), placeholder="gpt-oss-20b", elem_id="endpoint-model")
    with gr.Row():
        prompt_price, completion_price = _typed("prompt_price", ""), _typed("completion_price", "")
    with gr.Row():
        budget, concurrency, timeout_s = _typed("budget", ""), _typed("concurrency", "8"), _typed("timeout_s", "300")
    return preset, base_url, model, prompt_price, completion_price, budget, concurrency, timeout_s


def _typed(name: str, value: str) -> gr.Textbox:
    return gr.Textbox(value, label=label(f"augment_page.{name}"), elem_id=f"plan-{name}", min_width=80)


def _radio(name: str, choices: tuple[str, ...], value: str, *, help_line: bool = False) -> gr.Radio:
    return gr.Radio(
        [(label(f"augment_page.{name}_{choice}"), choice) for choice in choices],
        value=value,
        label=label(f"augment_page.{name}"),
        info=label(f"augment_page.{name}_help") if help_line else None,
        elem_id=f"augment-{name}",
    )


def _lines(typed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.strip() for line in (typed or "").splitlines() if line.strip()))


def _whole(typed: object, name: str, most: int) -> int:
    number = whole_number(typed)
    if number is None or not 1 <= number <= most:
        raise AugmentError("augment_page.error_whole", name=_called(name), value=typed, most=f"{most:,}")
    return number


def _called(name: str) -> AugmentError:
    """A field's label, which an error's sentence says in the reader's language."""
    return AugmentError(f"augment_page.{name}")


def _money(typed: object, name: str) -> float | None:
    """Dollars that were typed; None where nothing was."""
    plain = unicodedata.normalize("NFKC", str(typed or "")).strip().lstrip("$").replace(",", "")
    if not plain:
        return None
    try:
        dollars = float(plain)
    except ValueError:
        dollars = -1.0
    if not 0 <= dollars <= 1e6:
        raise AugmentError("augment_page.error_money", name=_called(name), value=typed)
    return dollars
