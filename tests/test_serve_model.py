"""What keeps a tuned answer tuned: leaked hooks are purged, damaged adapters noticed, the base never stands in."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.serving import QUESTION, make_adapter, wait_for
from tests.worker.tiny import make_tiny_model
from training.engines import load_base
from training.errors import RunError
from training.serve_adapters import purge_adapter_hooks, same_base
from training.serve_job import Event, Finished, Job, Sampling
from training.serve_model import ServedModel
from training.serve_scheduler import Scheduler

torch.set_num_threads(1)  # for matrices this small a second thread only waits for the first


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_tiny_model(root / "base")
    make_adapter(root / "base", root / "one", seed=1)
    make_adapter(root / "base", root / "two", seed=2)
    return root


@pytest.fixture
def served(folders: Path, tmp_path: Path) -> ServedModel:
    for name in ("one", "two"):
        shutil.copytree(folders / name, tmp_path / name)
    loaded = load_base(str(folders / "base"), engine="transformers", for_training=False)
    return ServedModel(loaded, str(folders / "base"), {name: tmp_path / name for name in ("one", "two")})


def job(served: ServedModel, model: str, events: list[Event]) -> Job:
    prompt = served.prompt(QUESTION, None)
    return Job(model, prompt, 12, Sampling(), served.splitter(prompt), served.end_ids, events.append)


def answers(served: ServedModel, *models: str) -> list[str]:
    """What the models say in one batch."""
    heard: list[list[Event]] = [[] for _ in models]
    jobs = [job(served, model, events) for model, events in zip(models, heard, strict=True)]
    for name in models:
        served.load(name)
    served.answer(jobs)
    return [events[-1].reply.answer for events in heard if isinstance(events[-1], Finished)]


def silence(served: ServedModel, name: str) -> None:
    """Damage an adapter in memory so that it says what the base says."""
    inner = served._adapters[name].inner
    with torch.no_grad():
        for key, weight in served._peft.named_parameters():
            if f"lora_B.{inner}." in key:
                weight.zero_()


def test_hooks_that_an_exception_leaves_are_purged_before_anybody_is_answered(served: ServedModel) -> None:
    before = answers(served, "base", "one")
    ids = torch.tensor([served.prompt(QUESTION, None)])

    def raise_soon(*_: object, **__: object) -> None:
        raise OSError("the reader is gone")

    with pytest.raises(OSError, match="reader"):
        served._peft.generate(
            input_ids=ids, adapter_names=["__base__"], max_new_tokens=2, stopping_criteria=[raise_soon]
        )
    assert any(module._forward_pre_hooks for module in served._peft.modules())  # peft's issue 3475 is still there
    served.check()
    assert not any(module._forward_pre_hooks for module in served._peft.modules())
    assert answers(served, "base", "one") == before


def test_an_adapter_that_lost_its_effect_is_loaded_again(served: ServedModel) -> None:
    before = answers(served, "base", "one", "two")
    silence(served, "one")
    assert answers(served, "one") == before[:1]  # now it speaks as the base, and nothing else tells
    served.check()
    assert answers(served, "base", "one", "two") == before


def test_an_adapter_that_cannot_be_restored_is_an_error_and_never_the_base(served: ServedModel) -> None:
    answers(served, "base", "one", "two")
    silence(served, "one")
    path = served.known["one"] / "adapter_model.safetensors"
    save_file({key: torch.zeros_like(value) for key, value in load_file(path).items()}, path)
    served.check()
    with pytest.raises(RunError, match="withheld"):
        served.load("one")
    served.load("two")


def test_an_only_adapter_is_restored_too(served: ServedModel) -> None:
    before = answers(served, "one")
    silence(served, "one")
    served.check()
    assert answers(served, "one") == before


def test_a_base_that_changed_answers_nobody(served: ServedModel) -> None:
    answers(served, "base", "one")
    served._base_canary, served._adapters["one"].canary = served._adapters["one"].canary, served._base_canary
    served.check()
    for name in ("base", "one"):
        with pytest.raises(RunError, match="no answer is given"):
            served.load(name)


def test_where_mixed_batches_differ_adapters_answer_one_after_the_other(served: ServedModel) -> None:
    mixed = answers(served, "base", "one", "two")
    for adapter in served._adapters.values():
        adapter.mixable = False
    heard: list[list[Event]] = [[] for _ in range(3)]
    jobs = [job(served, name, heard[place]) for place, name in enumerate(("base", "one", "two"))]
    groups = served.groups(jobs)
    assert [[one.model for one in group] for group in groups] == [["base"], ["one"], ["two"]]
    for group in groups:
        served.answer(group)
    assert [events[-1].reply.answer for events in heard] == mixed


def test_a_failing_batch_fails_its_questions_and_the_next_ones_are_answered(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(served, "base", "one")
    generate = served._peft.base_model.generate

    def out_of_memory(**arguments: object) -> None:
        raise torch.cuda.OutOfMemoryError("2 GiB")

    monkeypatch.setattr(served._peft.base_model, "generate", out_of_memory)
    scheduler = Scheduler(served, lambda: None)
    heard: list[Event] = []
    failing = job(served, "one", heard)
    scheduler.submit(failing)
    wait_for(lambda: failing.done, "the failure")
    assert isinstance(heard[-1], RunError) and "memory" in str(heard[-1])
    monkeypatch.setattr(served._peft.base_model, "generate", generate)
    again: list[list[Event]] = [[], []]
    jobs = [job(served, name, again[place]) for place, name in enumerate(("base", "one"))]
    for one in jobs:
        scheduler.submit(one)
    wait_for(lambda: all(one.done for one in jobs), "both answers")
    assert [events[-1].reply.answer for events in again] == before
    assert scheduler.close(10)


def test_a_cancelled_question_ends_with_the_token_in_hand(served: ServedModel) -> None:
    heard: list[Event] = []
    asked = job(served, "base", heard)
    asked.max_tokens = 900
    asked.emit = lambda event: (heard.append(event), asked.cancel())
    served.answer([asked])
    assert isinstance(heard[-1], Finished)
    assert (heard[-1].finish_reason, heard[-1].completion_tokens) == ("cancelled", 1)


def test_weights_are_never_repacked(served: ServedModel) -> None:
    from bitsandbytes.nn import Linear4bit

    layers = [module for module in served._base.modules() if isinstance(module, Linear4bit)]
    assert layers and not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_purging_a_clean_model_removes_nothing(served: ServedModel) -> None:
    assert purge_adapter_hooks(served._base) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("unsloth/gpt-oss-20b", "unsloth/gpt-oss-20b-unsloth-bnb-4bit", True),
        ("openai/gpt-oss-20b", "unsloth/gpt-oss-20b", False),
        ("/c/models--llm-jp--x/snapshots/0a1b", "llm-jp/x", True),
        ("/elsewhere/oboe/assets/demo/model", "/here/oboe/assets/demo/model", True),
        ("/elsewhere/a", "/elsewhere/b", False),
        ("assets/demo/model", "/elsewhere/oboe/assets/demo/model", True),
    ],
)
def test_one_base_is_recognised_under_its_several_names(one: str, other: str, same: bool) -> None:
    assert same_base(one, other) is same
