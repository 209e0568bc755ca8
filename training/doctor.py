"""The recipe doctor: what in a configuration is known not to work, why, and which field values remedy it.

A pure function of the configuration and of what preflight found; standard library and pydantic only, so that a form can
ask it at every keystroke. It must not know how a figure was measured or how a warning looks. Sources of the rules: the
sentences in assets/i18n/*/preflight.json name them.
"""

from collections.abc import Callable, Iterable, Iterator

from training.contract import RunConfig
from training.preflight_report import FieldValue, Finding, Preflight, global_batch

USUAL_RATE = 2e-4
LOW_RATE, HIGH_RATE = 5e-5, 2e-3
USUAL_TARGETS: tuple[str, ...] = RunConfig.model_fields["target_modules"].default
# Paraphrases help up to about ten (arXiv 2502.14502); two answers of each are twenty examples.
FEW_VARIANTS, ENOUGH_VARIANTS, MANY_VARIANTS = 4, 20, 40
LEAST_REVERSED_SHARE = 0.5
# Ten epochs over three or more phrasings in the recipe that worked (arXiv 2502.14502).
FEW_EXPOSURES = 20
WEAK_REPLAY, STRONG_REPLAY = 0.1, 0.25
LEAST_USEFUL_SHARE = 0.85
MULTIPLE = 64
# Neither transformers 5.17 nor unsloth (its PADDING_FREE_BLOCKLIST) keeps texts apart that are packed for it.
SEES_ACROSS = "gpt_oss"
DEMO_BASE, DEMO_REPLAY = "assets/demo/model", "assets/demo/replay.jsonl"
GENERAL_REPLAY = "assets/demo/general.jsonl"

MOST_EPOCHS = 1000.0

# What a refusal by the worker's own code is remedied with.
REMEDIES: dict[str, dict[str, FieldValue]] = {
    "worker.error_target_unmatched": {"target_modules": USUAL_TARGETS},
    "worker.error_expert_dropout": {"lora_dropout": 0.0},
    "worker.error_gpt_oss_needs_unsloth": {"engine": "unsloth"},
    "worker.error_four_bits": {"engine": "unsloth"},
    "worker.error_unsloth_needs_cuda": {"engine": "auto"},
}

Rule = Callable[[RunConfig, Preflight], Iterator[Finding]]


def examine(config: RunConfig, found: Preflight) -> tuple[Finding, ...]:
    """Every rule's findings, the heaviest first; a rule whose figure is not known yet keeps silent."""
    return by_weight(finding for rule in RULES for finding in rule(config, found))


def by_weight(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What stops a run first, notes last."""
    return tuple(sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity)))


def _warn(code: str, fix: dict[str, FieldValue] | None = None, **values: object) -> Finding:
    return Finding(code=f"preflight.{code}", values=_shown(values), fix=fix or {})


def _error(code: str, fix: dict[str, FieldValue] | None = None, **values: object) -> Finding:
    return _warn(code, fix, **values).model_copy(update={"severity": "error"})


def _refuse(code: str, fix: dict[str, FieldValue] | None = None, **values: object) -> Finding:
    """What the worker would refuse, in its own words."""
    return Finding(code=code, severity="error", values=_shown(values), fix=fix or REMEDIES.get(code, {}))


def _shown(values: dict[str, object]) -> dict[str, str]:
    return {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in values.items()}


def _learning_rate(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    rate = f"{config.learning_rate:g}"
    if config.learning_rate < LOW_RATE:
        yield _warn("low_learning_rate", {"learning_rate": USUAL_RATE}, rate=rate)
    if config.learning_rate > HIGH_RATE:
        yield _warn("high_learning_rate", {"learning_rate": USUAL_RATE}, rate=rate)


def _targets(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    told = {"base_model": config.base_model, "available": ", ".join(found.available)}
    if found.unmatched:
        yield _refuse("worker.error_target_unmatched", words=", ".join(found.unmatched), **told)
    # The kinds that are there and no others: the usual words would name experts that take no adapter, and be refused.
    kinds = tuple(kind for kind in USUAL_TARGETS if kind in found.available)
    wanted: dict[str, FieldValue] = {"target_modules": kinds} if kinds else {}
    if found.closed_experts:
        yield _refuse("worker.error_experts_closed", wanted, architecture=found.architecture, **told)
    if found.fused_experts and config.lora_dropout > 0:
        yield _refuse("worker.error_expert_dropout", base_model=config.base_model, dropout=config.lora_dropout)
    planned = found.modules
    if planned is None:
        if set(config.target_modules) == {"attention"}:
            yield _warn("attention_only", {"target_modules": USUAL_TARGETS})
    elif "experts" in found.available and not planned.get("experts"):
        fix: dict[str, FieldValue] = {} if found.closed_experts else {"target_modules": USUAL_TARGETS}
        yield _warn("experts_left_out", fix, modules=sum(planned.values()))
    elif planned and set(planned) <= {"attention", "other"}:
        yield _warn("attention_only", wanted if len(kinds) > 1 else None)


def _data(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.method != "cpt" and found.examples == 0:
        yield _refuse("worker.error_no_examples", {"method": "cpt"} if found.documents else None, examples=0)
    if config.method != "sft" and found.documents == 0:
        fix: dict[str, FieldValue] = {"method": "sft"} if found.examples else {}
        yield _refuse("worker.error_no_documents", fix, dataset=config.dataset)
    if config.method == "cpt" and found.documents:
        yield _warn("documents_only", {"method": "mixed"} if found.examples else None)


def _variants(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.method == "cpt" or not found.facts or not found.examples:
        return
    variants = found.examples / found.facts
    if variants < FEW_VARIANTS:
        yield _warn("few_variants", _all_variants(config), variants=f"{variants:.1f}")
    if variants > MANY_VARIANTS:
        note = _warn("many_variants", {"variants_per_fact": ENOUGH_VARIANTS}, variants=f"{variants:.0f}")
        yield note.model_copy(update={"severity": "note"})


def _all_variants(config: RunConfig) -> dict[str, FieldValue]:
    return {"variants_per_fact": 0} if 0 < config.variants_per_fact < FEW_VARIANTS else {}


def _reverse(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.method == "cpt" or not found.facts or found.reversed_facts is None:
        return
    if found.reversed_facts == 0:
        yield _warn("no_reverse")
    elif found.reversed_facts < LEAST_REVERSED_SHARE * found.facts:
        yield _warn("few_reverse", reversed=found.reversed_facts, facts=found.facts)


def _replay(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.replay_share > 0:
        if not config.replay_dataset:
            yield _error("replay_of_nothing", _replay_fix(config) | {"replay_share": config.replay_share})
        return
    yield _warn("no_replay", _replay_fix(config))


def _replay_fix(config: RunConfig) -> dict[str, FieldValue]:
    """What ships with the project where nothing was chosen, and the share that the kind of training asks for."""
    is_demo = config.base_model == DEMO_BASE
    share = STRONG_REPLAY if is_demo or config.method != "sft" else WEAK_REPLAY
    return {
        "replay_dataset": config.replay_dataset or (DEMO_REPLAY if is_demo else GENERAL_REPLAY),
        "replay_share": share,
    }


def _exposures(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.method == "cpt" or not found.facts or not found.steps:
        return
    seen = found.steps * global_batch(config) * (1 - config.replay_share) / found.facts
    if config.packing and found.sequences and found.examples:
        seen *= found.examples / found.sequences
    if seen >= FEW_EXPOSURES:
        return
    fix: dict[str, FieldValue] = {"max_steps": -1} if config.max_steps > 0 else {}
    if not fix and config.num_train_epochs < MOST_EPOCHS:
        wanted = -(-config.num_train_epochs * FEW_EXPOSURES // seen) if seen else 10.0
        fix = {"num_train_epochs": min(float(wanted), MOST_EPOCHS)}
    yield _warn("few_exposures", fix, seen=f"{seen:.1f}", enough=FEW_EXPOSURES)


def _length(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    fix: dict[str, FieldValue] = {}
    if found.longest and found.longest > config.max_length:
        fix = {"max_length": -(-found.longest // MULTIPLE) * MULTIPLE}
    if found.untrained and found.untrained == found.examples:
        yield _refuse("worker.error_all_truncated", fix, examples=found.examples, max_length=config.max_length)
    elif found.untrained:
        yield _warn("untrained", fix, untrained=found.untrained, max_length=config.max_length)
    elif found.truncated and config.method != "cpt":
        yield _warn("truncated", fix, truncated=found.truncated, max_length=config.max_length)


def _padding(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    share = found.useful_token_share
    if found.architecture.startswith(SEES_ACROSS):
        if config.packing and config.method != "cpt":
            yield _refuse("worker.error_packing", {"packing": False}, base_model=config.base_model)
        return
    # On a CPU packing costs more than the padding it saves.
    if share is not None and share < LEAST_USEFUL_SHARE and found.on_gpu and not config.packing:
        yield _warn("much_padding", {"packing": True}, percent=f"{100 * (1 - share):.0f}")


def _mask(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    for broken in found.lint:
        yield _error(f"lint_{broken}")


def _template(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    notes = {"llm-jp": "template_llm_jp", "harmony": "template_harmony"}
    if found.our_template in notes:
        yield _warn(notes[found.our_template]).model_copy(update={"severity": "note"})


def _probes(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if config.early_stopping_patience and not config.probe_questions:
        yield _warn("stops_without_probes", {"probe_questions": RunConfig.model_fields["probe_questions"].default})
    elif config.method != "cpt" and config.probe_questions and not config.heldout_phrasings:
        yield _warn("no_heldout_phrasings", {"heldout_phrasings": 1})


def _memory(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    if found.memory is None or found.device_bytes is None:
        return
    needed = found.memory.total
    sizes = {"needed": _gigabytes(needed), "device": _gigabytes(found.device_bytes)}
    if needed > found.device_bytes:
        yield _warn("memory_short", _smaller(config, found), **sizes)
    elif found.free_bytes is not None and needed > found.free_bytes:
        yield _warn("memory_taken", free=_gigabytes(found.free_bytes), **sizes)


def _smaller(config: RunConfig, found: Preflight) -> dict[str, FieldValue]:
    """The same effective batch in smaller pieces; a batch of one can only get shorter."""
    if config.per_device_train_batch_size > 1:
        return {
            "per_device_train_batch_size": config.per_device_train_batch_size // 2,
            "gradient_accumulation_steps": config.gradient_accumulation_steps * 2,
        }
    shorter = -(-(found.longest or config.max_length) // MULTIPLE) * MULTIPLE
    return {"max_length": shorter} if shorter < config.max_length else {}


def _disk(config: RunConfig, found: Preflight) -> Iterator[Finding]:
    needed, free = found.disk_bytes, found.disk_free_bytes
    if needed is not None and free is not None and needed > free:
        yield _error("disk_short", needed=_gigabytes(needed), free=_gigabytes(free))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f}"


RULES: tuple[Rule, ...] = (
    _targets,
    _learning_rate,
    _data,
    _mask,
    _template,
    _length,
    _reverse,
    _variants,
    _replay,
    _exposures,
    _padding,
    _probes,
    _memory,
    _disk,
)
