"""What the training loop tells the outside while it runs: metrics, status, and whether it was asked to stop.

It must not know what is trained.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import MetricRecord, RunFolder
from training.errors import RunError
from training.memory import used_bytes
from training.nvidia import gpu_load
from training.report import Report

# Steps over which the status's loss, the rate and the time left are averaged.
WINDOW = 20


class CountingCollator:
    """A data collator that counts the tokens (padding not included) of every batch it makes."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self._collate = collate
        self.tokens = 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate, and count."""
        self.tokens += sum(len(row["input_ids"]) for row in rows)
        return self._collate(rows)


class MetricsCallback(TrainerCallback):
    """Writes one MetricRecord per optimizer step, and one more line after each evaluation."""

    def __init__(self, folder: RunFolder, report: Report, collator: CountingCollator, learning_rate: float) -> None:
        self._lines = folder.metrics.open("a", encoding="utf-8")
        self._report = report
        self._collator = collator
        self._peak_learning_rate = learning_rate
        self._started = time.monotonic()
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._left_out_s = 0.0
        # (when, tokens so far) after each of the latest steps; evaluations and probes are left out of the time.
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clocks."""
        self._started = time.monotonic()
        self._mark()
        self._report.update(total_steps=state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the step, or the evaluation, that was logged."""
        logs = logs or {}
        if "loss" in logs:
            self._step(state, logs)
        elif "eval_loss" in logs:
            self._write(state, eval_loss=_finite(logs["eval_loss"]))
            self._report.update(phase="training", eval_loss=_finite(logs["eval_loss"]))
            self.leave_out(logs.get("eval_runtime", 0.0))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the file."""
        self._lines.close()

    def leave_out(self, seconds: float) -> None:
        """Count seconds that were no training neither into the rate nor into the time left."""
        self._left_out_s += seconds

    def _step(self, state: TrainerState, logs: dict[str, float]) -> None:
        loss = logs["loss"]
        if not math.isfinite(loss):
            raise RunError(
                "worker.error_loss_not_finite",
                loss=loss,
                step=state.global_step,
                learning_rate=self._peak_learning_rate,
            )
        self._mark()
        seconds, tokens, steps = self._window()
        self._losses.append(loss)
        self._write(
            state,
            loss=loss,
            learning_rate=logs.get("learning_rate"),
            grad_norm=_finite(logs.get("grad_norm")),
            tokens_per_s=round(tokens / seconds, 1) if seconds else None,
            memory_bytes=used_bytes(),
            gpu_load=_gpu_load(),
            eta_s=round((state.max_steps - state.global_step) * seconds / steps, 1) if steps else None,
        )
        self._report.step(
            phase="training",
            step=state.global_step,
            total_steps=state.max_steps,
            train_loss=round(sum(self._losses) / len(self._losses), 6),
        )

    def _mark(self) -> None:
        self._marks.append((time.monotonic() - self._left_out_s, self._collator.tokens))

    def _window(self) -> tuple[float, int, int]:
        """Seconds, tokens and steps between the first and the last mark."""
        (began, tokens_before), (ended, tokens_after) = self._marks[0], self._marks[-1]
        return ended - began, tokens_after - tokens_before, len(self._marks) - 1

    def _write(self, state: TrainerState, **values: Any) -> None:
        record = MetricRecord(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            elapsed_s=round(time.monotonic() - self._started, 3),
            **values,
        )
        self._lines.write(record.model_dump_json(exclude_none=True) + "\n")
        self._lines.flush()


class StopCallback(TrainerCallback):
    """Ends the training after the step in which someone asked for it, without an evaluation or a checkpoint."""

    def __init__(self, stop_requested: Callable[[], bool], report: Report) -> None:
        self._stop_requested = stop_requested
        self._report = report
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask once per step; the last step needs no checkpoint either, since the adapter is saved right after it."""
        if not self.stopped and state.global_step < state.max_steps and self._stop_requested():
            self.stopped = True
            self._report.update(state="stopping", step=state.global_step)
        control.should_training_stop |= self.stopped
        control.should_save &= not control.should_training_stop

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Announce the evaluation, or spare it to somebody who waits for the stop."""
        control.should_evaluate &= not self.stopped
        if control.should_evaluate:
            self._report.update(phase="evaluating", step=state.global_step)


def _gpu_load() -> float | None:
    if not torch.cuda.is_available():
        return None
    return gpu_load(str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid))


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return value if value is not None and math.isfinite(value) else None
