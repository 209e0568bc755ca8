"""Which modules get an adapter on dense models, on both layouts of gpt-oss, and on other mixtures of experts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, PeftModel, get_peft_model

from tests.worker.layouts import FULL_SIZE, SMALL, make_model, write_configuration
from training.errors import RunError
from training.lora import (
    DEFAULT_WORDS,
    Targets,
    count_adapters,
    find_targets,
    kind_of,
    plan,
    resolve_targets,
    trainable_parameters,
)

LAYERS, EXPERTS = 2, 4
OF_THE_REPORT = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture
def llama(tmp_path: Path) -> Any:
    return make_model(tmp_path, "dense")


@pytest.fixture
def gpt_oss(tmp_path: Path) -> Any:
    """The layout of transformers: all experts of a layer in one parameter."""
    return make_model(tmp_path, "fused")


@pytest.fixture
def gpt_oss_per_expert(tmp_path: Path) -> Any:
    """The layout of unsloth's 4-bit copies: one linear module per expert."""
    return make_model(tmp_path, "per-expert")


def attach(model: Any, targets: Targets, *, lora_r: int = 2) -> Any:
    return get_peft_model(
        model,
        LoraConfig(
            r=lora_r,
            target_modules=list(targets.suffixes),
            target_parameters=list(targets.parameter_suffixes) or None,
            task_type="CAUSAL_LM",
        ),
    )


def test_a_dense_model_gets_adapters_on_attention_and_mlp_by_default(llama: Any) -> None:
    targets = resolve_targets(llama, DEFAULT_WORDS)
    assert targets.suffixes == tuple(sorted(OF_THE_REPORT))
    assert count_adapters(attach(llama, targets)) == targets.count() == {"attention": 4 * LAYERS, "mlp": 3 * LAYERS}


def test_the_fused_experts_of_gpt_oss_get_adapters(gpt_oss: Any) -> None:
    targets = resolve_targets(gpt_oss, DEFAULT_WORDS)
    model = attach(gpt_oss, targets)
    assert count_adapters(model) == targets.count() == {"attention": 4 * LAYERS, "experts": 2 * LAYERS}
    model(input_ids=torch.ones(1, 4, dtype=torch.long), labels=torch.ones(1, 4, dtype=torch.long)).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_only_fused_experts_can_be_chosen(gpt_oss: Any) -> None:
    targets = resolve_targets(gpt_oss, ["experts"])
    assert targets.modules == ()
    assert count_adapters(attach(gpt_oss, targets)) == {"experts": 2 * LAYERS}


def test_every_single_expert_of_unsloth_s_layout_gets_an_adapter(gpt_oss_per_expert: Any) -> None:
    targets = resolve_targets(gpt_oss_per_expert, ["experts"])
    assert targets.parameters == ()
    assert "gate_up_projs.0" in targets.suffixes
    assert count_adapters(attach(gpt_oss_per_expert, targets)) == {"experts": 2 * EXPERTS * LAYERS}


@pytest.mark.parametrize("layout", ["fused", "per-expert"])
def test_the_names_of_the_reports_do_not_reach_gpt_oss_s_experts(layout: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gate_proj, up_proj.* match nothing"):
        resolve_targets(make_model(tmp_path, layout), OF_THE_REPORT)


def test_attention_alone_leaves_the_rest_untouched(llama: Any) -> None:
    model = attach(llama, resolve_targets(llama, ["attention"]))
    assert count_adapters(model) == {"attention": 4 * LAYERS}


@pytest.mark.parametrize("word", ["v_proj", "mlp.down_proj", "model.layers.0.self_attn.q_proj", "layers.1"])
def test_the_architecture_s_own_names_are_taken(llama: Any, word: str) -> None:
    targets = resolve_targets(llama, [word])
    assert targets.modules
    assert count_adapters(attach(llama, targets)) == targets.count()


def test_one_layer_alone_is_not_widened_to_all(llama: Any) -> None:
    assert resolve_targets(llama, ["layers.1"]).count() == {"attention": 4, "mlp": 3}


@pytest.mark.parametrize("words", [["experts"], ["attention", "experts"], ["attention", "qproj"], ["lm_head"]])
def test_a_word_that_matches_nothing_is_named_together_with_what_there_is(llama: Any, words: list[str]) -> None:
    with pytest.raises(RunError) as raised:
        resolve_targets(llama, words, base_model="tiny")
    assert words[-1] in str(raised.value)
    assert "attention, mlp, down_proj, gate_proj" in str(raised.value)


def test_all_means_everything_but_head_and_routers(gpt_oss_per_expert: Any) -> None:
    targets = resolve_targets(gpt_oss_per_expert, ["all"])
    assert set(targets.count()) == {"attention", "experts"}


@pytest.mark.parametrize("layout", ["mixtral", "qwen3-moe", "qwen2-moe"])
@pytest.mark.parametrize("words", [DEFAULT_WORDS, ("all",), ("attention", "experts")])
def test_another_mixture_s_experts_are_refused_and_never_left_out_in_silence(
    layout: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    model = make_model(tmp_path, layout)
    with pytest.raises(RunError) as raised:
        resolve_targets(model, words, base_model="someone/moe")
    assert raised.value.code == "worker.error_experts_closed"
    assert model.config.model_type in str(raised.value) and "attention" in str(raised.value)
    targets = resolve_targets(model, ("attention",))
    assert count_adapters(attach(model, targets)) == {"attention": 4 * LAYERS}


def test_experts_that_a_loader_has_packed_are_refused_as_well(tmp_path: Path) -> None:
    model = make_model(tmp_path, "qwen3-moe")
    for layer in model.model.layers:
        experts = layer.mlp.experts
        experts.gate_up_proj = torch.nn.Parameter(experts.gate_up_proj.data.flatten(1))
        experts.down_proj = torch.nn.Parameter(experts.down_proj.data.flatten(1))
    assert len(find_targets(model, DEFAULT_WORDS).closed) == 2 * LAYERS


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.0.self_attn.q_proj", "attention"),
        ("transformer.h.0.attn.c_attn", "attention"),
        ("model.layers.0.mlp.up_proj", "mlp"),
        ("model.layers.0.mlp.shared_expert.up_proj", "mlp"),
        ("model.layers.0.mlp.shared_expert_gate", "other"),
        ("model.layers.0.mlp.router", "other"),
        ("model.layers.0.mlp.router.linear", "other"),
        ("model.layers.0.mlp.gate", "other"),
        ("model.layers.0.mlp.experts.gate_up_proj", "experts"),
        ("model.layers.0.mlp.experts.down_projs.17", "experts"),
        ("lm_head", "other"),
    ],
)
def test_a_name_tells_its_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "modules", "trainable"),
    [
        ("gpt-oss-20b", {"attention": 96, "experts": 1536}, {"attention": 3_981_312, "experts": 88_473_600}),
        ("llm-jp-3.1-13b-instruct4", {"attention": 160, "mlp": 120}, {"attention": 13_107_200, "mlp": 18_186_240}),
    ],
)
def test_a_full_size_configuration_alone_tells_modules_and_parameters(
    name: str, modules: dict[str, int], trainable: dict[str, int], tmp_path: Path
) -> None:
    planned = plan(write_configuration(tmp_path, FULL_SIZE[name]), DEFAULT_WORDS, 8)
    assert (planned.modules, planned.trainable) == (modules, trainable)
    assert planned.four_bit_share > 0.99


def test_the_report_s_words_on_gpt_oss_are_planned_with_what_they_miss(tmp_path: Path) -> None:
    planned = plan(write_configuration(tmp_path, FULL_SIZE["gpt-oss-20b"]), OF_THE_REPORT, 8)
    assert planned.trainable == {"attention": 3_981_312}
    assert planned.targets.unmatched == ("gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize("layout", ["dense", "fused", "per-expert"])
def test_what_was_planned_is_what_gets_attached(layout: str, tmp_path: Path) -> None:
    model = make_model(tmp_path, layout)
    targets = find_targets(model, DEFAULT_WORDS)
    attached = attach(model, targets, lora_r=3)
    planned = plan(write_configuration(tmp_path, SMALL[layout]), DEFAULT_WORDS, 3)
    assert sum(planned.trainable.values()) == trainable_parameters(attached)
    if layout != "fused":  # a plan is always of the layout that is trained
        assert planned.modules == count_adapters(attached)


def answers(model: Any, ids: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    with torch.no_grad():
        return model(input_ids=ids).logits, model.generate(ids, max_new_tokens=8, do_sample=False)[0].tolist()


def quantised(folder: Path, layout: str) -> Any:
    """The model as the engine has it: linear modules in 4 bits; fused experts stay as they are."""
    model = make_model(folder, layout)
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            packed = Linear4bit(module.in_features, module.out_features, bias=module.bias is not None, quant_type="nf4")
            packed.load_state_dict(module.state_dict())
            packed.support_avx512bf16_for_cpu = False
            model.set_submodule(name, packed.to("cpu"))
    return model


@pytest.mark.parametrize("layout", ["dense", "fused", "per-expert"])
def test_a_trained_adapter_says_the_same_after_a_cold_reload(layout: str, tmp_path: Path) -> None:
    base = quantised(tmp_path, layout)
    ids = torch.arange(2, 10).unsqueeze(0)
    said_by_base = answers(base, ids)
    model = attach(base, resolve_targets(base, DEFAULT_WORDS))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    # "auto" would ask the Hub whether the vocabulary has grown.
    model.eval().save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    reloaded = PeftModel.from_pretrained(quantised(tmp_path, layout), tmp_path / "adapter").eval()
    logits, reply = answers(reloaded, ids)
    assert torch.equal(logits, answers(model, ids)[0]) and reply == answers(model, ids)[1]
    assert not torch.equal(logits, said_by_base[0])
