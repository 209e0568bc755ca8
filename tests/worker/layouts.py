"""The layouts that adapters meet: configurations at full size, and random models of each kind that fit in a test."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.gpt_oss import modeling_gpt_oss

_LLM_JP = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 99584,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 4,
    "tie_word_embeddings": False,
}
# What decides an adapter's size, by the names in the models' own config.json.
FULL_SIZE: dict[str, dict[str, Any]] = {
    "gpt-oss-20b": {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "vocab_size": 201088,
        "tie_word_embeddings": False,
    },
    "llm-jp-3.1-13b-instruct4": _LLM_JP
    | {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
    "llm-jp-3-7.2b-instruct3": _LLM_JP
    | {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "llm-jp-3.1-1.8b-instruct4": _LLM_JP
    | {"hidden_size": 2048, "intermediate_size": 7168, "num_hidden_layers": 24, "num_attention_heads": 16},
}
_SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_SMALL_MIXTURE = _SMALL | {"num_experts_per_tok": 2}
SMALL: dict[str, dict[str, Any]] = {
    "dense": {"model_type": "llama"} | _SMALL,
    "fused": {"model_type": "gpt_oss", "num_local_experts": 4} | _SMALL_MIXTURE,
    "per-expert": {"model_type": "gpt_oss", "num_local_experts": 4} | _SMALL_MIXTURE,
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4} | _SMALL_MIXTURE,
    "qwen3-moe": {"model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 32} | _SMALL_MIXTURE,
    "qwen2-moe": {"model_type": "qwen2_moe", "num_experts": 4, "moe_intermediate_size": 32} | _SMALL_MIXTURE,
}


class ExpertModules(torch.nn.Module):
    """gpt-oss's experts as unsloth's 4-bit copies hold them: one linear module each, so that they can be quantised."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        hidden, inner, count = config.hidden_size, config.intermediate_size, config.num_local_experts
        self.gate_up_projs = torch.nn.ModuleList(torch.nn.Linear(hidden, 2 * inner) for _ in range(count))
        self.down_projs = torch.nn.ModuleList(torch.nn.Linear(inner, hidden) for _ in range(count))
        # transformers initialises these by name.
        for name in ("gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"):
            self.register_buffer(name, torch.empty(0), persistent=False)

    def forward(
        self, hidden_states: torch.Tensor, router_indices: torch.Tensor, routing_weights: torch.Tensor
    ) -> torch.Tensor:
        """[tokens, hidden], [tokens, top_k] twice; the arithmetic of transformers' GptOssExperts."""
        summed = torch.zeros_like(hidden_states)
        for number, (gate_up_proj, down_proj) in enumerate(zip(self.gate_up_projs, self.down_projs, strict=True)):
            tokens, place = torch.where(router_indices == number)
            if not len(tokens):
                continue
            gate_up = gate_up_proj(hidden_states[tokens])
            gate, up = gate_up[..., ::2].clamp(max=7.0), gate_up[..., 1::2].clamp(-7.0, 7.0)
            out = down_proj((up + 1) * gate * torch.sigmoid(gate * 1.702))
            summed.index_add_(0, tokens, (out * routing_weights[tokens, place, None]).to(summed.dtype))
        return summed


def write_configuration(folder: Path, configuration: dict[str, Any]) -> Path:
    """A folder that holds a config.json and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    return folder


def make_model(folder: Path, layout: str) -> Any:
    """A random model of a small layout, in 32 bits."""
    configuration = AutoConfig.from_pretrained(write_configuration(folder, SMALL[layout]))
    torch.manual_seed(0)
    original = modeling_gpt_oss.GptOssExperts
    modeling_gpt_oss.GptOssExperts = ExpertModules if layout == "per-expert" else original
    try:
        return AutoModelForCausalLM.from_config(configuration, dtype=torch.float32).eval()
    finally:
        modeling_gpt_oss.GptOssExperts = original
