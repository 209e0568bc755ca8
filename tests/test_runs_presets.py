import json

import pytest

from studio.i18n import sentences
from studio.runs.presets import RunConfigError, presets, run_config
from training.contract import RunConfig

GIVEN = {"dataset": "anime", "base_model": "someone/model"}


def sentence_of(values: dict, locale: str = "en") -> str:
    with pytest.raises(RunConfigError) as raised:
        run_config({**GIVEN, **values})
    return raised.value.text(locale)


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_run_configuration_and_says_what_it_departs_from(name):
    preset = presets()[name]
    config = run_config({"preset": name, "dataset": "anime"})
    assert config.preset == name
    for locale in ("ja", "en"):
        assert preset.title[locale] and "2e-5" in preset.note[locale]


def test_the_demo_and_the_three_models_of_the_report_have_presets():
    bases = {preset.config["base_model"] for preset in presets().values()}
    assert bases >= {"unsloth/gpt-oss-20b", "llm-jp/llm-jp-3.1-13b-instruct4", "llm-jp/llm-jp-3-7.2b-instruct3"}
    assert next(iter(presets())) == "demo"


@pytest.mark.parametrize(
    ("typed", "field", "meant"),
    [
        ("１e－４", "learning_rate", 1e-4),
        ("２．０", "num_train_epochs", 2.0),
        ("1e−3", "learning_rate", 1e-3),
        ("1,000", "max_steps", 1000),
        ("１，０００", "max_steps", 1000),
        (" 20 ", "lora_r", 20),
        (20.0, "lora_r", 20),
        ("－１", "max_steps", -1),
        ("false", "assistant_only_loss", False),
        ("attention、mlp", "target_modules", ("attention", "mlp")),
        (["attention"], "target_modules", ("attention",)),
        ("20", "name", "20"),
    ],
)
def test_what_a_person_types_is_understood(typed, field, meant):
    assert getattr(run_config({**GIVEN, field: typed}), field) == meant


@pytest.mark.parametrize("empty", ["", "  ", None, []])
def test_an_empty_field_takes_the_value_of_the_preset(empty):
    values = {"preset": "demo", "target_modules": empty if isinstance(empty, list) else None, "learning_rate": empty}
    config = run_config({**values, "learning_rate": None if isinstance(empty, list) else empty})
    assert config.learning_rate == presets()["demo"].config["learning_rate"]


def test_a_negative_learning_rate_is_answered_in_both_languages_with_value_and_bounds():
    assert (
        sentence_of({"learning_rate": -1}) == "Learning rate (learning_rate) is -1; it must be above 0 and at most 0.1."
    )
    assert "学習率（learning_rate）が -1" in sentence_of({"learning_rate": "-1"}, "ja")
    assert "0.1 以下" in sentence_of({"learning_rate": -1}, "ja")


def test_all_wrong_fields_are_told_at_once():
    told = sentence_of({"learning_rate": "fast", "lora_r": 0, "learning_rte": 1, "optim": "sgd", "dataset": ""})
    assert len(told.splitlines()) == 5
    for part in ('"fast"', "LoRA rank r (lora_r) is 0", "Did you mean learning_rate?", "adamw_8bit", "Dataset"):
        assert part in told


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lora_r": "16.5"}, "whole number"),
        ({"lora_r": 16.5}, "whole number"),
        ({"max_steps": 0}, "nothing would be trained"),
        ({"max_grad_norm": "inf"}, "not a number"),
        ({"learning_rate": "nan"}, "Learning rate"),
        ({"preset": "nonesuch"}, "demo"),
        ({"name": "長" * 200}, "Name"),
        ({"zzz": 1}, "no setting zzz"),
        ({"learning_rate": [1]}, "Learning rate"),
        ({"packing": "perhaps"}, "Packing"),
    ],
)
def test_every_wrong_value_gets_a_sentence_that_names_it(values, said):
    for locale in ("en", "ja"):
        told = sentence_of(values, locale)
        assert "{" not in told and "runs." not in told
    assert said in sentence_of(values)


def test_every_setting_has_a_label_in_both_languages():
    for locale in ("ja", "en"):
        assert {f"runs.field_{name}" for name in RunConfig.model_fields} <= set(sentences(locale))


def test_preset_files_hold_nothing_that_the_form_does_not_know():
    for preset in presets().values():
        assert set(preset.config) <= set(RunConfig.model_fields)
        json.dumps(preset.config)
