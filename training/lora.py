"""Which modules and parameters of a model get an adapter, per kind, and what really got one.

Names that match nothing are an error here, because PEFT and unsloth pass over them in silence. It must not know how
the adapter is trained.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.contract import RunConfig
from training.errors import RunError

KINDS = ("attention", "mlp", "experts", "other")
# The form's default: whatever of these exists. Any other choice is meant word by word.
DEFAULT_WORDS: tuple[str, ...] = RunConfig.model_fields["target_modules"].default

_MLP_PARENTS = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "shared_expert", "shared_experts")


@dataclass(frozen=True)
class Targets:
    """What gets an adapter, by full name: linear modules, and fused expert parameters (`[experts, in, out]`)."""

    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    suffixes: tuple[str, ...]
    parameter_suffixes: tuple[str, ...]

    def count(self) -> dict[str, int]:
        """How many of each kind."""
        return _count((*self.modules, *self.parameters))


def kind_of(name: str) -> str:
    """The kind of a module or parameter, from its full name."""
    parents = name.split(".")[:-1]
    if "experts" in parents:
        return "experts"
    if any("attn" in parent or "attention" in parent for parent in parents):
        return "attention"
    is_router = name.rsplit(".", 1)[-1] in ("router", "gate", "shared_expert_gate")
    if not is_router and any(parent in _MLP_PARENTS for parent in parents):
        return "mlp"
    return "other"


def resolve_targets(model: Any, words: Sequence[str], *, base_model: str = "") -> Targets:
    """Find what the words name: a kind (attention, mlp, experts), all, or the architecture's own names.

    `all` leaves out the output head and routers. Raises RunError for a word that matches nothing; the default words
    together mean whatever of them exists.
    """
    modules, parameters = _adaptable(model)
    everything = (*modules, *parameters)
    found: set[str] = set()
    for word in words:
        matched = {name for name in everything if _matches(word, name)}
        if not matched and tuple(words) != DEFAULT_WORDS:
            raise RunError(
                "worker.error_target_unmatched", word=word, base_model=base_model, available=_available(everything)
            )
        found |= matched
    if not found:
        raise RunError(
            "worker.error_targets_unmatched",
            words=", ".join(words),
            base_model=base_model,
            available=_available(everything),
        )
    chosen = tuple(name for name in modules if name in found)
    chosen_parameters = tuple(name for name in parameters if name in found)
    return Targets(chosen, chosen_parameters, _suffixes(chosen, modules), _suffixes(chosen_parameters, parameters))


def count_adapters(model: Any) -> dict[str, int]:
    """Modules and parameters of a PEFT model that carry a LoRA adapter, per kind."""
    names: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(getattr(module, "lora_A", None), torch.nn.ModuleDict) or not module.lora_A:
            continue
        parameter = getattr(module, "parameter_name", None)
        # PEFT wraps a fused parameter's module once per parameter: `experts.base_layer` holds the second one.
        names.append(f"{name.replace('.base_layer', '')}.{parameter}" if parameter else name)
    return _count(names)


def trainable_parameters(model: Any) -> int:
    """How many numbers the optimizer will change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _adaptable(model: Any) -> tuple[list[str], list[str]]:
    """Names of the linear modules (head left out) and of the fused expert weights."""
    head = model.get_output_embeddings()
    modules = [
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    ]
    parameters = [
        name
        for name, parameter in model.named_parameters()
        if name.split(".")[-2:-1] == ["experts"] and parameter.dim() == 3
    ]
    return modules, parameters


def _matches(word: str, name: str) -> bool:
    if word == "all":
        return kind_of(name) != "other"
    if word in KINDS:
        return kind_of(name) == word
    return name == word or name.endswith(f".{word}") or f".{word}." in f".{name}"


def _suffixes(chosen: Sequence[str], every: Sequence[str]) -> tuple[str, ...]:
    """The shortest name endings that match the chosen and nothing else: they go into the adapter's configuration.

    Full names would be right as well, but other programs (vLLM) know modules by their last name.
    """
    chosen_names = set(chosen)
    found: set[str] = set()
    for name in chosen:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            suffix = ".".join(parts[-length:])
            # A number alone is no name; PEFT would take it for a layer.
            if suffix.isdigit():
                continue
            if suffix in found or all(
                other in chosen_names for other in every if other == suffix or other.endswith(f".{suffix}")
            ):
                found.add(suffix)
                break
    return tuple(sorted(found))


def _available(names: Iterable[str]) -> str:
    """What a person could have asked for."""
    kinds = [kind for kind in KINDS if _count(names).get(kind)]
    leaves = sorted({name.rsplit(".", 1)[-1] for name in names} - {str(number) for number in range(1024)})
    return ", ".join([*kinds, *leaves])


def _count(names: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(KINDS, 0)
    for name in names:
        counts[kind_of(name)] += 1
    return {kind: count for kind, count in counts.items() if count}
