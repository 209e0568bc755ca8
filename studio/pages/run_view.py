"""One run and the summary before a start as HTML; it must not know how runs are started."""

import math
from collections.abc import Sequence

from studio.i18n import text
from studio.pages.markup import (
    bar,
    duration_text,
    element,
    facts_line,
    figure,
    model_name,
    notice,
    size_text,
    words,
)
from studio.runs.registry import RunSummary
from training.contract import MetricRecord, RunConfig, RunStatus, TrainingExample

# Under it LoRA hardly learns facts, over it training tends to break (arXiv 2502.14502, "LoRA Without Regret").
LOW_LEARNING_RATE, HIGH_LEARNING_RATE = 5e-5, 2e-3


def planned_steps(config: RunConfig, trained: int) -> int:
    """Optimizer steps of a run over this many examples."""
    if config.max_steps > 0:
        return config.max_steps
    batches = math.ceil(trained / config.per_device_train_batch_size)
    return math.ceil(math.ceil(batches / config.gradient_accumulation_steps) * config.num_train_epochs)


def start_summary(config: RunConfig, examples: Sequence[TrainingExample], locale: str) -> str:
    """What a start would train: facts, examples, steps; and what is likely to go wrong."""
    trained = [example for example in examples if example.split == "train"]
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
    steps = planned_steps(config, len(trained))
    figures = [
        ("training_page.figure_facts", f"{len({example.fact_id for example in trained}):,}"),
        ("training_page.figure_examples", f"{len(trained):,}"),
        ("training_page.figure_heldout", f"{len(examples) - len(trained):,}"),
        ("training_page.figure_steps", f"{steps:,}"),
        ("training_page.figure_seen", f"{steps * batch / len(trained):,.1f}" if trained else "–"),
    ]
    return facts_line([(text(key, locale), value) for key, value in figures]) + _warnings(config, examples, locale)


def _warnings(config: RunConfig, examples: Sequence[TrainingExample], locale: str) -> str:
    found = []
    if config.learning_rate < LOW_LEARNING_RATE:
        found.append("training_page.warn_low_rate")
    if config.learning_rate > HIGH_LEARNING_RATE:
        found.append("training_page.warn_high_rate")
    if set(config.target_modules) == {"attention"}:
        found.append("training_page.warn_attention_only")
    if examples and not any(example.kind == "reverse" for example in examples):
        found.append("training_page.warn_no_reverse")
    return "".join(notice(text(key, locale), "warning") for key in found)


def run_panel(name: str, status: RunStatus, config: RunConfig, last: MetricRecord | None, locale: str) -> str:
    """Where a run stands and what was measured in it."""
    state = words(state_word(status, locale), f"oboe-chip {tone(status)}")
    title = element("div", words(name, name="h3") + state + _phase(status, locale), "oboe-title")
    origin = text(
        "training_page.origin",
        locale,
        dataset=f"{config.dataset} {config.dataset_version.rpartition('@')[0]}".strip(),
        base=model_name(config.base_model, locale),
        rate=figure(config.learning_rate),
        rank=config.lora_r,
    )
    body = title + words(origin, "oboe-muted", "p")
    if status.reason:
        body += notice(status.reason, "failed" if status.state in ("failed", "crashed") else "info")
    if not status.ended:
        body += bar(_share(status))
    return body + facts_line(_figures(status, last, locale)) + _measured(status, config, locale)


def state_word(run: RunStatus | RunSummary, locale: str) -> str:
    """The word for a state. What was stopped before its first step has saved nothing."""
    nothing = run.state == "stopped" and run.step == 0
    return text("training_page.state_stopped_unsaved" if nothing else f"training_page.state_{run.state}", locale)


def tone(status: RunStatus | RunSummary) -> str:
    """The class of a state's chip."""
    if status.state in ("failed", "crashed"):
        return "failed"
    saved = status.state in ("finished", "stopped") and status.step > 0
    return "tuned" if saved or status.state in ("running", "stopping") else ""


def _phase(status: RunStatus, locale: str) -> str:
    if status.ended or status.phase in (None, "training"):
        return ""
    sentence = text(f"training_page.phase_{status.phase}", locale)
    if status.phase == "downloading" and status.downloaded_bytes is not None:
        total = size_text(status.download_bytes) if status.download_bytes else "–"
        sentence += f" {size_text(status.downloaded_bytes)} / {total}"
    return words(sentence, "oboe-muted")


def _share(status: RunStatus) -> float | None:
    if status.phase == "downloading" and status.download_bytes:
        return (status.downloaded_bytes or 0) / status.download_bytes
    return status.step / status.total_steps if status.phase == "training" and status.total_steps else None


def _figures(status: RunStatus, last: MetricRecord | None, locale: str) -> list[tuple[str, str]]:
    unknown = "–" if status.ended else text("common.measuring", locale)
    figures = [("step", f"{status.step:,} / {status.total_steps:,}" if status.total_steps else unknown)]
    figures.append(("loss", figure(last.loss if last else status.train_loss) if last or status.train_loss else unknown))
    figures.append(("learning_rate", figure(last.learning_rate) if last else unknown))
    if status.ended:
        elapsed = last.elapsed_s if last else None
        figures.append(("elapsed", duration_text(elapsed, locale) if elapsed is not None else "–"))
    else:
        eta = last.eta_s if last else None
        figures.append(("eta", duration_text(eta, locale) if eta is not None else unknown))
    speed = last.tokens_per_s if last else None
    figures.append(("speed", f"{speed:,.0f}" if speed is not None else unknown))
    memory = last.memory_bytes if last else None
    figures.append(("memory", size_text(memory) if memory is not None else unknown))
    return [(text(f"training_page.figure_{name}", locale), value) for name, value in figures]


def _measured(status: RunStatus, config: RunConfig, locale: str) -> str:
    """What is never assumed: whose weights were loaded, what is really in 4 bits, and what really got an adapter."""
    parts = []
    if status.base_repository not in ("", config.base_model):
        parts.append(text("training_page.loaded_from", locale, repository=status.base_repository))
    if status.four_bit_share is not None:
        parts.append(text("training_page.four_bits", locale, share=f"{100 * status.four_bit_share:.1f}"))
    if status.adapter_modules:
        kinds = " · ".join(f"{kind} {number:,}" for kind, number in status.adapter_modules.items())
        parts.append(text("training_page.adapters", locale, kinds=kinds))
    if status.trainable_parameters is not None:
        parts.append(text("training_page.trainable", locale, number=f"{status.trainable_parameters:,}"))
    if status.device:
        parts.append(text("training_page.device", locale, device=status.device, engine=status.engine or "–"))
    return element("ul", "".join(words(part, name="li") for part in parts), "oboe-measured") if parts else ""
