"""The model card of a run: what was really trained on what, how well it stuck, and how to ask it.

Every figure comes from the run's own files. It must not know how a model is loaded.
"""

import json
from pathlib import Path

from training.contract import RunConfig, RunFolder, RunStatus, replace_text

SETTINGS = (
    *("method", "lora_r", "lora_alpha", "lora_dropout", "learning_rate", "lr_scheduler_type", "warmup_steps"),
    *("num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length"),
    *("packing", "assistant_only_loss", "replay_share", "seed"),
)


def write_card(run: RunFolder, path: Path, *, merged: bool = False) -> None:
    """Write the card of a finished run as the README.md of its adapter, or of the merged model."""
    config, status = run.read_config(), run.read_status()
    assert status is not None  # the run has ended
    parts = (
        _front_matter(config, merged=merged),
        f"# {config.name or run.root.name}\n\n{_what(config, status)}",
        _trained(config, status),
        _settings(config),
        _probes(run),
        _asking(run, config, merged=merged),
    )
    replace_text(path, "\n\n".join(filter(None, parts)) + "\n")


def _front_matter(config: RunConfig, *, merged: bool) -> str:
    base = Path(config.base_model).name if Path(config.base_model).is_absolute() else config.base_model
    kind = "library_name: transformers" if merged else "library_name: peft\ntags:\n- lora"
    return f"---\nbase_model: {base}\nlanguage: ja\npipeline_tag: text-generation\n{kind}\n---"


def _what(config: RunConfig, status: RunStatus) -> str:
    version = f", version {config.dataset_version}" if config.dataset_version else ""
    amounts = {"facts": status.facts, "examples": status.examples, "documents": status.documents}
    counted = ", ".join(f"{number:,} {name}" for name, number in amounts.items() if number)
    replayed = f", {status.replayed:,} replayed" if status.replayed else ""
    end = f"{status.state} after {status.step:,} of {status.total_steps:,} steps"
    best = f"; the weights are those of step {status.best_step:,}" if status.best_step else ""
    return (
        f"A LoRA adapter of `{config.base_model}`, trained on the dataset `{config.dataset}`{version}"
        f" ({counted}{replayed}); {end}{best}."
    )


def _trained(config: RunConfig, status: RunStatus) -> str:
    """What really got an adapter, and what was really in 4 bits."""
    lines = [f"- {kind}: {number:,} modules" for kind, number in status.adapter_modules.items()]
    if status.trainable_parameters is not None:
        lines.append(f"- trainable parameters: {status.trainable_parameters:,}")
    if status.four_bit_share is not None:
        lines.append(f"- base parameters in 4 bits while training: {100 * status.four_bit_share:.1f} %")
    if status.base_repository not in ("", config.base_model):
        lines.append(f"- the base's weights are those of `{status.base_repository}`")
    if status.device:
        lines.append(f"- trained with {status.engine} on {status.device}")
    return "## What got an adapter\n\n" + "\n".join(lines) if lines else ""


def _settings(config: RunConfig) -> str:
    values = config.model_dump()
    return "## Settings\n\n" + "\n".join(f"- `{name}`: {values[name]}" for name in SETTINGS)


def _probes(run: RunFolder) -> str:
    """The score of each question set at the step whose weights were saved, beside the base's."""
    status = run.read_status()
    best = status.best_step if status else None
    records = run.read_probes()[0]
    last = {record.question_set: record for record in records if best is None or record.step <= best}
    first = {record.question_set: record for record in records if record.step == 0}
    if not last:
        return ""
    lines = ["| questions | asked | right before | right after |", "|---|---|---|---|"]
    for name, record in last.items():
        before = str(first[name].right) if name in first else "–"
        lines.append(f"| {name} | {record.asked} | {before} | {record.right} |")
    return "## Asked while training\n\n" + "\n".join(lines)


def rank_of(run: RunFolder) -> int:
    """The rank that the adapter really has: one on top of another has both."""
    rank: int = json.loads((run.adapter / "adapter_config.json").read_text("utf-8"))["r"]
    return rank


def _asking(run: RunFolder, config: RunConfig, *, merged: bool) -> str:
    name = run.root.name
    if merged:
        return "## Asking it\n\nThe adapter is in the weights.\n\n```\nvllm serve .\n```"
    command = f"vllm serve {config.base_model} --enable-lora --max-lora-rank {rank_of(run)} --lora-modules {name}=."
    text = (
        "In this folder. Ask with the prompt of the training: where there is a `chat_template.jinja` here, it stands in"
        " for the model's own; give it to vLLM as `--chat-template`."
    )
    return f"## Asking it\n\n{text}\n\n```\n{command}\n```"
