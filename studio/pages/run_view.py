"""One run as HTML; it must not know how runs are started."""

from collections.abc import Iterator

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
from training.contract import MetricRecord, RunConfig, RunStatus


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
    """What is never assumed: what is trained, whose weights were loaded, what is in 4 bits, and what got an adapter."""
    parts = [*_trained(status, locale), *_happened(status, locale)]
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


def _trained(status: RunStatus, locale: str) -> Iterator[str]:
    """How much of what is trained, and what of it had to be cut."""
    counts = {name: getattr(status, name) for name in ("facts", "examples", "documents", "replayed", "blocks")}
    told = [text(f"training_page.trained_{name}", locale, number=f"{n:,}") for name, n in counts.items() if n]
    if status.useful_token_share is not None:
        told.append(text("training_page.trained_useful", locale, share=f"{100 * status.useful_token_share:.0f}"))
    if told:
        yield text("training_page.trained", locale, parts=" · ".join(told))
    if status.truncated:
        numbers = {"truncated": f"{status.truncated:,}", "untrained": f"{status.untrained or 0:,}"}
        yield text("training_page.trained_cut", locale, **numbers)


def _happened(status: RunStatus, locale: str) -> Iterator[str]:
    """What the run did by itself on its way."""
    if status.resumed_from_step:
        yield text("training_page.went_on", locale, step=f"{status.resumed_from_step:,}")
    if status.out_of_memory_retries:
        batch, passes = status.per_device_train_batch_size, status.gradient_accumulation_steps
        yield text(
            "training_page.went_smaller", locale, number=status.out_of_memory_retries, batch=batch, passes=passes
        )
    if status.best_step:
        yield text("training_page.best_saved", locale, step=f"{status.best_step:,}")
