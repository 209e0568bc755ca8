"""What one press of Start queues: a run, a chain of runs that go on from one another, or a sweep over one field.

Knows how configurations follow from what was typed, not when runs start.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studio.errors import RunFailed
from studio.runs.presets import GROUPED, presets, run_config
from training.contract import RunConfig

MOST_RUNS = 24
_BETWEEN = re.compile(r"[\s、]+")
# What later runs of a chain take from the one before where nobody says otherwise.
SHARED = (
    "preset",
    "dataset",
    "dataset_version",
    "base_model",
    "engine",
    "heldout_phrasings",
    "heldout_fact_share",
    "seed",
    "report_to",
    "num_processes",
    "accelerate_config_file",
)
ADAPTER = ("target_modules", "lora_r", "lora_alpha", "lora_dropout")  # an adapter that is trained on keeps its shape
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Configurations in the order of their start."""

    configs: tuple[RunConfig, ...]
    kind: Literal["single", "chain", "sweep"] = "single"


def swept_fields() -> list[str]:
    """Fields that a sweep can go through: those that are one number."""
    return [name for name, field in RunConfig.model_fields.items() if field.annotation in (int, float)]


def planned(given: Values | Sequence[Values], common: Values) -> Plan:
    """The plan that is described: an object, several of them (a chain), or one with a list in a field (a sweep).

    `common` holds for every run and says less than what is given. An object alone whose preset names what comes after
    it is a chain, in a list of one it is a single run.
    """
    stages = with_next(given) if isinstance(given, Mapping) else given
    if not stages or not all(isinstance(stage, Mapping) for stage in stages):
        raise RunFailed("queue.error_no_stage")
    stages = [{**common, **stage} for stage in stages]
    lists = {name: values for stage in stages for name in swept_fields() if len(values := several(stage.get(name))) > 1}
    if not lists:
        return chain(stages)
    if len(lists) > 1 or len(stages) > 1:
        raise RunFailed("queue.error_one_field", fields=", ".join(lists))
    return sweep(stages[0], *next(iter(lists.items())))


def several(value: Any) -> list[Any]:
    """The values of a list, or of numbers typed one after another; one value, 1,000 for example, is a list of one."""
    if not isinstance(value, str):
        return list(value) if isinstance(value, list | tuple) else [value]
    typed = unicodedata.normalize("NFKC", value).strip()
    parts = [part.strip(",") for part in _BETWEEN.split(typed)]
    if len(parts) == 1 and not GROUPED.fullmatch(typed):
        parts = typed.split(",")
    return [part for part in parts if part]


def with_next(values: Values) -> list[Values]:
    """A run's values and those of the runs that its preset lets come after it.

    Such a preset's `stack_adapter` is the later run's, as in the form, unless the first one goes on from another too.
    """
    preset = presets().get(str(values.get("preset")))
    if preset is None or not preset.then:
        return [values]
    stacked = values.get("stack_adapter", preset.config.get("stack_adapter"))
    stages: list[Values] = [values if values.get("init_run") else {**values, "stack_adapter": False}]
    while preset is not None and preset.then and len(stages) < MOST_RUNS:
        stages.append({"preset": preset.then} | ({} if stacked is None else {"stack_adapter": stacked}))
        preset = presets().get(preset.then)
    return stages


def chain(stages: Sequence[Values]) -> Plan:
    """Runs of which each goes on from the adapter of the one before; one stage is a single run."""
    configs = [run_config(stages[0])]
    for stage in stages[1 : MOST_RUNS + 1]:
        configs.append(_stage_after(configs[-1], stage))
    return Plan(tuple(configs), "chain" if len(configs) > 1 else "single")


def _stage_after(previous: RunConfig, stage: Values) -> RunConfig:
    shared = {name: getattr(previous, name) for name in SHARED}
    config = run_config(shared | {name: value for name, value in stage.items() if value not in (None, "")})
    if config.base_model != previous.base_model:
        raise RunFailed("queue.error_chain_base", base_model=config.base_model, first=previous.base_model)
    changes: dict[str, Any] = {"name": config.name or previous.name}
    if not config.stack_adapter:
        changes |= {name: getattr(previous, name) for name in ADAPTER}
    return config.model_copy(update=changes)


def sweep(values: Values, field: str, swept: Sequence[Any]) -> Plan:
    """One run for each value of a field; each is called after its value."""
    stem = str(values.get("name") or values.get("preset") or "").strip()
    configs = {}
    for value in swept[: MOST_RUNS + 1]:
        config = run_config({**values, field: value})
        shown = f"{field}={getattr(config, field):.12g}"  # `:g` alone rounds a seed of seven digits
        configs[shown] = config.model_copy(update={"name": f"{stem[: 79 - len(shown)]} {shown}".strip()})
    if not 2 <= len(configs) <= MOST_RUNS:
        raise RunFailed("queue.error_sweep_values", field=field, values=len(swept), most=MOST_RUNS)
    return Plan(tuple(configs.values()), "sweep")
