"""What the training loop tells the outside while it runs: metrics, status, and whether it was asked to stop.

It must not know what is trained.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import MetricRecord, RunFolder
from training.errors import RunError
from training.memory import used_bytes
from training.nvidia import gpu_load
from training.report import Report

log = logging.getLogger(__name__)

# Steps over which the status's loss, the rate and the time left are averaged.
WINDOW = 20


class CountingCollator:
    """A data collator that counts the tokens (padding not included) of every batch that this process makes."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self._collate = collate
        self.tokens = 0

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate, and count."""
        self.tokens += sum(len(row["input_ids"]) for row in rows)
        return self._collate(rows)


class MetricsCallback(TrainerCallback):
    """Writes one MetricRecord per optimizer step, and one more line after each evaluation."""

    def __init__(
        self, folder: RunFolder, report: Report, collator: CountingCollator, learning_rate: float, elapsed_s: float = 0
    ) -> None:
        """`elapsed_s` is what the run had trained before it was resumed."""
        self._before_s = elapsed_s
        self._lines = folder.metrics.open("a", encoding="utf-8")
        self._report = report
        self._collator = collator
        self._peak_learning_rate = learning_rate
        self._started = time.monotonic()
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._left_out_s = 0.0
        self._half = False
        self._processes = 1
        # (when, tokens so far) after each of the latest steps; evaluations and probes are left out of the time.
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clocks."""
        self._started = time.monotonic() - self._before_s
        self._half = args.fp16
        self._processes = args.world_size
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
        self._refuse_ruin(state, loss, logs.get("grad_norm"))
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

    def _refuse_ruin(self, state: TrainerState, loss: float, grad_norm: float | None) -> None:
        """End the run before a checkpoint keeps what is ruined. A gradient that is not finite ruins one step before the
        loss, clipping makes it NaN; but for half precision, where the scaler leaves such a step out."""
        told = {"step": state.global_step, "learning_rate": self._peak_learning_rate}
        if not math.isfinite(loss):
            raise RunError("worker.error_loss_not_finite", loss=loss, **told)
        if grad_norm is not None and not math.isfinite(grad_norm) and not self._half:
            raise RunError("worker.error_gradient_not_finite", norm=grad_norm, **told)

    def _mark(self) -> None:
        self._marks.append((time.monotonic() - self._left_out_s, self._collator.tokens))

    def _window(self) -> tuple[float, int, int]:
        """Seconds, tokens and steps between the first and the last mark.

        Batches are dealt out in turn, so over some steps every process sees as many tokens as this one.
        """
        (began, tokens_before), (ended, tokens_after) = self._marks[0], self._marks[-1]
        return ended - began, (tokens_after - tokens_before) * self._processes, len(self._marks) - 1

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


# A curve needs no more points, and with few examples an evaluation takes longer than the epoch before it.
EVALUATIONS = 5


class StopCallback(TrainerCallback):
    """Ends the training after the step in which someone asked for it, and decides when a checkpoint is written.

    At a stop one is, so that the run can go on from there; not after the last step, since the adapter is saved right
    after it; and the one that falls on the end of an epoch waits for what is still asked there: evaluations draw random
    numbers, and a resumed run must not draw them again.
    """

    def __init__(self, stop_requested: Callable[[], bool], report: Report) -> None:
        self._stop_requested = stop_requested
        self._report = report
        self._save_is_due = False
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask once per step."""
        is_last = state.global_step >= state.max_steps
        if not is_last and agreed(self._stop_requested(), args):
            self.stopped = True
            self._report.update(state="stopping", step=state.global_step)
        control.should_training_stop |= self.stopped
        control.should_save = (control.should_save or self.stopped) and not is_last
        self._save_is_due = control.should_save and float(state.epoch or 0.5).is_integer()
        control.should_save &= not self._save_is_due

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Announce the evaluation, or spare it to somebody who waits for the stop."""
        stride = max(1, round(state.num_train_epochs / EVALUATIONS))
        is_due = round(state.epoch or 0) % stride == 0 or state.global_step >= state.max_steps
        control.should_evaluate &= is_due and not self.stopped
        control.should_save, self._save_is_due = self._save_is_due, False
        if control.should_evaluate:
            self._report.update(phase="evaluating", step=state.global_step)


class Probes(Protocol):
    """What has been found out about the steps so far (training.probes.ProbeCallback)."""

    best_step: int | None
    without_better: int


class WeightsFile(Protocol):
    """What is trained, as a file (training.adapters.AdapterFile)."""

    def write(self, path: Path) -> None:
        """Write it."""

    def read(self, path: Path) -> None:
        """Take it back."""


BEST_KEPT = 3


class BestCallback(TrainerCallback):
    """Keeps what is trained as it was at the step that probes found best, and ends the training when they have found
    none better `patience` times; 0 never ends it. It has to come after the probes.
    """

    def __init__(self, probes: Probes, folder: Path, patience: int, weights: WeightsFile) -> None:
        self._probes = probes
        self._folder = folder
        self._patience = patience
        self._weights = weights

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep or end."""
        if self._probes.best_step == state.global_step and state.is_world_process_zero:
            self._folder.mkdir(exist_ok=True)
            self._weights.write(self._path(state.global_step))
            # A killed run goes back to a checkpoint, and perhaps to what was best by then.
            for other in sorted(self._folder.glob("best-*"), key=lambda path: path.stat().st_mtime_ns)[:-BEST_KEPT]:
                other.unlink()
        if 0 < self._patience <= self._probes.without_better:
            log.info("no better probe since step %s: training ends", self._probes.best_step)
            control.should_training_stop = True

    def put_back(self) -> int | None:
        """Take back what was best; its step, or None where no probe has chosen one."""
        path = self._path(self._probes.best_step)
        if not path.is_file():
            return None
        self._weights.read(path)
        return self._probes.best_step

    def _path(self, step: int | None) -> Path:
        return self._folder / f"best-{step}.safetensors"


def agreed(wish: bool, args: TrainingArguments) -> bool:
    """Whether any of the processes that train together wishes it; all of them ask at the same place."""
    if args.world_size == 1:
        return wish
    wishes = torch.tensor(float(wish), device=args.device)
    torch.distributed.all_reduce(wishes, op=torch.distributed.ReduceOp.MAX)
    return bool(wishes)


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _gpu_load() -> float | None:
    if not torch.cuda.is_available():
        return None
    return gpu_load(str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid))
