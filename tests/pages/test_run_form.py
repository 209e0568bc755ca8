"""The training form holds every choice of a run, takes full-width digits and says what differs from the preset."""

import gradio as gr
import pytest

from studio.i18n import sentences
from studio.pages.run_form import GROUPS, OUTSIDE, SHOWN, build_run_form, differences, differences_line, preset_values
from studio.runs.presets import presets, run_config
from training.contract import RunConfig


def test_the_form_and_the_configuration_have_the_same_fields() -> None:
    with gr.Blocks():
        form = build_run_form()
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


def test_digits_in_full_width_are_the_same_number() -> None:
    assert differences(preset_values("demo") | {"learning_rate": "２ｅ－３"}) == {}


def test_a_changed_field_is_marked_and_can_be_put_back() -> None:
    line = differences_line(preset_values("demo") | {"lora_r": "8"}, "en")
    assert "#run-lora-r" in line and 'data-field="lora_r"' in line and "16 → 8" in line


def test_what_a_person_typed_is_escaped_in_the_differences() -> None:
    assert "<img" not in differences_line(preset_values("demo") | {"base_model": "<img src=x>"}, "ja")
