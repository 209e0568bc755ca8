"""Writes a run's adapter into 16-bit weights, shard by shard where it can, and compares the two on logits.

It must not know who asked or where the result goes from here.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from training.errors import RunError

SIXTEEN_BITS = 2  # bytes a parameter
# Beside the weights: what the process itself takes and the largest matrix in float32.
SPARE_BYTES = 2 * 2**30
# Rounding to bf16 moves a few near ties; more than that is another model.
LEAST_AGREEMENT = 0.9
COPIED = (".json", ".jinja", ".model", ".txt")
_PREFIX = "base_model.model."
_INDEX = "model.safetensors.index.json"

Progress = Callable[[int, int], None]


def merge(base: Path, adapter: Path, target: Path, on_progress: Progress) -> None:
    """Write base plus adapter as a model of its own into `target`, in the base's own precision.

    One shard is in memory at a time where every adapted matrix is a tensor of the base; fused expert weights need the
    whole model. `on_progress` hears of shards. Raises RunError where the base's weights are quantised or the memory of
    this machine does not hold what it must.
    """
    _require_plain_weights(base)
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    deltas = _Deltas(load_file(adapter / "adapter_model.safetensors"), config)
    target.mkdir(parents=True, exist_ok=True)
    shards = sorted(base.glob("*.safetensors"))
    if config.get("target_parameters") or not shards:
        on_progress(0, 1)
        _merge_whole(base, adapter, target)
        on_progress(1, 1)
    else:
        # PEFT would pass over what it does not find, and the comparison with it.
        if foreign := sorted(deltas.names - set(_tensor_names(shards))):
            raise RunError("export.error_other_layout", base=base.name, module=foreign[0], number=len(foreign))
        for place, shard in enumerate(shards, 1):
            _merge_shard(shard, target / shard.name, deltas)
            on_progress(place, len(shards))
    _copy_rest(base, target)


def compare(base: Path, adapter: Path, merged: Path, prompts: list[list[int]]) -> dict[str, float]:
    """How alike the merged model and base plus adapter answer, over every place of the prompts.

    `top_agreement` is the share of places where both name the same next token, `largest_difference` that of logits.
    Empty where the memory does not hold a model in float32. Raises RunError where the two differ.
    """
    if not prompts or psutil.virtual_memory().available < 2 * weight_bytes(merged) + SPARE_BYTES:
        return {}
    wanted = _logits(_with_adapter(base, adapter), prompts)
    found = _logits(_load(merged), prompts)
    alike = sum(int((one.argmax(-1) == other.argmax(-1)).sum()) for one, other in zip(wanted, found, strict=True))
    places = sum(len(one) for one in wanted)
    largest = max(float((one - other).abs().max()) for one, other in zip(wanted, found, strict=True))
    if alike < LEAST_AGREEMENT * places:
        raise RunError("export.error_differs", share=f"{100 * alike / places:.0f}", largest=f"{largest:.2f}")
    return {"top_agreement": round(alike / places, 4), "largest_difference": round(largest, 4)}


def weight_bytes(folder: Path) -> int:
    """How large a model's weights are on disk."""
    return sum(file.stat().st_size for file in (*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")))


def _copy_rest(base: Path, target: Path) -> None:
    """The base's settings, but for the index of shards that are one file by now."""
    whole = (target / "model.safetensors").is_file() and not (base / "model.safetensors").is_file()
    for file in base.iterdir():
        is_stale = whole and file.name.endswith(".index.json")
        if file.is_file() and file.suffix in COPIED and not is_stale and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)


class _Deltas:
    """What an adapter adds to each matrix of its base, computed when it is asked for."""

    def __init__(self, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        self._tensors = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
        self._config = config
        self._modules = {
            name.removesuffix(".lora_A.weight") for name in self._tensors if name.endswith("lora_A.weight")
        }
        self.names = {f"{module}.weight" for module in self._modules}

    def of(self, name: str) -> torch.Tensor | None:
        """alpha / r * B A in float32, [out, in] (Hu et al. 2021, section 4.1), or None for a matrix without adapter."""
        if name not in self.names:
            return None
        module = name.removesuffix(".weight")
        down, up = (self._tensors[f"{module}.lora_{part}.weight"].float() for part in "AB")
        return self._scale(module, rank=down.shape[0]) * (up @ down)

    def _scale(self, module: str, rank: int) -> float:
        patterns: dict[str, float] = self._config.get("alpha_pattern") or {}
        own = next((alpha for name, alpha in patterns.items() if module.endswith(name)), None)
        alpha = float(self._config["lora_alpha"] if own is None else own)
        return alpha / (rank**0.5 if self._config.get("use_rslora") else rank)


def _require_plain_weights(base: Path) -> None:
    settings = json.loads((base / "config.json").read_text("utf-8"))
    if found := settings.get("quantization_config"):
        raise RunError("export.error_quantised_base", base=base.name, method=found.get("quant_method", "4 bit"))


def _tensor_names(shards: list[Path]) -> Iterator[str]:
    for shard in shards:
        with safe_open(shard, framework="pt") as tensors:
            yield from tensors.keys()


def _merge_shard(shard: Path, target: Path, deltas: _Deltas) -> None:
    merged = {}
    with safe_open(shard, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 - safe_open is no dict
            tensor = tensors.get_tensor(name)
            delta = deltas.of(name)
            merged[name] = tensor if delta is None else (tensor.float() + delta).to(tensor.dtype)
    save_file(merged, target, metadata={"format": "pt"})


def _merge_whole(base: Path, adapter: Path, target: Path) -> None:
    """Let PEFT merge in memory: it knows how adapters of fused experts are laid out."""
    needed, free = int(1.1 * weight_bytes(base)) + SPARE_BYTES, psutil.virtual_memory().available
    if free < needed:
        raise RunError("export.error_memory", needed=f"{needed / 2**30:.0f}", free=f"{free / 2**30:.0f}")
    model = _with_adapter(base, adapter, dtype="auto").merge_and_unload(safe_merge=True)
    model.save_pretrained(target)


def _with_adapter(base: Path, adapter: Path, dtype: Any = torch.float32) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(_load(base, dtype), adapter)


def _load(folder: Path, dtype: Any = torch.float32) -> Any:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map={"": "cpu"})
    return model.eval()


@torch.inference_mode()
def _logits(model: Any, prompts: list[list[int]]) -> list[torch.Tensor]:
    """The logits of each prompt, [seq, vocabulary]."""
    return [model(input_ids=torch.tensor([ids])).logits[0] for ids in prompts]
