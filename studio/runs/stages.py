"""What can be told of all runs of a plan before its first one begins: whether each can go on from the one before it.

Knows configurations, saved adapters and what the datasets hold; it must not know how the first run is checked in full.
"""

import json
from dataclasses import dataclass

from studio.errors import RunFailed, StudioError
from studio.runs.materials import Source, gather
from studio.runs.plans import Plan
from studio.runs.registry import Runs, has_adapter
from training.contract import RunConfig, RunFolder, resolve_base_model
from training.doctor import examine
from training.preflight_report import FieldValue, Finding, Preflight, counts_of, planned_steps


@dataclass(frozen=True)
class Outlook:
    """What speaks against a plan's runs besides the check of its first one: against that one, and each later stage."""

    first: tuple[Finding, ...] = ()
    later: tuple[tuple[RunConfig, Preflight], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against starting."""
        return Preflight(findings=self.first).passed and all(stage.passed for _, stage in self.later)


@dataclass(frozen=True)
class _Adapter:
    """An adapter that a run saved or will save, by what one that goes on from it must fit."""

    run: str
    lora_r: int
    lora_alpha: float


def outlook(runs: Runs, source: Source, plan: Plan) -> Outlook:
    """What of a plan's runs the configurations and the data tell at once; nothing is encoded."""
    problems = [_findings(problem) for problem in start_problems(runs, plan)]
    if plan.kind != "chain":
        return Outlook(tuple({finding.code: finding for found in problems for finding in found}.values()))
    stages = zip(plan.configs[1:], problems[1:], strict=True)
    return Outlook(problems[0], tuple((config, _stage(source, config, found)) for config, found in stages))


def start_problems(runs: Runs, plan: Plan) -> list[StudioError | None]:
    """Why each run could not go on from the adapter that it names or the stage before leaves; None where it can.

    Without stacking an adapter is trained on as it is, so its r and alpha must be those of the run.
    """
    found: list[StudioError | None] = []
    before: _Adapter | None = None
    for config in plan.configs:
        problem: StudioError | None = None
        try:
            if plan.kind != "chain" or not found:
                before = _named(runs, config) if config.init_run else None
            if before is not None and not config.stack_adapter:
                _require_shape(config, before)
        except StudioError as error:
            problem = error
        found.append(problem)
        before = _left_by(config, before, config.name or config.preset)
    return found


def _named(runs: Runs, config: RunConfig) -> _Adapter:
    """The adapter of the run that a configuration names: there or to come, and of the same base."""
    run_id = config.init_run
    folder, before = runs.folder(run_id), runs.config(run_id)
    if resolve_base_model(before.base_model) != resolve_base_model(config.base_model):
        raise RunFailed("queue.error_other_base", run=run_id, theirs=before.base_model, ours=config.base_model)
    if runs.status(run_id).ended and not has_adapter(folder):
        raise RunFailed("queue.error_no_adapter", run=run_id)
    return _saved(folder) or _left_by(before, _named(runs, before) if before.init_run else None, run_id)


def _saved(folder: RunFolder) -> _Adapter | None:
    """As its file says, which tells more than the configuration: a stacked one holds the one below it too."""
    try:
        settings = json.loads((folder.adapter / "adapter_config.json").read_bytes())
        return _Adapter(folder.root.name, int(settings["r"]), float(settings["lora_alpha"]))
    except (OSError, ValueError, KeyError):
        return None


def _left_by(config: RunConfig, before: _Adapter | None, run: str) -> _Adapter:
    """What a run will save; on top of another it keeps its own alpha / r, over the rank of both."""
    rank = config.lora_r + (before.lora_r if before and config.stack_adapter else 0)
    return _Adapter(run, rank, config.lora_alpha * rank / config.lora_r)


def _require_shape(config: RunConfig, before: _Adapter) -> None:
    scale = config.lora_alpha / config.lora_r
    if (before.lora_r, before.lora_alpha / before.lora_r) == (config.lora_r, scale):
        return
    raise RunFailed(
        "worker.error_init_shape",
        run=before.run,
        lora_r=before.lora_r,
        lora_alpha=f"{before.lora_alpha:g}",
        wanted_r=config.lora_r,
        wanted_alpha=config.lora_alpha,
    )


def _findings(problem: StudioError | None) -> tuple[Finding, ...]:
    if problem is None:
        return ()
    fix: dict[str, FieldValue] = {"stack_adapter": True} if problem.key == "worker.error_init_shape" else {}
    values = {name: str(value) for name, value in problem.values.items()}
    return (Finding(code=problem.key, severity="error", values=values, fix=fix),)


def _stage(source: Source, config: RunConfig, problems: tuple[Finding, ...]) -> Preflight:
    """What the data and the doctor say of a later stage. Its remedies are another run's fields, so none is offered."""
    try:
        examples = gather(source, config).examples
    except StudioError as error:
        return _told(Preflight(), (*problems, *_findings(error)))
    counts = counts_of(examples)
    steps = planned_steps(config, counts["examples"]) if config.method == "sft" else None
    documents = source.articles(config.dataset)[0] if config.method != "sft" else 0
    known = Preflight(**counts, documents=documents, steps=steps)
    return _told(known, (*problems, *examine(config, known)))


def _told(known: Preflight, findings: tuple[Finding, ...]) -> Preflight:
    return known.model_copy(update={"findings": tuple(one.model_copy(update={"fix": {}}) for one in findings)})
