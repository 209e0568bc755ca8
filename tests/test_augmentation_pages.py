"""The augmentation's form reads what people type; its views say what it costs, what failed and what is held back."""

import gradio as gr
import pytest

from studio.augmentation.estimate import Estimate
from studio.augmentation.presets import PRESETS
from studio.augmentation.reversal import SharedAnswer
from studio.augmentation.status import AugmentStatus, FailedFact, Reason
from studio.errors import AugmentError
from studio.i18n import LOCALES, sentences
from studio.pages.augment_form import PlanForm, build_form, preset_values
from studio.pages.augment_view import estimate, progress


@pytest.fixture(scope="module")
def form() -> PlanForm:
    with gr.Blocks():
        return build_form().form


def typed(form: PlanForm, **changed: object) -> dict:
    values = {part: part.value for part in form.parts()}
    return values | {getattr(form, name): value for name, value in changed.items()}


ENDPOINT = {"generator": "endpoint", "base_url": " http://127.0.0.1:8000/v1 ", "model": "tiny"}


def test_prices_and_numbers_may_be_typed_in_full_width(form):
    values = typed(
        form, **ENDPOINT, prompt_price="１．２５", completion_price="＄10", budget="1,000", concurrency="１６"
    )
    assert form.options(values) == {
        "base_url": "http://127.0.0.1:8000/v1",
        "model": "tiny",
        "prompt_price": 1.25,
        "completion_price": 10.0,
        "budget": 1000.0,
        "concurrency": 16,
        "timeout_s": 300,
    }


@pytest.mark.parametrize(
    "wrong", [{"budget": "安く"}, {"prompt_price": "-1"}, {"concurrency": "65"}, {"concurrency": ""}]
)
def test_what_cannot_be_used_is_named_by_its_label(form, wrong):
    with pytest.raises(AugmentError) as refused:
        form.options(typed(form, **ENDPOINT, **wrong))
    (name,) = wrong
    assert sentences("ja")[f"augment_page.{name}"] in refused.value.text("ja")


def test_only_a_model_makes_new_facts(form):
    assert form.by_rules(typed(form)) and not form.by_rules(typed(form, source="titles"))


def test_every_preset_fills_the_form_and_has_a_name(form):
    assert {preset.name for preset in PRESETS} >= {"openai", "gemini", "vllm", "ollama", "llama_cpp", "studio"}
    for preset in PRESETS:
        assert len(preset_values(preset.name)) == len(form.preset_fields())
        assert all(f"augment_page.preset_{preset.name}" in sentences(locale) for locale in LOCALES)


def test_the_estimate_says_requests_tokens_and_cost():
    told = Estimate(
        requests=2000, reused=3, prompt_tokens=1_200_000, completion_tokens=900_000, cost=10.5, dearest=None
    )
    shown = estimate(told, "ja")
    assert all(figure in shown for figure in ("2,000", "1,200,000", "900,000", "$10.50", "思考"))


def test_progress_lists_reasons_and_escapes_what_others_wrote():
    status = AugmentStatus(
        state="finished",
        dataset="<b>",
        generator="endpoint",
        done=5,
        total=5,
        made=20,
        flagged=2,
        flags={"no_subject": 2},
        failures={"augment.error_rate": 7, "augment.error_malformed": 1},
        shared=(SharedAnswer(fact_id=1, question="甲", other_question="乙", others=1),),
        reverse_left_out=1,
        failed_facts=1,
        failed=[FailedFact(fact_id=2, question="<script>", reason=Reason(key="augment.error_malformed"))],
    )
    for locale in LOCALES:
        shown = progress(status, locale)
        assert "<script>" not in shown and "<b>" not in shown and "augment" not in shown and "乙" in shown
        assert sentences(locale)["augment.gate_no_subject"] in shown


def test_every_kind_of_failed_attempt_has_a_short_name():
    kinds = ("rate", "busy", "timeout", "dropped", "malformed", "cut_off", "blocked", "status")
    for locale in LOCALES:
        assert {f"augment_page.attempt_{kind}" for kind in kinds} <= set(sentences(locale))
