"""The training recipe, read from top to bottom: base, examples, adapter, trainer, save.

It must not know how it is started or who reads its report. `choose_engine` has to run before this module is imported:
unsloth patches what is imported here.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, set_seed
from trl import SFTConfig, SFTTrainer

from training import data, engines, lora
from training.callbacks import CountingCollator, MetricsCallback, StopCallback
from training.contract import BASE_FILE, RunConfig, RunFolder, TrainingExample
from training.errors import RunError, Stopped
from training.report import Report
from training.sampling import LengthBatches

log = logging.getLogger(__name__)

# Held-out phrasings that an evaluation reads: enough for a curve, and cheap beside an epoch.
EVALUATED_EXAMPLES = 128


class LengthBatchedTrainer(SFTTrainer):
    """SFTTrainer with little padding."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> LengthBatches:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthBatches([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size)


def train(
    folder: RunFolder, config: RunConfig, engine: engines.UsedEngine, report: Report, stop: Callable[[], bool]
) -> bool:
    """Train the run's adapter and save it; True where somebody stopped it midway.

    Raises RunError for what a person can act on, Stopped where the stop came before the first step.
    """
    trained, heldout = _examples(folder)
    report.update(state="running", examples=len(trained), facts=len({example.fact_id for example in trained}))

    set_seed(config.seed)
    base = _load(config, engine, report, stop)

    encoded = _encode(base, trained, config)
    evaluated = _encode(base, heldout, config) if heldout else None
    report.update(trained_tokens=encoded.trained_tokens, truncated=encoded.truncated, untrained=encoded.untrained)

    targets = lora.resolve_targets(base.model, config.target_modules, base_model=config.base_model)
    model = attach(base, targets, config)
    report.update(adapter_modules=lora.count_adapters(model), trainable_parameters=lora.trainable_parameters(model))
    log.info("adapters on %s", report.status.adapter_modules)

    trainer = LengthBatchedTrainer(
        model=model,
        args=_arguments(config, engine, folder, evaluate=evaluated is not None),
        train_dataset=_dataset(encoded),
        eval_dataset=_dataset(evaluated) if evaluated else None,
        processing_class=base.tokenizer,
    )
    # SFTTrainer turns the adapter of a quantised base to bf16, in which an update of 2e-4 is often rounded away.
    _to_float32(model)
    trainer.data_collator = collator = CountingCollator(trainer.data_collator)
    stopper = StopCallback(stop, report)
    # The metrics are in metrics.jsonl; worker.log is for what a person reads after a failure.
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(MetricsCallback(folder, report, collator, config.learning_rate))
    trainer.add_callback(stopper)
    _unless(stop)
    report.update(phase="compiling" if engine == "unsloth" else "training")
    trainer.train()

    report.update(phase="saving")
    save_adapter(model, config, targets, folder.adapter, base.fingerprint)
    return stopper.stopped


def _examples(folder: RunFolder) -> tuple[list[TrainingExample], list[TrainingExample]]:
    """The examples to train on, and the held-out phrasings to evaluate."""
    examples = folder.read_examples()
    trained = [example for example in examples if example.split == "train"]
    if not trained:
        raise RunError("worker.error_no_examples", examples=len(examples))
    return trained, [example for example in examples if example.split == "heldout_phrasing"][:EVALUATED_EXAMPLES]


def _load(
    config: RunConfig, engine: engines.UsedEngine, report: Report, stop: Callable[[], bool]
) -> engines.LoadedBase:
    def downloaded(done_bytes: int, total_bytes: int) -> None:
        report.step(downloaded_bytes=done_bytes, download_bytes=total_bytes)

    report.update(phase="downloading")
    try:
        base_folder = engines.locate(config.base_model, engine, downloaded, stop)
    except RunError:
        _unless(stop)
        raise
    _unless(stop)
    report.update(phase="loading")
    base = engines.load_base(
        config.base_model, engine=engine, for_training=True, folder=base_folder, max_length=config.max_length
    )
    _unless(stop)
    report.update(engine=base.engine, device=base.device, four_bit_share=base.four_bit_share)
    return base


def attach(base: engines.LoadedBase, targets: lora.Targets, config: RunConfig) -> Any:
    """The base with a fresh LoRA adapter on the targets; it must really be on all of them."""
    if targets.parameters and config.lora_dropout > 0:
        raise RunError("worker.error_expert_dropout", base_model=config.base_model, dropout=config.lora_dropout)
    model = _attach_unsloth(base, targets, config) if base.engine == "unsloth" else _attach_peft(base, targets, config)
    attached = lora.count_adapters(model)
    if attached != targets.count():
        raise RunError("worker.error_adapters_differ", expected=_told(targets.count()), attached=_told(attached))
    _to_float32(model)
    return model


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {number}" for kind, number in counts.items()) or "0"


def _attach_peft(base: engines.LoadedBase, targets: lora.Targets, config: RunConfig) -> Any:
    return get_peft_model(
        base.model,
        LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=list(targets.suffixes),
            target_parameters=list(targets.parameter_suffixes) or None,
            task_type="CAUSAL_LM",
        ),
    )


def _attach_unsloth(base: engines.LoadedBase, targets: lora.Targets, config: RunConfig) -> Any:
    from unsloth import FastLanguageModel

    # unsloth widens and narrows lists of names by rules of its own; a pattern it takes as it is. Plain leaf names are
    # the way its fast kernels are meant to be reached, and mean the same in both.
    names: list[str] | str = list(targets.suffixes)
    if any("." in suffix for suffix in targets.suffixes):
        names = r"(?:.*\.)?(?:" + "|".join(suffix.replace(".", r"\.") for suffix in targets.suffixes) + ")"
    return FastLanguageModel.get_peft_model(
        base.model,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=names,
        # None would let unsloth look for experts by itself.
        target_parameters=list(targets.parameter_suffixes),
        bias="none",
        use_gradient_checkpointing="unsloth",
        random_state=config.seed,
        max_seq_length=config.max_length,
    )


def _encode(base: engines.LoadedBase, examples: list[TrainingExample], config: RunConfig) -> data.EncodedExamples:
    encoded = data.encode_examples(
        base.tokenizer, examples, config.max_length, assistant_only_loss=config.assistant_only_loss
    )
    if not encoded.rows:
        raise RunError("worker.error_all_truncated", examples=len(examples), max_length=config.max_length)
    return encoded


def _arguments(config: RunConfig, engine: engines.UsedEngine, folder: RunFolder, *, evaluate: bool) -> SFTConfig:
    on_cuda = torch.cuda.is_available()
    dtype = engines.compute_dtype()
    return SFTConfig(
        output_dir=str(folder.checkpoints),
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=config.optim,
        max_length=config.max_length,
        packing=config.packing,
        packing_strategy="bfd",
        eval_packing=False,
        # Rows come tokenized, labelled and cut; only packing still rearranges them.
        dataset_kwargs={"skip_prepare_dataset": not config.packing},
        # chunked: the head is computed on trained tokens only. unsloth brings a fused loss of its own.
        loss_type="nll" if engine == "unsloth" else "chunked_nll",
        eval_strategy="epoch" if evaluate else "no",
        prediction_loss_only=True,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=1,
        # A loss that is not a number must be seen, not replaced by the mean.
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
        use_cpu=not on_cuda,
        bf16=dtype is torch.bfloat16,
        fp16=dtype is torch.float16,
        gradient_checkpointing=on_cuda,
        dataloader_pin_memory=on_cuda,
    )


def _dataset(encoded: data.EncodedExamples) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [row.input_ids for row in encoded.rows],
            "labels": [row.labels for row in encoded.rows],
        }
    )


def save_adapter(model: Any, config: RunConfig, targets: lora.Targets, folder: Path, fingerprint: str) -> None:
    """Write the adapter in PEFT's format, complete or not at all; it names its base as the configuration does.

    BASE_FILE beside it holds the fingerprint of the base's weights.
    """
    settings = model.peft_config[model.active_adapter]
    settings.base_model_name_or_path = config.base_model
    settings.target_modules = set(targets.suffixes)
    unfinished = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    # "auto" would ask the Hub whether the vocabulary has grown; it never does here.
    model.save_pretrained(unfinished, save_embedding_layers=False)
    # PEFT's model card is an empty form with this machine's paths.
    (unfinished / "README.md").unlink(missing_ok=True)
    (unfinished / BASE_FILE).write_text(json.dumps({"fingerprint": fingerprint}) + "\n", "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)


def _to_float32(model: Any) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def _unless(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped
