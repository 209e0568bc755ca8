"""One press of Start is one run, a chain or a sweep, and each later run says only what is its own."""

from typing import Any

import pytest

from studio.errors import RunFailed
from studio.runs import plans
from studio.runs.plans import MOST_RUNS, Plan, planned, several, swept_fields
from studio.runs.presets import Preset, RunConfigError

COMMON = {"dataset": "anime", "heldout_phrasings": 2}
BASE = {"base_model": "someone/model"}


def plan(given: Any) -> Plan:
    return planned(given, COMMON)


def test_an_object_is_one_run() -> None:
    found = plan({**BASE, "learning_rate": "２ｅ－４"})
    assert (found.kind, len(found.configs)) == ("single", 1)
    assert (found.configs[0].learning_rate, found.configs[0].heldout_phrasings) == (2e-4, 2)


def test_a_list_of_objects_is_a_chain_of_one_base_and_one_adapter() -> None:
    found = plan([{**BASE, "method": "cpt", "lora_r": 4, "seed": 7}, {"learning_rate": 1e-3, "lora_r": 64}])
    cpt, sft = found.configs
    assert found.kind == "chain" and (cpt.method, sft.method) == ("cpt", "sft")
    assert (sft.base_model, sft.lora_r, sft.seed, sft.learning_rate) == ("someone/model", 4, 7, 1e-3)


def test_a_stage_that_is_stacked_has_an_adapter_of_its_own_shape() -> None:
    found = plan([{**BASE, "lora_r": 4}, {"stack_adapter": True, "lora_r": 64}])
    assert [config.lora_r for config in found.configs] == [4, 64]


def test_a_stage_of_another_base_is_refused() -> None:
    with pytest.raises(RunFailed, match="other/model"):
        plan([BASE, {"base_model": "other/model"}])


def test_a_list_of_values_is_one_run_each_named_after_its_value() -> None:
    found = plan({**BASE, "name": "anime", "learning_rate": [1e-4, "5e-4", 1e-4]})
    assert found.kind == "sweep"
    assert [(config.name, config.learning_rate) for config in found.configs] == [
        ("anime learning_rate=0.0001", 1e-4),
        ("anime learning_rate=0.0005", 5e-4),
    ]
    assert {"learning_rate", "lora_r", "variants_per_fact"} <= set(swept_fields())
    assert not {"base_model", "packing", "target_modules"} & set(swept_fields())


def test_large_numbers_that_differ_little_are_runs_of_their_own() -> None:
    found = plan({**BASE, "name": "s", "seed": [1_000_001, 1_000_002, 2_147_483_647]})
    assert [config.name for config in found.configs] == ["s seed=1000001", "s seed=1000002", "s seed=2147483647"]


def test_the_name_of_a_swept_run_stays_within_its_bound() -> None:
    found = plan({**BASE, "name": "長" * 80, "lora_r": [4, 8]})
    for config in found.configs:
        assert len(config.name) <= 80 and config.name.endswith(f"lora_r={config.lora_r}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "one object for each run"),
        (["demo"], "one object for each run"),
        ({**BASE, "lora_r": [8, 8]}, "2 values"),
        ({**BASE, "lora_r": list(range(1, MOST_RUNS + 2))}, str(MOST_RUNS)),
        ({**BASE, "lora_r": [4, 8], "seed": [1, 2]}, "lora_r, seed"),
        ([{**BASE, "lora_r": [4, 8]}, {}], "one run only"),
    ],
)
def test_what_is_no_plan_gets_a_sentence(given: Any, said: str) -> None:
    with pytest.raises(RunFailed, match=said):
        plan(given)


def test_a_wrong_value_among_many_is_told_as_a_wrong_value() -> None:
    with pytest.raises(RunConfigError, match="-1"):
        plan({**BASE, "learning_rate": [1e-4, -1]})
    with pytest.raises(RunConfigError):
        plan({**BASE, "target_modules": 3, "optim": ["adamw_8bit"]})


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("1e-4,5e-4,1e-3", ["1e-4", "5e-4", "1e-3"]),
        ("１ｅ－４、５ｅ－４", ["1e-4", "5e-4"]),
        ("8 16  32", ["8", "16", "32"]),
        ("1,000", ["1,000"]),
        ("1,000, 2,000", ["1,000", "2,000"]),
        ("500,1000", ["500", "1000"]),
        ("", []),
        (0.5, [0.5]),
        (None, [None]),
    ],
)
def test_numbers_typed_one_after_another_are_several_values(typed: Any, values: list[Any]) -> None:
    assert [str(value).replace("－", "-") for value in several(typed)] == [str(value) for value in values]


def test_a_preset_that_names_what_comes_after_it_is_a_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"ja": "", "en": ""}
    known = {
        "first": Preset(name="first", title=named, note=named, config={**BASE, "method": "cpt"}, then="second"),
        "second": Preset(name="second", title=named, note=named, config={**BASE, "stack_adapter": True}),
    }
    monkeypatch.setattr(plans, "presets", lambda: known)
    monkeypatch.setattr("studio.runs.presets.presets", lambda: known)
    found = plan({"preset": "first"})
    assert [(config.preset, config.method) for config in found.configs] == [("first", "cpt"), ("second", "sft")]
    assert plan([{"preset": "first"}]).kind == "single"
