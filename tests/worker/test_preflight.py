"""Preflight tells before a start what a run will train, from the model's configuration alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.runs.presets import presets, run_config
from tests.hub import serving
from tests.worker.layouts import FULL_SIZE, SMALL, write_configuration
from tests.worker.running import make_examples, make_run, write_examples
from tests.worker.tiny import make_tokenizer
from training import architecture, lora, preflight
from training.contract import PROJECT_ROOT, RunConfig, RunFolder, TrainingDocument
from training.doctor import examine
from training.lora import DEFAULT_WORDS
from training.preflight_report import Preflight

GIB = 2**30
REPORT_WORDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def stand_in(folder: Path, model: str) -> Path:
    """A model's configuration at full size, with a tokenizer that writes harmony; there are no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(FULL_SIZE[model]))
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt_oss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("gpt-oss-20b"), "gpt-oss-20b")


@pytest.fixture
def a_16_gb_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "nvidia_gpu_present", lambda: True)
    monkeypatch.setattr(preflight, "video_memory", lambda: (16 * GIB, 15 * GIB))


def looked(root: Path, base: Path | str, **changes: Any) -> Preflight:
    return preflight.look(make_run(root, base, **changes))


def codes(found: Preflight) -> set[str]:
    return {finding.code.partition(".")[2] for finding in found.findings}


def test_the_command_writes_what_the_demo_would_train(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "assets/demo/model", max_steps=-1, num_train_epochs=2)
    assert preflight.main([str(folder.root)]) == 0
    found = Preflight.model_validate_json(folder.preflight.read_bytes())
    assert found.modules == {"attention": 20, "mlp": 15}
    assert (found.facts, found.examples, found.heldout, found.steps) == (6, 18, 6, 10)
    assert found.passed and found.memory is not None and found.disk_bytes
    assert sum(one.number for one in found.histogram) == 18
    assert {"no_reverse", "few_variants", "no_replay"} <= codes(found)


def test_the_report_on_gpt_oss_shows_what_was_wrong(gpt_oss: Path, tmp_path: Path, a_16_gb_card: None) -> None:
    found = looked(tmp_path, gpt_oss, lora_r=8, learning_rate=2e-5, target_modules=REPORT_WORDS)
    assert found.modules == {"attention": 96} and found.trainable_parameters == 3_981_312
    assert found.unmatched == ("gate_proj", "up_proj", "down_proj") and not found.passed
    assert {"error_target_unmatched", "experts_left_out", "low_learning_rate", "no_replay"} <= codes(found)


@pytest.mark.parametrize("preset", [name for name, preset in presets().items() if preset.departs_from])
def test_a_recommended_preset_passes_and_fits_a_16_gb_card(preset: str, tmp_path: Path, a_16_gb_card: None) -> None:
    config = run_config({"preset": preset, "dataset": "anime"})
    base = stand_in(tmp_path / "base", config.base_model.split("/")[1])
    folder = make_run(tmp_path / "run", base)
    folder.config.write_text(config.model_copy(update={"base_model": str(base)}).model_dump_json())
    write_documents(folder, 20)
    folder.replay.write_text(make_examples(1)[0].model_dump_json() + "\n", encoding="utf-8")
    found = preflight.look(folder)
    assert found.passed and found.memory is not None and found.memory.total < 16 * GIB
    quiet = {"error_target_unmatched", "experts_left_out", "attention_only", "low_learning_rate", "no_replay"}
    assert not codes(found) & (quiet | {"memory_short", "documents_only"})


def test_the_remedy_for_gpt_oss_adapts_every_expert_and_fits(gpt_oss: Path, tmp_path: Path, a_16_gb_card: None) -> None:
    found = looked(tmp_path, gpt_oss, lora_r=8)
    assert found.modules == {"attention": 96, "experts": 1536}
    assert found.trainable_parameters == 3_981_312 + 88_473_600 and found.engine == "unsloth"
    assert found.memory is not None and 12 * GIB < found.memory.total < 16 * GIB
    assert 11.4 < found.memory.weights / GIB < 12
    assert found.passed and "experts_left_out" not in codes(found)


def test_too_large_a_batch_is_halved_on_a_16_gb_card(gpt_oss: Path, tmp_path: Path, a_16_gb_card: None) -> None:
    config = {"lora_r": 64, "per_device_train_batch_size": 8}
    short = next(
        finding for finding in looked(tmp_path, gpt_oss, **config).findings if finding.code.endswith("memory_short")
    )
    assert short.fix == {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def test_gpt_oss_without_unsloth_is_refused_with_the_engine_that_can(
    gpt_oss: Path, tmp_path: Path, a_16_gb_card: None
) -> None:
    found = looked(tmp_path, gpt_oss, engine="transformers")
    refusal = next(finding for finding in found.findings if finding.code == "worker.error_gpt_oss_needs_unsloth")
    assert refusal.severity == "error" and refusal.fix == {"engine": "unsloth"}


def test_unsloth_on_a_machine_without_a_gpu_still_shows_its_counts(gpt_oss: Path, tmp_path: Path) -> None:
    found = looked(tmp_path, gpt_oss, engine="unsloth")
    assert "error_unsloth_needs_cuda" in codes(found) and found.modules == {"attention": 96, "experts": 1536}


def test_a_base_that_is_not_there_leaves_what_the_data_tells(tmp_path: Path) -> None:
    found = looked(tmp_path, tmp_path / "nowhere")
    assert codes(found) >= {"error_base_model_missing"} and found.examples == 18 and found.modules is None


def test_of_a_base_that_is_not_here_only_the_small_files_come(gpt_oss: Path, tmp_path: Path) -> None:
    repo = "llm-jp/llm-jp-3.1-1.8b-instruct4"
    base = stand_in(tmp_path / "base", repo.split("/")[1])
    folder = make_run(tmp_path / "run", repo)
    with serving() as hub:
        hub.repos[repo] = {path.name: path.read_bytes() for path in base.iterdir()} | {
            "model.safetensors": b"w" * 10**6
        }
        caches = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), "NO_PROXY": "127.0.0.1", **caches}
        command = [sys.executable, "-m", "training.preflight", str(folder.root)]
        subprocess.run(command, cwd=tmp_path, env=environment, timeout=300, check=True)
        fetched = {name for name, _ in hub.gets}
    found = Preflight.model_validate_json(folder.preflight.read_bytes())
    assert found.modules == {"attention": 96, "mlp": 72} and "model.safetensors" not in fetched
    assert found.download_bytes and found.download_bytes > 10**6 and found.disk_bytes


def test_a_hub_id_offline_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = looked(tmp_path, "someone/else")
    assert "error_offline_wanted" in codes(found) and found.examples == 18


def test_a_tokenizer_without_a_chat_template_is_told(gpt_oss: Path, tmp_path: Path) -> None:
    base = stand_in(tmp_path / "base", "llm-jp-3.1-1.8b-instruct4")
    tokenizer = make_tokenizer(["プレーン"])
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(base)
    (base / "chat_template.jinja").unlink()
    tokens = json.loads((base / "tokenizer.json").read_text())
    tokens["added_tokens"] = [token for token in tokens["added_tokens"] if token["content"] != "<|channel|>"]
    (base / "tokenizer.json").write_text(json.dumps(tokens))
    found = looked(tmp_path / "run", base)
    assert "error_no_chat_template" in codes(found) and found.modules == {"attention": 96, "mlp": 72}


def test_a_max_length_shorter_than_every_prompt_names_one_that_is_long_enough(tmp_path: Path) -> None:
    found = looked(tmp_path, "assets/demo/model", max_length=16)
    refusal = next(finding for finding in found.findings if finding.code == "worker.error_all_truncated")
    assert not found.passed and refusal.fix == {"max_length": 64}


@pytest.mark.parametrize("layout", ["dense", "fused", "mixtral", "qwen3-moe", "qwen2-moe"])
@pytest.mark.parametrize("words", [DEFAULT_WORDS, ("attention",), ("all",), ("mlp", "nonsense"), REPORT_WORDS])
def test_remedies_come_to_an_end_whatever_the_architecture(layout: str, words: tuple[str, ...], tmp_path: Path) -> None:
    model = architecture.empty_model(write_configuration(tmp_path, SMALL[layout]), layout)
    config = RunConfig(dataset="d", base_model=layout, target_modules=words, lora_dropout=0.1, learning_rate=1e-6)
    for _ in range(8):
        targets = lora.plan_for(model, config.target_modules, 4).targets
        known = Preflight(
            architecture=layout,
            modules=targets.count(),
            available=targets.available,
            unmatched=targets.unmatched,
            closed_experts=len(targets.closed),
            fused_experts=bool(targets.parameters),
        )
        findings = examine(config, known)
        fixes = [finding.fix for finding in findings if finding.fix]
        if not fixes:
            break
        config = RunConfig(**(config.model_dump() | fixes[0]))
    assert not fixes and not [finding.code for finding in findings if finding.severity == "error"]


def test_a_large_dataset_is_told_from_a_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path, "assets/demo/model", max_steps=-1, num_train_epochs=1)
    write_examples(folder, make_examples(200))
    monkeypatch.setattr(preflight, "MOST_BYTES", folder.examples.stat().st_size / 8)
    found = preflight.look(folder)
    assert found.encoded_share == 1 / 8 and found.examples == 600
    assert found.sequences == 600 and found.steps == 150
    assert sorted(path.name for path in folder.root.iterdir()) == ["config.json", "examples.jsonl"]


def test_of_one_huge_article_and_little_replay_something_is_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(
        tmp_path, "assets/demo/model", method="mixed", max_length=64, max_steps=-1, replay_dataset="g", replay_share=0.1
    )
    write_documents(folder, 1, sentences=3000)
    folder.replay.write_text(make_examples(1)[1].model_dump_json() + "\n", encoding="utf-8")
    whole = preflight.look(folder)
    monkeypatch.setattr(preflight, "MOST_BYTES", folder.documents.stat().st_size / 4)
    found = preflight.look(folder)
    assert not {finding.code for finding in found.findings if finding.severity == "error"}
    assert found.encoded_share < 0.3 and (found.documents, found.replayed) == (1, 1)
    assert whole.blocks and found.blocks == pytest.approx(whole.blocks, rel=0.05)


def test_a_sample_of_a_large_dataset_holds_facts_that_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path, "assets/demo/model")
    heldout = [example.model_copy(update={"split": "heldout_fact"}) for example in make_examples(40)[:-4]]
    write_examples(folder, [*heldout, *make_examples(40)[-4:]])
    monkeypatch.setattr(preflight, "MOST_BYTES", 100)
    assert "error_no_examples" not in codes(preflight.look(folder))


def test_documents_are_counted_in_blocks(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "assets/demo/model", method="cpt", max_length=64, max_steps=-1)
    write_documents(folder, 20)
    found = preflight.look(folder)
    assert found.documents == 20 and found.blocks and found.sequences == found.blocks
    assert "documents_only" in codes(found) and found.shown[0].trained_tokens > 32


def test_no_documents_is_a_sentence_with_a_remedy(tmp_path: Path) -> None:
    found = looked(tmp_path, "assets/demo/model", method="mixed")
    refusal = next(finding for finding in found.findings if finding.code == "worker.error_no_documents")
    assert refusal.fix == {"method": "sft"} and not found.passed


def write_documents(folder: RunFolder, number: int, *, sentences: int = 3) -> None:
    texts = [TrainingDocument(id=n, title=f"作品{n}", text="舞台は海辺の町です。" * sentences) for n in range(number)]
    folder.documents.write_text("".join(text.model_dump_json() + "\n" for text in texts), encoding="utf-8")
