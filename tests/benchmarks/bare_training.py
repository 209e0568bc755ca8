"""A bare TRL script with the settings of a run: `python -m tests.benchmarks.bare_training RUN_FOLDER RESULT.jsonl`.

Everything that the worker does beside training is left out: no status, no metrics file, no probes, no checkpoints, no
checks. It takes the run's examples in the worker's order, so that the losses can be compared step by step.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from training import mixture
from training.contract import RunFolder, resolve_base_model

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class _Watch(TrainerCallback):
    """Writes a line for each step, with its loss."""

    def __init__(self, path: Path) -> None:
        self._lines = path.open("w", encoding="utf-8")

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss" in logs:
            self._lines.write(json.dumps({"loss": logs["loss"]}) + "\n")
            self._lines.flush()


def main(folder: RunFolder, result: Path) -> None:
    """Train without saving."""
    config = folder.read_config()
    base = resolve_base_model(config.base_model)
    set_seed(config.seed)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=quantization, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    data = mixture.load(folder, config, tokenizer)
    order = list(data.sampler(config.per_device_train_batch_size))
    rows = data.train.select(order).remove_columns("seq_lengths")
    watch = _Watch(result)
    trainer = SFTTrainer(
        model=model,
        args=_arguments(config, str(folder.root / "bare")),
        train_dataset=Dataset.from_dict(rows.to_dict()),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=config.lora_r, lora_alpha=config.lora_alpha, target_modules=LINEAR, task_type="CAUSAL_LM"
        ),
        callbacks=[watch],
    )
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # SFTTrainer makes them bf16
    trainer.train()


def _arguments(config: Any, output_dir: str) -> SFTConfig:
    return SFTConfig(
        output_dir=output_dir,
        per_device_train_batch_size=config.per_device_train_batch_size,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        max_grad_norm=config.max_grad_norm,
        optim=config.optim,
        max_length=config.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        loss_type="chunked_nll",
        train_sampling_strategy="sequential",
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]))
