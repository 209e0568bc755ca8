"""Which modules and parameters of a model get an adapter, per kind, and what really got one.

Names that match nothing are an error here, because PEFT and unsloth pass over them in silence. It must not know how
the adapter is trained.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training import architecture
from training.contract import RunConfig
from training.errors import RunError

KINDS = ("attention", "mlp", "experts", "other")
# The form's default: whatever of these exists. Any other choice is meant word by word.
DEFAULT_WORDS: tuple[str, ...] = RunConfig.model_fields["target_modules"].default

_MLP_PARENTS = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "shared_expert", "shared_experts")
_ROUTERS = {"router", "gate", "shared_expert_gate"}


@dataclass(frozen=True)
class Targets:
    """What gets an adapter, by full name: linear modules, and fused expert parameters (`[experts, in, out]`).

    `unmatched` are words that name nothing; `closed` are expert weights that the words name and that no adapter here
    fits. Either one stops a run. `available` are the kinds and names that could be asked for.
    """

    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    suffixes: tuple[str, ...]
    parameter_suffixes: tuple[str, ...]
    unmatched: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    available: tuple[str, ...] = ()

    def count(self) -> dict[str, int]:
        """How many of each kind."""
        return _count((*self.modules, *self.parameters))


@dataclass(frozen=True)
class Plan:
    """What adapters would be, told from a configuration alone: numbers per kind, and the base that carries them.

    `four_bit_share` is of the body, without embedding and head.
    """

    targets: Targets
    modules: dict[str, int]
    trainable: dict[str, int]
    base_parameters: int
    body_parameters: int
    four_bit_share: float


def kind_of(name: str) -> str:
    """The kind of a module or parameter, from its full name."""
    parts = name.split(".")
    parents = parts[:-1]
    if "experts" in parents:
        return "experts"
    if any("attn" in parent or "attention" in parent for parent in parents):
        return "attention"
    if not _ROUTERS.intersection(parts) and any(parent in _MLP_PARENTS for parent in parents):
        return "mlp"
    return "other"


def plan(folder: Path, words: Sequence[str], lora_r: int, *, base_model: str = "") -> Plan:
    """Count adapters of rank `lora_r` on the model that `folder`'s config.json describes; nothing is loaded.

    Words that match nothing stand in the plan's targets instead of raising. Raises RunError for a configuration that
    cannot be read.
    """
    return plan_for(architecture.empty_model(folder, base_model or str(folder)), words, lora_r)


def plan_for(model: Any, words: Sequence[str], lora_r: int) -> Plan:
    """The same for a model that was built already, on the meta device or not."""
    targets = find_targets(model, words)
    trainable = dict.fromkeys(KINDS, 0)
    for name in targets.modules:
        module = model.get_submodule(name)
        trainable[kind_of(name)] += lora_r * (module.in_features + module.out_features)
    for name in targets.parameters:
        experts, first, second = model.get_parameter(name).shape
        trainable[kind_of(name)] += experts * lora_r * (first + second)
    return Plan(
        targets=targets,
        modules=targets.count(),
        trainable={kind: number for kind, number in trainable.items() if number},
        base_parameters=sum(parameter.numel() for parameter in model.parameters()),
        body_parameters=architecture.body_parameters(model),
        four_bit_share=architecture.planned_four_bit_share(model),
    )


def find_targets(model: Any, words: Sequence[str]) -> Targets:
    """Find what the words name: a kind (attention, mlp, experts), all, or the architecture's own names.

    `all` leaves out the output head and routers. The default words together mean whatever of them exists.
    """
    modules, parameters, closed = _adaptable(model)
    everything = (*modules, *parameters, *closed)
    matches = {word: {name for name in everything if _matches(word, name)} for word in words}
    found: set[str] = set().union(*matches.values())
    strict = tuple(words) != DEFAULT_WORDS or not found
    chosen = tuple(name for name in modules if name in found)
    chosen_parameters = tuple(name for name in parameters if name in found)
    return Targets(
        chosen,
        chosen_parameters,
        _suffixes(chosen, modules),
        _suffixes(chosen_parameters, parameters),
        unmatched=tuple(word for word in words if strict and not matches[word]),
        closed=tuple(name for name in closed if name in found),
        available=_available((*modules, *parameters)),
    )


def resolve_targets(model: Any, words: Sequence[str], *, base_model: str = "") -> Targets:
    """`find_targets`, refusing what would leave a wish unfulfilled in silence.

    Raises:
        RunError: a word matches nothing, or it names experts of an architecture whose experts cannot be adapted here.
    """
    targets = find_targets(model, words)
    told = {"base_model": base_model, "available": ", ".join(targets.available)}
    if targets.unmatched:
        raise RunError("worker.error_target_unmatched", words=", ".join(targets.unmatched), **told)
    if targets.closed:
        raise RunError("worker.error_experts_closed", architecture=model.config.model_type, **told)
    return targets


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


def _adaptable(model: Any) -> tuple[list[str], list[str], list[str]]:
    """Names of the linear modules (head left out), of gpt-oss's fused expert weights, and of any other's.

    Only gpt-oss's are known to come out right: other architectures transpose them, and a loader that packs theirs into
    4 bits takes their shape away.
    """
    held = [(name, weight.dim()) for name, weight in model.named_parameters() if name.split(".")[-2:-1] == ["experts"]]
    modules = list(architecture.linear_modules(model))
    if model.config.model_type == architecture.GPT_OSS:
        return modules, [name for name, dimensions in held if dimensions == 3], []
    return modules, [], [name for name, _ in held]


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


def _available(names: Sequence[str]) -> tuple[str, ...]:
    """What a person could have asked for; an expert's number is no name."""
    leaves = {next(part for part in reversed(name.split(".")) if not part.isdigit()) for name in names}
    return (*_count(names), *sorted(leaves))


def _count(names: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(KINDS, 0)
    for name in names:
        counts[kind_of(name)] += 1
    return {kind: count for kind, count in counts.items() if count}
