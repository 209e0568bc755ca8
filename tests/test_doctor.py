"""The recipe doctor: each thing that is known not to work is said with a fix, and a good recipe hears nothing."""

from pathlib import Path
from typing import Any

import pytest

from studio.i18n import LOCALES, sentences
from training import doctor
from training.contract import RunConfig
from training.doctor import DEMO_REPLAY, examine
from training.preflight_report import Memory, Preflight, planned_steps, total_tokens

REPORT_WORDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GOOD: dict[str, Any] = {
    "facts": 100,
    "examples": 1600,
    "reversed_facts": 100,
    "documents": 0,
    "sequences": 1600,
    "steps": 1200,
    "modules": {"attention": 96, "experts": 1536},
    "available": ("attention", "experts"),
}


def config(**changes: Any) -> RunConfig:
    good = {"dataset": "anime", "base_model": "unsloth/gpt-oss-20b", "replay_dataset": "general", "replay_share": 0.1}
    return RunConfig(**(good | changes))


def codes(settings: RunConfig, **found: Any) -> set[str]:
    return {finding.code.partition(".")[2] for finding in examine(settings, Preflight(**(GOOD | found)))}


def fix_of(code: str, settings: RunConfig, **found: Any) -> dict[str, Any]:
    findings = examine(settings, Preflight(**(GOOD | found)))
    return next(finding.fix for finding in findings if finding.code.endswith(f".{code}"))


def test_the_recommended_recipe_hears_nothing() -> None:
    assert codes(config()) == set()


def test_nothing_is_said_about_what_is_not_known_yet() -> None:
    assert examine(config(), Preflight()) == ()


def test_the_report_on_gpt_oss_hears_of_targets_learning_rate_and_replay() -> None:
    report = config(learning_rate=2e-5, lora_r=8, target_modules=REPORT_WORDS, replay_dataset="", replay_share=0)
    found = {"modules": {"attention": 96}, "unmatched": ("gate_proj", "up_proj", "down_proj")}
    assert codes(report, **found) == {"error_target_unmatched", "experts_left_out", "low_learning_rate", "no_replay"}
    errors = [finding for finding in examine(report, Preflight(**(GOOD | found))) if finding.severity == "error"]
    assert errors[0].values["words"] == "gate_proj, up_proj, down_proj"
    assert errors[0].fix == {"target_modules": ("attention", "mlp", "experts")}


@pytest.mark.parametrize(
    ("code", "changes", "found"),
    [
        ("high_learning_rate", {"learning_rate": 5e-3}, {}),
        ("attention_only", {"target_modules": ("attention",)}, {"modules": {"attention": 4}, "available": ("mlp",)}),
        ("attention_only", {"target_modules": ("attention",)}, {"modules": None}),
        ("error_expert_dropout", {"lora_dropout": 0.05}, {"fused_experts": True}),
        ("error_experts_closed", {}, {"closed_experts": 8}),
        ("documents_only", {"method": "cpt"}, {"documents": 50}),
        ("error_no_documents", {"method": "mixed"}, {}),
        ("error_no_examples", {}, {"examples": 0}),
        ("no_reverse", {}, {"reversed_facts": 0}),
        ("few_reverse", {}, {"reversed_facts": 20}),
        ("few_variants", {}, {"examples": 200}),
        ("many_variants", {}, {"examples": 6400}),
        ("few_exposures", {"max_steps": 60}, {"steps": 60}),
        ("truncated", {}, {"truncated": 3, "longest": 700}),
        ("untrained", {}, {"untrained": 3}),
        ("error_all_truncated", {}, {"untrained": 1600}),
        ("much_padding", {}, {"useful_token_share": 0.4, "on_gpu": True}),
        ("error_packing", {"packing": True}, {"architecture": "gpt_oss", "useful_token_share": 0.4, "on_gpu": True}),
        ("lint_no_end_token", {}, {"lint": ("no_end_token",)}),
        ("template_llm_jp", {}, {"our_template": "llm-jp"}),
        ("template_harmony", {}, {"our_template": "harmony"}),
        ("stops_without_probes", {"early_stopping_patience": 2, "probe_questions": 0}, {}),
        ("no_heldout_phrasings", {"heldout_phrasings": 0}, {}),
        ("replay_of_nothing", {"replay_dataset": ""}, {}),
        ("disk_short", {}, {"disk_bytes": 2, "disk_free_bytes": 1}),
    ],
)
def test_each_thing_that_does_not_work_is_said(code: str, changes: dict[str, Any], found: dict[str, Any]) -> None:
    assert codes(config(**changes), **found) == {code}


def test_memory_that_is_short_halves_the_batch_and_keeps_the_effective_one() -> None:
    memory = Memory(weights=12, lora=2, optimizer=1, activations=2, logits=2, overhead=1)
    found = {"memory": memory, "device_bytes": 16, "free_bytes": 16}
    assert fix_of("memory_short", config(), **found) == {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
    }
    assert fix_of("memory_short", config(per_device_train_batch_size=1), **found, longest=100) == {"max_length": 128}
    assert codes(config(), memory=memory, device_bytes=24, free_bytes=10) == {"memory_taken"}


def test_a_longer_max_length_holds_the_longest_example() -> None:
    assert fix_of("truncated", config(), truncated=1, longest=700) == {"max_length": 704}


def test_the_demo_replays_what_ships_with_it() -> None:
    demo = config(base_model="assets/demo/model", replay_dataset="", replay_share=0)
    assert fix_of("no_replay", demo)["replay_dataset"] == DEMO_REPLAY


def test_every_fix_is_a_value_that_the_configuration_takes() -> None:
    for fix in doctor.REMEDIES.values():
        config(**fix)


def test_every_rule_has_its_sentence_and_every_sentence_its_rule() -> None:
    source = Path(str(doctor.__file__)).read_text("utf-8")
    for language in LOCALES:
        keys = {key.partition(".")[2] for key in sentences(language) if key.startswith("preflight.")}
        said = {key for key in keys if not key.startswith(("error_", "lint_"))}
        assert {key for key in said if f'"{key}"' not in source} == set()


def test_steps_are_counted_as_the_trainer_counts_them() -> None:
    settings = config(per_device_train_batch_size=4, gradient_accumulation_steps=2, num_train_epochs=3)
    assert planned_steps(settings, 17) == 9
    assert planned_steps(config(max_steps=5), 1_000_000) == 5


def test_tokens_of_a_run_come_from_its_steps() -> None:
    found = Preflight(steps=100, sequences=50, tokens=1000)
    assert total_tokens(config(per_device_train_batch_size=4), found) == 8000
