"""A run that goes on from another's adapter, and one that keeps its best step."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, TrainerCallback

from studio.runs.plans import planned
from tests.worker.layouts import make_model
from tests.worker.running import losses, make_run
from tests.worker.test_resume import at_step
from training import adapters, recipe, worker
from training.contract import RunFolder, RunStatus, TrainingDocument

pytestmark = pytest.mark.usefixtures("signals_restored")

ASKED = torch.arange(20, 44).reshape(2, 12)


def ended(folder: RunFolder) -> RunStatus:
    """Train a run to whatever end."""
    worker.main([str(folder.root)])
    status = folder.read_status()
    assert status
    return status


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.adapter / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def runs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs, with one that was trained."""
    root = tmp_path_factory.mktemp("runs")
    assert ended(make_run(root / "first-1", tiny_model)).state == "finished"
    return root


def logits(base: Path, *adapters_of: Path) -> torch.Tensor:
    """What a model says with the adapters added up, in full precision."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapters_of[0], adapter_name="0")
    for number, folder in enumerate(adapters_of[1:], start=1):
        model.load_adapter(folder, adapter_name=str(number))
    model.base_model.set_adapter([str(number) for number in range(len(adapters_of))])
    with torch.no_grad():
        return model(ASKED).logits


def test_a_run_trains_another_one_s_adapter_on(tiny_model: Path, runs: Path) -> None:
    second = make_run(runs / "second-1", tiny_model, init_run="first-1", learning_rate=1e-9, max_steps=1)
    assert ended(second).state == "finished"
    first, after = weights_of(RunFolder(runs / "first-1")), weights_of(second)
    assert all(torch.allclose(after[name], first[name], atol=1e-7, rtol=0) for name in first)
    assert all(torch.any(weight) for weight in after.values())


def test_an_adapter_on_top_of_a_frozen_one_is_saved_as_their_exact_sum(
    tiny_model: Path, runs: Path, tmp_path: Path
) -> None:
    changes = {"init_run": "first-1", "stack_adapter": True, "lora_r": 2, "lora_alpha": 8, "weight_decay": 0.1}
    stacked = make_run(runs / "stacked-1", tiny_model, **changes)
    status = ended(stacked)
    assert status.state == "finished"
    assert status.trainable_parameters == 2 * 2 * (2 * 128 + 2 * 96 + 3 * 192)
    top = tmp_path / "top"
    shutil.copytree(stacked.adapter, top)
    settings = (top / "adapter_config.json").read_text("utf-8")
    assert '"r": 6' in settings and '"lora_alpha": 24' in settings
    (top / "adapter_config.json").write_text(settings.replace('"r": 6', '"r": 2').replace(": 24", ": 8"), "utf-8")
    upper = {name: weight[:2] if "lora_A" in name else weight[:, :2] for name, weight in weights_of(stacked).items()}
    assert all(torch.any(weight) for weight in upper.values())
    save_file({name: weight.contiguous() for name, weight in upper.items()}, top / "adapter_model.safetensors")
    below = runs / "first-1" / "adapter"
    assert torch.allclose(logits(tiny_model, stacked.adapter), logits(tiny_model, below, top), atol=1e-5)
    assert not torch.allclose(logits(tiny_model, stacked.adapter), logits(tiny_model, below), atol=1e-3)


def test_a_stacked_run_goes_on_above_what_it_began_on_though_that_was_trained_on_meanwhile(
    tiny_model: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = RunFolder(Path(shutil.copytree(runs / "first-1", runs / "below-1")))
    began_on = weights_of(below)
    changes = {"init_run": "below-1", "stack_adapter": True, "lora_r": 2, "lora_alpha": 2, "max_steps": 3}
    stacked = make_run(runs / "stacked-2", tiny_model, **changes)
    with monkeypatch.context() as patched:
        at_step(patched, 1, stacked.stop.touch)
        assert ended(stacked).state == "stopped"
    stacked.stop.unlink()
    other = {name: weight * 2 for name, weight in began_on.items()}
    save_file(other, below.adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    assert ended(stacked).resumed_from_step == 1
    after = weights_of(stacked)
    assert all(torch.equal(after[name][2:], weight) for name, weight in began_on.items() if "lora_A" in name)
    assert all(torch.equal(after[name][:, 2:], weight * 8) for name, weight in began_on.items() if "lora_B" in name)


def test_experts_in_one_parameter_are_stacked_too(tmp_path: Path) -> None:
    def wrapped(rank: int) -> Any:
        model = make_model(tmp_path / "base", "fused")
        torch.manual_seed(rank)
        names = ["experts.gate_up_proj", "experts.down_proj"]
        config = LoraConfig(r=rank, lora_alpha=rank * 3, target_modules=["q_proj"], target_parameters=names)
        return get_peft_model(model, config, autocast_adapter_dtype=False)

    below = wrapped(2)
    for name, parameter in below.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    below.save_pretrained(tmp_path / "below", save_embedding_layers=False)
    both = wrapped(5)
    part = adapters.go_on_from(both, adapters.Start("below", tmp_path / "below", 2, 3.0), stacked=True)
    with torch.no_grad():
        assert torch.allclose(both(ASKED).logits, below(ASKED).logits, atol=1e-5)
    both(ASKED).logits.sum().backward()
    before = [view.clone() for view, _ in part.parts]
    torch.optim.AdamW((p for p in both.parameters() if p.requires_grad), lr=0.1, weight_decay=0).step()
    assert all(torch.equal(view, old) for (view, _), old in zip(part.parts, before, strict=True))


def test_the_chain_of_the_reports_runs_on_a_small_base(tiny_model: Path, tmp_path: Path) -> None:
    typed = {"preset": "gpt-oss-20b-cpt-sft-report", "base_model": str(tiny_model), "engine": "transformers"}
    cpt, sft = planned(typed | {"max_steps": 1}, {"dataset": "anime"}).configs
    first = make_run(tmp_path / "cpt-1", tiny_model, **cpt.model_dump(exclude={"base_model"}))
    first.documents.write_text(TrainingDocument(id=1, title="作品", text="主人公は人物です。" * 30).model_dump_json())
    changes = {"init_run": "cpt-1", "max_steps": 1}
    second = make_run(tmp_path / "sft-1", tiny_model, **sft.model_dump(exclude={"base_model"}) | changes)
    assert [ended(run).state for run in (first, second)] == ["finished", "finished"]
    shapes = [json.loads((run.adapter / "adapter_config.json").read_text("utf-8")) for run in (first, second)]
    assert [(shape["r"], shape["lora_alpha"]) for shape in shapes] == [(16, 32), (24, 48)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"init_run": "nobody-1"}, "inference.error_adapter_incomplete"),
        ({"init_run": "first-1", "lora_r": 8}, "worker.error_init_shape"),
        ({"init_run": "first-1", "target_modules": ("attention",)}, "worker.error_init_targets"),
        ({"init_run": "first-1", "stack_adapter": True, "target_modules": ("mlp",)}, "worker.error_init_targets"),
    ],
)
def test_an_adapter_that_cannot_be_trained_on_gets_a_sentence(
    tiny_model: Path, runs: Path, changes: dict[str, Any], code: str
) -> None:
    run = make_run(runs / "refused-1", tiny_model, **changes)
    assert ended(run).reason_code == code


def test_an_adapter_of_another_shape_is_refused_before_its_base_is_loaded(
    tiny_model: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "_load", lambda *_: pytest.fail("the base was loaded"))
    status = ended(make_run(runs / "refused-2", tiny_model, init_run="first-1", lora_r=8, lora_alpha=16))
    assert status.reason_code == "worker.error_init_shape"
    assert status.reason_values["lora_r"] == "4" and status.reason_values["wanted_r"] == "8"


def test_an_adapter_of_another_base_is_refused(tiny_model: Path, runs: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    status = ended(make_run(runs / "other-1", other, init_run="first-1"))
    assert status.reason_code == "inference.error_adapter_other_base"
    base = RunFolder(runs / "first-1").adapter / "base.json"
    recorded = base.read_text("utf-8")
    base.write_text('{"fingerprint": "of other weights"}', "utf-8")
    status = ended(make_run(runs / "other-2", tiny_model, init_run="first-1"))
    base.write_text(recorded, "utf-8")
    assert status.reason_code == "inference.error_adapter_other_weights"


class BestAfterFirstEpoch(TrainerCallback):
    """Probes that find the first epoch best, and every later one worse."""

    best_step: int | None = None
    without_better = 0
    seen: dict[str, torch.Tensor]

    def __init__(self, *arguments: Any) -> None:
        pass

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.best_step is None:
            self.best_step = state.global_step
            BestAfterFirstEpoch.seen = {name: weight.clone() for name, weight in adapters._weights(model).items()}
        else:
            self.without_better += 1


@pytest.mark.parametrize(("patience", "steps"), [(0, 20), (2, 15)])
def test_the_adapter_of_the_best_probe_is_saved_and_training_ends_when_none_is_better(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, steps: int
) -> None:
    monkeypatch.setattr(recipe, "ProbeCallback", BestAfterFirstEpoch)
    changes = {"max_steps": -1, "num_train_epochs": 4, "early_stopping_patience": patience}
    folder = make_run(tmp_path, tiny_model, **changes)
    status = ended(folder)
    assert (status.state, status.step, status.best_step) == ("finished", steps, 5)
    assert len(losses(folder)) == steps
    saved = weights_of(folder)
    assert saved.keys() == BestAfterFirstEpoch.seen.keys()
    assert all(torch.equal(saved[name], weight) for name, weight in BestAfterFirstEpoch.seen.items())
    assert list(folder.checkpoints.iterdir()) == []
