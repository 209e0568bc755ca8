"""The training form holds every choice of a run, takes full-width digits and says what differs from the preset."""

import gradio as gr
import pytest

from studio.i18n import sentences
from studio.pages.preset_view import preset_note
from studio.pages.run_form import (
    AS_IT_IS,
    GROUPS,
    NOTHING,
    OUTSIDE,
    SHIPPED_REPLAY,
    SHOWN,
    build_run_form,
    differences,
    differences_line,
    open_choices,
    preset_values,
)
from studio.runs.presets import presets, run_config
from training.contract import PROJECT_ROOT, RunConfig


def test_the_form_and_the_configuration_have_the_same_fields() -> None:
    with gr.Blocks():
        form, _ = build_run_form()
    assert set(form) | OUTSIDE == set(RunConfig.model_fields)
    assert len(form) == len(SHOWN) + sum(len(names) for names in GROUPS.values())


@pytest.mark.parametrize("locale", ["ja", "en"])
def test_every_field_has_a_name_and_all_but_the_preset_a_line_of_help(locale: str) -> None:
    known = sentences(locale)
    fields = set(RunConfig.model_fields) - OUTSIDE
    assert {f"runs.field_{name}" for name in fields} <= set(known)
    assert {f"training_page.help_{name}" for name in fields - {"preset"}} <= set(known)


@pytest.mark.parametrize("preset", sorted(presets()))
def test_what_the_form_shows_for_a_preset_is_that_preset(preset: str) -> None:
    shown = preset_values(preset) | {"dataset": "demo"}
    assert run_config(shown) == run_config({"preset": preset, "dataset": "demo"})
    assert differences(preset_values(preset)) == {}


def test_what_a_report_does_not_state_is_marked_at_its_field_and_named() -> None:
    note = preset_note(presets()["llm-jp-3.1-13b-instruct4-sft-report"], "ja")
    assert "#run-max-length [data-testid=block-info]::after" in note and "報告書に記載なし" in note
    assert "最大トークン数" in note and "#run-learning-rate" not in note


def test_a_recommended_preset_tells_each_departure_with_its_reason() -> None:
    note = preset_note(presets()["llm-jp-3.1-13b-instruct4-sft"], "en")
    assert "Learning rate: 2e-5 → 2e-4" in note and "suits full fine-tuning" in note
    assert "<style" not in note


def test_the_choices_that_are_open_hold_what_there_is() -> None:
    versions = [AS_IT_IS, ("v1", "v1@5f8a")]
    parts = open_choices(["someone/model"], ["anime"], ["sft-1"], versions)
    models, replayed, started, frozen = (part.choices for part in parts)
    assert ("someone/model", "someone/model") in models and ("anime", "anime") in replayed
    assert started == [NOTHING, ("sft-1", "sft-1")] and frozen == versions
    assert all((PROJECT_ROOT / path).is_file() for path in SHIPPED_REPLAY)


def test_digits_in_full_width_are_the_same_number() -> None:
    assert differences(preset_values("demo") | {"learning_rate": "１．５ｅ－３"}) == {}


def test_a_changed_field_is_marked_and_can_be_put_back() -> None:
    line = differences_line(preset_values("demo") | {"lora_r": "8"}, "en")
    assert "#run-lora-r" in line and 'data-field="lora_r"' in line and "16 → 8" in line


def test_a_switch_is_told_as_on_or_off_and_nothing_as_none() -> None:
    line = differences_line(preset_values("demo") | {"packing": True, "assistant_only_loss": False}, "ja")
    assert "オフ → オン" in line and "オン → オフ" in line
    assert "なし" in differences_line(preset_values("demo-cpt-sft") | {"replay_dataset": ""}, "ja")


def test_what_a_person_typed_is_escaped_in_the_differences() -> None:
    assert "<img" not in differences_line(preset_values("demo") | {"base_model": "<img src=x>"}, "ja")
