"""The training recipe, read from top to bottom: base, data, adapter, trainer, save.

It must not know how it is started or who reads its report. `choose_engine` has to run before this module is imported:
unsloth patches what is imported here.
"""

import importlib.util
import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from transformers import PrinterCallback, set_seed
from trl import SFTConfig

from training import checkpoints, engines, launch, lora, mixture
from training.adapters import AdapterFile, Below, attach, find_start, go_on_from, save_adapter, to_float32
from training.callbacks import BestCallback, CountingCollator, MetricsCallback, StopCallback
from training.chat_formats import our_template
from training.contract import RunConfig, RunFolder
from training.errors import RunError, Stopped
from training.examiner import Examiner
from training.probes import ProbeCallback
from training.report import Report
from training.trainer import RunTrainer

log = logging.getLogger(__name__)

# Each logger, the packages of which one is enough, and the variable that says where it writes.
LOGGERS = {
    "tensorboard": (("tensorboard", "tensorboardX"), "TENSORBOARD_LOGGING_DIR"),
    "trackio": (("trackio",), "TRACKIO_DIR"),
    "wandb": (("wandb",), "WANDB_DIR"),
}
# What mixture counts and the status tells.
COUNTED = (
    *("facts", "examples", "documents", "blocks", "replayed"),
    *("trained_tokens", "truncated", "untrained", "useful_token_share"),
)


def train(
    folder: RunFolder, config: RunConfig, engine: engines.UsedEngine, report: Report, stop: Callable[[], bool]
) -> bool:
    """Train the run's adapter and save it; True where somebody stopped it midway.

    A run that has a whole checkpoint goes on from it. Raises RunError for what a person can act on, Stopped where the
    stop came before the first step.
    """
    _require_loggers(config, folder)
    mixture.require_texts(folder, config)
    find_start(folder, config)  # refused before a base is fetched and loaded for it
    checkpoint, elapsed_s = _last_checkpoint(folder, report)

    set_seed(config.seed)
    base = _load(config, engine, report, stop)

    data = mixture.load(folder, config, base.tokenizer)
    report.update(**{name: getattr(data, name) for name in COUNTED})

    targets = lora.resolve_targets(base.model, config.target_modules, base_model=config.base_model)
    start = find_start(folder, config, base.fingerprint)
    model = attach(base, targets, config, start)

    collator = CountingCollator(data.collator(model, base.tokenizer))
    trainer = RunTrainer(
        order=data.sampler(_step_size(config)),
        model=model,
        args=_arguments(config, engine, folder, report),
        train_dataset=data.train,
        eval_dataset=data.evaluation,
        processing_class=base.tokenizer,
        data_collator=collator,
    )
    # SFTTrainer turns the adapter of a quantised base to bf16, in which an update of 2e-4 is often rounded away.
    to_float32(model)
    below = go_on_from(model, start, stacked=config.stack_adapter) if start else Below()
    report.update(adapter_modules=lora.count_adapters(model), trainable_parameters=below.trained_numbers(model))

    metrics = MetricsCallback(folder, report, collator, config.learning_rate, elapsed_s)
    probes = ProbeCallback(folder, Examiner(base, stop), report, metrics.leave_out)
    best = BestCallback(probes, folder.checkpoints, config.early_stopping_patience, AdapterFile(model))
    stopper = StopCallback(stop, report)
    # The metrics are in metrics.jsonl; worker.log is for what a person reads after a failure.
    trainer.remove_callback(PrinterCallback)
    for callback in (below, *([metrics] if launch.rank() == 0 else []), probes, best, stopper):
        trainer.add_callback(callback)
    _unless(stop)
    report.update(phase="compiling" if engine == "unsloth" else "training")
    trainer.train(resume_from_checkpoint=checkpoint)

    if launch.rank() == 0:
        report.update(phase="saving", best_step=None if stopper.stopped else best.put_back())
        _save(model, config, targets, base, folder)
    return stopper.stopped


def _save(model: Any, config: RunConfig, targets: lora.Targets, base: engines.LoadedBase, folder: RunFolder) -> None:
    """The adapter, and the template of ours where one stands in for the base's own: whoever serves it must ask so."""
    save_adapter(model, config, targets, folder.adapter, base.fingerprint)
    if our_template(base.tokenizer):
        (folder.adapter / "chat_template.jinja").write_text(str(base.tokenizer.chat_template), "utf-8")


def _last_checkpoint(folder: RunFolder, report: Report) -> tuple[str | None, float]:
    """Where the run goes on from, and the seconds that it had trained by then; its records end there too."""
    checkpoint = checkpoints.last_whole(folder.checkpoints)
    step = checkpoints.step_of(checkpoint) if checkpoint else 0
    elapsed_s = checkpoints.cut_records(folder, step) if launch.rank() == 0 else 0.0
    report.update(state="running", step=step, resumed_from_step=step or None)
    return str(checkpoint) if checkpoint else None, elapsed_s


def _require_loggers(config: RunConfig, folder: RunFolder) -> None:
    """See to it that the loggers can be had, and write into the run's folder unless somebody said otherwise."""
    for logger in config.report_to:
        packages, variable = LOGGERS[logger]
        if not any(map(importlib.util.find_spec, packages)):
            raise RunError("worker.error_logger_missing", logger=logger, package=packages[0])
        os.environ.setdefault(variable, str(folder.root / "logs"))


def _load(
    config: RunConfig, engine: engines.UsedEngine, report: Report, stop: Callable[[], bool]
) -> engines.LoadedBase:
    report.update(phase="downloading")
    try:
        base_folder = engines.locate(config.base_model, engine, report.downloaded, stop)
    except RunError:
        _unless(stop)
        raise
    _unless(stop)
    report.update(phase="loading")
    base = engines.load_base(
        config.base_model, engine=engine, for_training=True, folder=base_folder, max_length=config.max_length
    )
    _unless(stop)
    report.update(
        engine=base.engine, device=base.device, base_repository=base.repository, four_bit_share=base.four_bit_share
    )
    return base


def _step_size(config: RunConfig) -> int:
    """Sequences of one optimizer step as configured: it stays when they are divided otherwise."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * launch.processes()


def _arguments(config: RunConfig, engine: engines.UsedEngine, folder: RunFolder, report: Report) -> SFTConfig:
    on_cuda = torch.cuda.is_available()
    dtype = engines.compute_dtype()
    # Smaller than configured where memory ran out before.
    batch_size = report.status.per_device_train_batch_size or config.per_device_train_batch_size
    accumulation = report.status.gradient_accumulation_steps or config.gradient_accumulation_steps
    report.update(per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation)
    return SFTConfig(
        output_dir=str(folder.checkpoints),
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=config.optim,
        max_length=config.max_length,
        # Sequences come encoded, labelled, cut and packed.
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        # chunked: the head is computed on trained tokens only. unsloth brings a fused loss of its own.
        loss_type="nll" if engine == "unsloth" else "chunked_nll",
        eval_strategy="epoch",  # RunTrainer drops it where nothing is held out
        prediction_loss_only=True,
        save_steps=config.save_steps,
        logging_steps=1,
        # A loss that is not a number must be seen, not replaced by the mean.
        logging_nan_inf_filter=False,
        report_to=list(config.report_to) or "none",
        run_name=config.name or folder.root.name,
        project="oboe",
        disable_tqdm=True,
        seed=config.seed,
        use_cpu=not on_cuda,
        bf16=dtype is torch.bfloat16,
        fp16=dtype is torch.float16,
        gradient_checkpointing=on_cuda,
        dataloader_pin_memory=on_cuda,
    )


def _unless(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped
