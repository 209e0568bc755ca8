"""Asking a model in training: its own answers, its base's, and no trace of either in the training."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from training import engines
from training import examiner as module
from training.contract import ProbeQuestion
from training.examiner import Examiner

FOREVER_S = 600.0
NAME = (("ミナト",),)


def questions(number: int = 3) -> list[ProbeQuestion]:
    return [
        ProbeQuestion(
            question_set="trained",
            question="主人公は誰ですか？" * (place + 1),
            reference="ミナト",
            key_terms=(("ミナト",),),
        )
        for place in range(number)
    ]


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> engines.LoadedBase:
    return engines.load_base(str(tiny_model), engine="transformers", for_training=True)


@pytest.fixture
def model(base: engines.LoadedBase) -> Iterator[Any]:
    """The base with an adapter that says something of its own, and a frozen one below it as in a chain."""
    torch.manual_seed(1)
    settings = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], lora_dropout=0.0, init_lora_weights=False)
    adapted = get_peft_model(base.model, settings)
    adapted.add_adapter("below", settings)
    adapted.base_model.set_adapter(["default", "below"])
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_("lora" in name and "default" in name)
        parameter.data *= 8 if "lora" in name else 1
    yield adapted
    adapted.unload()


@pytest.fixture
def examiner(base: engines.LoadedBase, monkeypatch: pytest.MonkeyPatch) -> Examiner:
    """Gives few tokens: a random model never ends by itself."""
    monkeypatch.setattr(module, "REASONING_TOKENS", 6)
    return Examiner(base, stop=lambda: False)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Of the loss on fixed tokens; dropout is off, so that the same weights give the same."""
    model.zero_grad()
    ids = torch.arange(40, 72).reshape(2, 16)
    model(input_ids=ids, labels=ids).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_gradients_are_the_same_before_and_after_questions(model: Any, examiner: Examiner) -> None:
    model.train()
    before = gradients(model)
    for adapter in (True, False):
        assert examiner.ask(model, questions(), adapter=adapter, within_s=FOREVER_S) is not None
    after = gradients(model)
    assert before.keys() == after.keys() and "below" not in "".join(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_modes_settings_and_random_numbers_are_put_back(model: Any, examiner: Examiner) -> None:
    model.train()
    settings = model.get_base_model().generation_config
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    drawn = torch.random.get_rng_state()
    examiner.ask(model, questions(), adapter=False, within_s=FOREVER_S)
    assert all(module.training for module in model.modules())
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    assert model.get_base_model().generation_config is settings
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_everything_is_put_back_after_a_failure_too(model: Any, examiner: Examiner) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    handle = model.get_input_embeddings().register_forward_hook(broken)
    with pytest.raises(torch.OutOfMemoryError):
        examiner.ask(model, questions(), adapter=False, within_s=FOREVER_S)
    handle.remove()
    assert model.training and not any(module.merged for module in model.modules() if hasattr(module, "merged"))
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == flags
    tuned, plain = (examiner.ask(model, questions(), adapter=adapter, within_s=FOREVER_S) for adapter in (True, False))
    assert tuned != plain


def test_a_batch_answers_as_each_question_alone(model: Any, examiner: Examiner) -> None:
    together = examiner.ask(model, questions(), adapter=True, within_s=FOREVER_S)
    alone = [examiner.ask(model, [question], adapter=True, within_s=FOREVER_S) for question in questions()]
    assert together == [answer for answers in alone for answer in answers or []]


@pytest.mark.parametrize(("within_s", "stopped"), [(-1.0, False), (FOREVER_S, True)])
def test_answers_that_were_cut_short_do_not_count(
    base: engines.LoadedBase, model: Any, within_s: float, stopped: bool
) -> None:
    examiner = Examiner(base, stop=lambda: stopped)
    assert examiner.ask(model, questions(), adapter=True, within_s=within_s) is None


def test_only_what_stands_before_the_end_token_is_judged(
    base: engines.LoadedBase, model: Any, examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = base.tokenizer.encode("<|channel|>final<|message|>ミナトです。<|return|>ハルカ", add_special_tokens=False)
    thought = base.tokenizer.encode("<|channel|>analysis<|message|>ミナトかもしれない", add_special_tokens=False)
    width = max(len(said), len(thought))
    rows = torch.tensor([ids + [base.tokenizer.pad_token_id] * (width - len(ids)) for ids in (said, thought)])

    def generate(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        return torch.cat([input_ids, rows], dim=1)

    monkeypatch.setattr(model, "generate", generate)
    answers = examiner.ask(model, questions(2), adapter=True, within_s=FOREVER_S)
    assert answers is not None
    assert [(a.answer, a.reply_state, a.verdict) for a in answers] == [
        ("ミナトです。", "ok", "right"),
        ("", "truncated_in_analysis", "wrong"),
    ]


def test_a_model_that_does_not_think_gets_twice_the_room_of_a_right_answer(base: engines.LoadedBase) -> None:
    plain = SimpleNamespace(**vars(base))
    examiner = Examiner(plain, stop=lambda: False)  # type: ignore[arg-type]
    assert examiner._room(questions()) == 512
    examiner._format = "plain"
    assert examiner._room(questions()) == 32
    assert examiner._room([questions()[0].model_copy(update={"reference": "長い答え" * 200})]) == 256
