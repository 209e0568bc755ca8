"""Which modules get an adapter on dense models and on both layouts of gpt-oss."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GptOssConfig, GptOssForCausalLM, LlamaConfig, LlamaForCausalLM

from training.errors import RunError
from training.lora import DEFAULT_WORDS, Targets, count_adapters, kind_of, resolve_targets, trainable_parameters

LAYERS, EXPERTS = 2, 4


@pytest.fixture
def llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=2
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def gpt_oss() -> GptOssForCausalLM:
    """The layout of transformers: all experts of a layer in one parameter."""
    config = GptOssConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=EXPERTS,
        num_experts_per_tok=2,
        layer_types=["sliding_attention", "full_attention"],
    )
    return GptOssForCausalLM(config)


@pytest.fixture
def gpt_oss_per_expert(gpt_oss: GptOssForCausalLM) -> GptOssForCausalLM:
    """The layout of unsloth's 4-bit copies: one linear module per expert."""
    for layer in gpt_oss.model.layers:
        experts = torch.nn.Module()
        experts.gate_up_projs = torch.nn.ModuleList(torch.nn.Linear(32, 64) for _ in range(EXPERTS))
        experts.down_projs = torch.nn.ModuleList(torch.nn.Linear(32, 32) for _ in range(EXPERTS))
        layer.mlp.experts = experts
    return gpt_oss


def attach(model: torch.nn.Module, targets: Targets) -> torch.nn.Module:
    return get_peft_model(
        model,
        LoraConfig(
            r=2,
            target_modules=list(targets.suffixes),
            target_parameters=list(targets.parameter_suffixes) or None,
            task_type="CAUSAL_LM",
        ),
    )


def test_a_dense_model_gets_adapters_on_attention_and_mlp_by_default(llama: LlamaForCausalLM) -> None:
    targets = resolve_targets(llama, DEFAULT_WORDS)
    assert targets.suffixes == tuple(sorted("q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()))  # noqa: SIM905
    assert count_adapters(attach(llama, targets)) == targets.count() == {"attention": 4 * LAYERS, "mlp": 3 * LAYERS}


def test_the_fused_experts_of_gpt_oss_get_adapters(gpt_oss: GptOssForCausalLM) -> None:
    targets = resolve_targets(gpt_oss, DEFAULT_WORDS)
    model = attach(gpt_oss, targets)
    assert count_adapters(model) == targets.count() == {"attention": 4 * LAYERS, "experts": 2 * LAYERS}
    model(input_ids=torch.ones(1, 4, dtype=torch.long), labels=torch.ones(1, 4, dtype=torch.long)).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_only_fused_experts_can_be_chosen(gpt_oss: GptOssForCausalLM) -> None:
    targets = resolve_targets(gpt_oss, ["experts"])
    assert targets.modules == ()
    assert count_adapters(attach(gpt_oss, targets)) == {"experts": 2 * LAYERS}


def test_every_single_expert_of_unsloth_s_layout_gets_an_adapter(gpt_oss_per_expert: GptOssForCausalLM) -> None:
    targets = resolve_targets(gpt_oss_per_expert, ["experts"])
    assert targets.parameters == ()
    assert "gate_up_projs.0" in targets.suffixes
    assert count_adapters(attach(gpt_oss_per_expert, targets)) == {"experts": 2 * EXPERTS * LAYERS}


def test_the_names_of_the_reports_reach_only_attention_on_gpt_oss(gpt_oss: GptOssForCausalLM) -> None:
    with pytest.raises(RunError, match="gate_proj matches nothing"):
        resolve_targets(gpt_oss, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])


def test_attention_alone_leaves_the_rest_untouched(llama: LlamaForCausalLM) -> None:
    model = attach(llama, resolve_targets(llama, ["attention"]))
    assert count_adapters(model) == {"attention": 4 * LAYERS}
    assert trainable_parameters(model) == LAYERS * 4 * 2 * (32 + 32)


@pytest.mark.parametrize("word", ["v_proj", "mlp.down_proj", "model.layers.0.self_attn.q_proj", "layers.1"])
def test_the_architecture_s_own_names_are_taken(llama: LlamaForCausalLM, word: str) -> None:
    targets = resolve_targets(llama, [word])
    assert targets.modules
    assert count_adapters(attach(llama, targets)) == targets.count()


def test_one_layer_alone_is_not_widened_to_all(llama: LlamaForCausalLM) -> None:
    assert resolve_targets(llama, ["layers.1"]).count() == {"attention": 4, "mlp": 3}


@pytest.mark.parametrize("words", [["experts"], ["attention", "experts"], ["attention", "qproj"], ["lm_head"]])
def test_a_word_that_matches_nothing_is_named_together_with_what_there_is(
    llama: LlamaForCausalLM, words: list[str]
) -> None:
    with pytest.raises(RunError) as raised:
        resolve_targets(llama, words, base_model="tiny")
    assert words[-1] in str(raised.value)
    assert "attention, mlp, down_proj, gate_proj" in str(raised.value)


def test_all_means_everything_but_head_and_routers(gpt_oss_per_expert: GptOssForCausalLM) -> None:
    targets = resolve_targets(gpt_oss_per_expert, ["all"])
    assert set(targets.count()) == {"attention", "experts"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.layers.0.self_attn.q_proj", "attention"),
        ("transformer.h.0.attn.c_attn", "attention"),
        ("model.layers.0.mlp.up_proj", "mlp"),
        ("model.layers.0.mlp.router", "other"),
        ("model.layers.0.mlp.gate", "other"),
        ("model.layers.0.mlp.experts.gate_up_proj", "experts"),
        ("model.layers.0.mlp.experts.down_projs.17", "experts"),
        ("lm_head", "other"),
    ],
)
def test_a_name_tells_its_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind
