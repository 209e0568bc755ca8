"""A base model's shape from its configuration alone: modules on the meta device, without weights.

It must not know what an adapter is or which library will load the weights.
"""

import json
from pathlib import Path
from typing import Any

import torch

from training.errors import RunError

GPT_OSS = "gpt_oss"
_EXPERT_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts")


def read_configuration(folder: Path, base_model: str) -> dict[str, Any]:
    """A model folder's config.json; RunError where it is no configuration."""
    try:
        read = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RunError("worker.error_base_model_unloadable", base_model=base_model, problem=error) from error
    if not isinstance(read, dict):
        raise RunError("worker.error_base_model_unloadable", base_model=base_model, problem="config.json")
    return read


def is_mixture(configuration: dict[str, Any]) -> bool:
    """Whether a configuration describes a mixture of experts."""
    text = configuration.get("text_config") or {}
    return any((configuration.get(name) or text.get(name) or 0) > 1 for name in _EXPERT_COUNTS)


def empty_model(folder: Path, base_model: str, *, one_module_per_expert: bool = True) -> Any:
    """The model of a folder's configuration on the meta device.

    gpt-oss is laid out as in unsloth's 4-bit copies, one linear module per expert, the only layout in which its
    experts are trained here; `one_module_per_expert` False keeps the fused parameters of transformers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        configuration = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(configuration, dtype=torch.bfloat16)
    except (OSError, ValueError, KeyError) as error:
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError("worker.error_base_model_unloadable", base_model=base_model, problem=problem) from error
    if configuration.model_type == GPT_OSS and one_module_per_expert:
        _split_experts(model)
    return model


def linear_modules(model: Any) -> dict[str, torch.nn.Linear]:
    """The linear modules by name, without the output head: what a loader turns into 4 bits, and an adapter fits."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


def planned_four_bit_share(model: Any) -> float:
    """Share of an empty model's body (all but embedding and head) that bitsandbytes would hold in 4 bits."""
    body = body_parameters(model)
    in_four_bits = sum(module.weight.numel() for module in linear_modules(model).values())
    return in_four_bits / body if body else 0.0


def body_parameters(model: Any) -> int:
    """Parameters without embedding and head, which stay in 16 bits and weigh the more the smaller a model is."""
    ends = {id(end.weight) for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in ends)


def _split_experts(model: Any) -> None:
    """One linear module per expert, named as in unsloth's copies: gate_up_projs.<i> and down_projs.<i>."""
    for layer in model.model.layers:
        fused = layer.mlp.experts
        count, hidden, doubled = fused.gate_up_proj.shape
        like = {"device": "meta", "dtype": fused.gate_up_proj.dtype}
        experts = torch.nn.Module()
        experts.gate_up_projs = torch.nn.ModuleList(torch.nn.Linear(hidden, doubled, **like) for _ in range(count))
        experts.down_projs = torch.nn.ModuleList(torch.nn.Linear(doubled // 2, hidden, **like) for _ in range(count))
        layer.mlp.experts = experts
