"""How much memory a run will need by its parts, and how much a process holds; it must not know what is trained.

The estimate is arithmetic on a model's shape. Shapes: tokens = batch x seq of one micro-batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from training import architecture
from training.preflight_report import Memory

_process = psutil.Process()

# NF4 with double quantisation: half a byte, an 8-bit scale for each 64 weights and a 32-bit one for each 64 x 256
# (QLoRA, arXiv 2305.14314, section 3).
NF4_BYTES = 1 / 2 + 1 / 64 + 4 / (64 * 256)
# Two states of a byte each with a 32-bit scale for each 256 numbers (bitsandbytes' blockwise 8-bit AdamW), or of 4.
OPTIMIZER_BYTES = {"adamw_8bit": 2 + 2 * 4 / 256, "paged_adamw_8bit": 2 + 2 * 4 / 256, "adamw_torch": 8.0}
# Adapter and gradient are float32, whatever the base computes in (training/recipe.py).
ADAPTER_BYTES = 4 + 4
# Logit, its float32 copy, the log-softmax and the gradient of each (unsloth_zoo/fused_losses counts the same).
LOGIT_BYTES = 16
CHUNK_TOKENS = 256  # trl.trainer.sft_trainer's chunked_nll projects so many trained tokens at a time
FUSED_LOSS_BYTES = 4 * 2**30  # unsloth's fused loss takes half of what is free, and never more
# CUDA's context, cuBLAS' workspaces and what the allocator cannot reuse; torch itself on a CPU.
OVERHEAD_BYTES = 7 * 2**30 // 10


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory.

    `linear` lists (in, out, times) of all its linear modules: `times` is how often a token goes through it, which for
    an expert is a share.
    """

    four_bit_parameters: int
    other_parameters: int
    layers: int
    hidden: int
    vocab: int
    linear: Sequence[tuple[int, int, float]]


@dataclass(frozen=True)
class Load:
    """What a run asks of the device at once."""

    trainable: int
    optimizer: str
    tokens: int
    engine: str
    on_gpu: bool
    device_bytes: int  # 0 where nobody knows


def shape_of(model: Any) -> Shape:
    """The shape of a model that may be on the meta device; experts count for the share of tokens that they see."""
    settings = model.config.get_text_config()
    linear = architecture.linear_modules(model)
    four_bit = sum(module.weight.numel() for module in linear.values())
    total = sum(parameter.numel() for parameter in model.parameters())
    layers = settings.num_hidden_layers
    widths = [(module.in_features, module.out_features, _times(name, settings)) for name, module in linear.items()]
    widths += [
        (inside, outside, getattr(settings, "num_experts_per_tok", 1))
        for name, parameter in model.named_parameters()
        if name.split(".")[-2:-1] == ["experts"] and parameter.dim() == 3
        for _, inside, outside in [parameter.shape]
    ]
    return Shape(four_bit, total - four_bit, layers, settings.hidden_size, settings.vocab_size, widths)


def _times(name: str, settings: Any) -> float:
    if ".experts." not in name:
        return 1.0
    experts = getattr(settings, "num_local_experts", None) or getattr(settings, "num_experts", None) or 1
    return float(getattr(settings, "num_experts_per_tok", 1) / experts)


def used_bytes() -> int:
    """VRAM that torch holds on a CUDA machine (its cache included, as nvidia-smi counts it), else the resident set."""
    if torch.cuda.is_available():
        return torch.cuda.memory_reserved()
    return int(_process.memory_info().rss)


def estimate(shape: Shape, load: Load) -> Memory:
    """Peak bytes of a training step, by part."""
    width = 2 if load.on_gpu else 4  # a CPU computes in float32 (training/engines.py)
    weights = round(shape.four_bit_parameters * NF4_BYTES + shape.other_parameters * width)
    lora = load.trainable * ADAPTER_BYTES
    optimizer = round(load.trainable * OPTIMIZER_BYTES[load.optimizer])
    activations = _activations(shape, load, width)
    free = load.device_bytes - weights - lora - optimizer - activations
    return Memory(
        weights=weights,
        lora=lora,
        optimizer=optimizer,
        activations=activations,
        logits=_logits(shape, load, free),
        overhead=OVERHEAD_BYTES,
    )


def _activations(shape: Shape, load: Load, width: int) -> int:
    """What the backward pass needs of the layers.

    With checkpointing only each layer's input is kept, and one layer is computed again at a time (Korthikanti et al.
    2022, arXiv 2205.05198, section 5); unsloth moves the inputs to the host's memory but for the last ones. Attention
    scores are never whole in memory (SDPA). A module keeps its input, and its output and that one's gradient live at
    once. The largest 4-bit weight is unpacked for its multiplication.
    """
    all_layers = sum(times * (inside + 2 * outside) for inside, outside, times in shape.linear)
    all_layers += 4 * shape.hidden * shape.layers
    unpacked = max((inside * outside for inside, outside, _ in shape.linear), default=0) * width
    if not load.on_gpu:
        return round(load.tokens * all_layers * width) + unpacked
    kept = 2 if load.engine == "unsloth" else shape.layers
    return round(load.tokens * (kept * shape.hidden + all_layers / shape.layers) * width) + unpacked


def _logits(shape: Shape, load: Load, free: int) -> int:
    if load.engine == "unsloth":
        whole = load.tokens * shape.vocab * LOGIT_BYTES
        return max(0, min(whole, FUSED_LOSS_BYTES, free // 2))
    return min(CHUNK_TOKENS, load.tokens) * shape.vocab * LOGIT_BYTES
