"""A 4-bit base of random weights at full size: `python -m tests.benchmarks.random_base MODEL FOLDER [--tiny]`.

Written as the engines read quantised copies of the Hub: bitsandbytes' packed NF4 with double quantisation, a shard a
layer, gpt-oss's experts as one linear module each with their router in `router.linear`. Nothing is ever whole in 16
bits, neither in memory nor on disk. The tokenizer is the tests' stand-in, filled up to the model's vocabulary so that
every id can be written.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import quantize_4bit
from safetensors.torch import save_file
from transformers import AutoTokenizer

from tests.worker.layouts import FULL_SIZE, write_configuration
from tests.worker.test_data import metaspace
from tests.worker.tiny import make_tokenizer
from training import architecture, engines

# What makes a base small and leaves it what it is.
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_VOCABULARY = 1024
SPREAD = 0.02  # transformers' initializer_range


def configuration_of(model: str, *, tiny: bool) -> dict[str, Any]:
    """The model's configuration, as its quantised copy would carry it."""
    configuration = FULL_SIZE[model] | (TINY | {"vocab_size": TINY_VOCABULARY} if tiny else {})
    dtype = str(engines.compute_dtype()).removeprefix("torch.")
    if tiny and "head_dim" in configuration:
        configuration |= {"num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 4}
    quantization = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": dtype,
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": ["lm_head", "router"],
    }
    return configuration | {"dtype": dtype, "quantization_config": quantization}


def write_tokenizer(folder: Path, *, harmony: bool, size: int) -> dict[str, int | None]:
    """A tokenizer of `size` tokens beside the configuration; the ids that the model's configuration repeats."""
    (make_tokenizer() if harmony else metaspace()).save_pretrained(folder)
    path = folder / "tokenizer.json"
    written = json.loads(path.read_text("utf-8"))
    vocabulary = written["model"]["vocab"]
    names = ["<pad>", *(f"~{number}" for number in range(size))]
    if isinstance(vocabulary, dict):
        names = [name for name in names if name not in vocabulary][: size - len(vocabulary)]
        vocabulary |= {name: len(vocabulary) + place for place, name in enumerate(names)}
    else:
        vocabulary += [[name, -100.0] for name in names[: size - len(vocabulary)]]
    path.write_text(json.dumps(written, ensure_ascii=False), "utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.pad_token_id is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
        tokenizer.save_pretrained(folder)
    assert len(tokenizer) == size
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}


def write_base(model: str, folder: Path, *, tiny: bool) -> Path:
    """The whole base in `folder`."""
    torch.manual_seed(0)
    configuration = configuration_of(model, tiny=tiny)
    write_configuration(folder, configuration)
    harmony = configuration["model_type"] == architecture.GPT_OSS
    ids = write_tokenizer(folder, harmony=harmony, size=configuration["vocab_size"])
    write_configuration(folder, configuration | ids)
    places: dict[str, str] = {}
    for number, shard in enumerate(shards(architecture.empty_model(folder, model))):
        name = f"model-{number:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(shard, name)
    total = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return folder


def shards(empty: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Random tensors of all parameters of a model on the meta device, a layer at a time."""
    packed = {f"{name}.weight" for name in architecture.linear_modules(empty)}
    groups: dict[str, list[str]] = {}
    for name, _ in empty.named_parameters():
        parts = name.split(".")
        groups.setdefault(parts[2] if parts[1] == "layers" else "ends", []).append(name)
    for names in groups.values():
        shard: dict[str, torch.Tensor] = {}
        for name in names:
            values = random_values(name, tuple(empty.get_parameter(name).shape))
            stored = name.replace(".router.", ".router.linear.")  # as unsloth's copies name it
            shard |= four_bits(stored, values) if name in packed else {stored: values.cpu()}
        yield shard


def random_values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """What a model that is about to be pre-trained would hold: matrices at random, norms one, the rest nothing."""
    like: dict[str, Any] = {
        "dtype": engines.compute_dtype(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    if len(shape) > 1:
        return torch.randn(shape, **like).mul_(SPREAD)
    return torch.ones(shape, **like) if name.endswith("norm.weight") else torch.zeros(shape, **like)


def four_bits(name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
    """A weight and its statistics under the names of bitsandbytes' Linear4bit."""
    packed, state = quantize_4bit(values, blocksize=64, compress_statistics=True, quant_type="nf4")
    statistics = state.as_dict(packed=True)
    return {name: packed.cpu()} | {f"{name}.{key}": value.cpu().clone() for key, value in statistics.items()}


if __name__ == "__main__":
    write_base(sys.argv[1], Path(sys.argv[2]), tiny="--tiny" in sys.argv[3:])
