import json

import pytest

from studio.i18n import sentences
from studio.runs.plans import planned
from studio.runs.presets import RunConfigError, presets, run_config
from training.contract import RunConfig

GIVEN = {"dataset": "anime", "base_model": "someone/model"}


def sentence_of(values: dict, locale: str = "en") -> str:
    with pytest.raises(RunConfigError) as raised:
        run_config({**GIVEN, **values})
    return raised.value.text(locale)


REPORT_WORDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SFT_TABLE = {
    "lora_r": 8,
    "lora_alpha": 16,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 3,
    "learning_rate": 2e-5,
    "optim": "adamw_8bit",
    "target_modules": REPORT_WORDS,
}
CPT_TABLE = {
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 3,
    "learning_rate": 2e-4,
    "optim": "adamw_8bit",
    "target_modules": REPORT_WORDS,
}
GPT_OSS, LLM_JP_13B, LLM_JP_7B = (
    "unsloth/gpt-oss-20b",
    "llm-jp/llm-jp-3.1-13b-instruct4",
    "llm-jp/llm-jp-3-7.2b-instruct3",
)
# The five trainings of the reports: base model, what is trained first and then, and what the report's table says.
TRAININGS = {
    "gpt-oss-20b-sft": (GPT_OSS, ["sft"], SFT_TABLE),
    "gpt-oss-20b-cpt": (GPT_OSS, ["cpt"], CPT_TABLE),
    "gpt-oss-20b-cpt-sft": (GPT_OSS, ["cpt", "sft"], CPT_TABLE),
    "llm-jp-3.1-13b-instruct4-sft": (LLM_JP_13B, ["sft"], SFT_TABLE),
    "llm-jp-3-7.2b-instruct3-cpt-sft": (LLM_JP_7B, ["cpt", "sft"], {}),
}
# Settings that change an adapter; a report that says nothing of one gets a mark there.
OF_THE_TRAINING = {
    *CPT_TABLE,
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "max_length", "seed"),
}


def stages(name: str) -> list[RunConfig]:
    """The runs of a preset, one after the other."""
    found = []
    while name:
        found.append(run_config({"preset": name, "dataset": "anime"}))
        name = presets()[name].then
    return found


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_run_configuration_with_a_title_and_a_note(name):
    preset = presets()[name]
    config = run_config({"preset": name, "dataset": "anime"})
    assert config.preset == name
    for locale in ("ja", "en"):
        assert preset.title[locale] and preset.note[locale]
    assert set(preset.unstated) <= set(RunConfig.model_fields)


@pytest.mark.parametrize(("name", "training"), TRAININGS.items())
def test_each_training_of_the_reports_is_there_as_it_was_to_the_letter(name, training):
    base_model, methods, table = training
    configs = stages(f"{name}-report")
    assert [config.method for config in configs] == methods
    assert {config.base_model for config in configs} == {base_model}
    assert {field: getattr(configs[0], field) for field in table} == table


@pytest.mark.parametrize(("name", "training"), TRAININGS.items())
def test_what_a_report_does_not_state_is_marked_and_nothing_else(name, training):
    stated = set(training[2])
    preset = presets()[f"{name}-report"]
    unstated = set(preset.unstated) - {"packing", "assistant_only_loss", "stack_adapter"}
    assert unstated == OF_THE_TRAINING - stated


@pytest.mark.parametrize("name", TRAININGS)
def test_the_recommended_training_says_how_it_departs_from_the_report_and_why(name):
    preset = presets()[name]
    assert preset.departs_from == f"{name}-report"
    assert len(stages(name)) == len(stages(f"{name}-report"))
    departures = preset.departures()
    assert "replay_share" in departures and "target_modules" in departures
    assert all(5e-5 <= config.learning_rate <= 2e-3 for config in stages(name))


@pytest.mark.parametrize("name", [name for name, preset in presets().items() if preset.departs_from])
def test_each_departure_has_a_reason_in_both_languages(name):
    departures = presets()[name].departures()
    for locale in ("ja", "en"):
        assert {f"presets.why_{field}" for field in departures} <= set(sentences(locale))


def test_no_reason_is_left_over():
    given = {f"presets.why_{field}" for preset in presets().values() for field in preset.departures()}
    assert {key for key in sentences("en") if key.startswith("presets.why_")} <= given


def test_both_stages_of_a_chain_are_the_trainings_that_there_are_alone():
    alone, chain = presets()["gpt-oss-20b-cpt"], presets()["gpt-oss-20b-cpt-sft"]
    assert alone.config == chain.config
    cpt = presets()["gpt-oss-20b-cpt-report"].config
    assert cpt | {"stack_adapter": True} == presets()["gpt-oss-20b-cpt-sft-report"].config
    for preset in presets().values():
        assert not preset.then or preset.then in presets()


@pytest.mark.parametrize("name", [name for name, training in TRAININGS.items() if len(training[1]) > 1])
def test_each_stage_of_a_reported_chain_keeps_the_r_and_alpha_of_its_table(name):
    cpt, sft = planned({"preset": f"{name}-report"}, {"dataset": "anime"}).configs
    assert (cpt.lora_r, cpt.lora_alpha, cpt.stack_adapter) == (16, 32, False)
    assert (sft.lora_r, sft.lora_alpha, sft.stack_adapter) == (8, 16, True)
    assert {field: getattr(sft, field) for field in SFT_TABLE} == SFT_TABLE
    ours = planned({"preset": name}, {"dataset": "anime"}).configs
    assert not any(config.stack_adapter for config in ours) and len({config.lora_r for config in ours}) == 1


def test_the_demo_comes_first_and_a_trial_is_of_the_13b_s_family():
    assert next(iter(presets())) == "demo"
    assert presets()["llm-jp-3.1-1.8b-instruct4-sft"].config["base_model"] == "llm-jp/llm-jp-3.1-1.8b-instruct4"
    assert "2e-5" in presets()["demo"].note["ja"] and "2e-5" in presets()["demo"].note["en"]


def asked_targets():
    """Every base and its target modules that a preset names, the demo's apart."""
    presets_of = {name: preset for name, preset in presets().items() if not name.startswith("demo")}
    return sorted({(preset.config["base_model"], preset.config["target_modules"]) for preset in presets_of.values()})


@pytest.mark.parametrize(("base_model", "words"), asked_targets())
def test_the_targets_of_a_preset_are_what_the_full_size_model_has(base_model, words, tmp_path):
    from tests.worker.layouts import FULL_SIZE, write_configuration
    from training.lora import plan

    folder = write_configuration(tmp_path, FULL_SIZE[base_model.split("/")[1]])
    planned = plan(folder, words, 8)
    if base_model == GPT_OSS and words == REPORT_WORDS:
        assert planned.targets.unmatched == ("gate_proj", "up_proj", "down_proj")
        assert planned.modules == {"attention": 96}
    else:
        assert not planned.targets.unmatched
        assert set(planned.modules) == {"attention", "experts" if base_model == GPT_OSS else "mlp"}


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
        ("tensorboard、wandb", "report_to", ("tensorboard", "wandb")),
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
        ({"report_to": "excel"}, "tensorboard, trackio, wandb"),
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
