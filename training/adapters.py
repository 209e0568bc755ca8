"""A run's adapter: put on a base, gone on from another run's, saved; it must not know how it is trained.

A run that trains on top of another's adapter holds both in one adapter of the summed rank, whose lower rows are frozen:
    (B_new A_new + B_below A_below) x = [B_new B_below] [A_new; A_below] x
That is exact, loads like any adapter in PEFT, vLLM and our server, and needs one active adapter only: unsloth's kernels
refuse two, and PEFT's cannot be combined afterwards on expert parameters.
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training import engines, lora
from training.checkpoints import WEIGHTS, reach_disk
from training.contract import BASE_FILE, RunConfig, RunFolder
from training.errors import RunError
from training.serve_adapters import check_adapter


@dataclass(frozen=True)
class Start:
    """The adapter of another run that this one goes on from."""

    run: str
    folder: Path
    lora_r: int
    scale: float


def find_start(folder: RunFolder, config: RunConfig, fingerprint: str = "") -> Start | None:
    """The adapter that the configuration names, or None; runs are folders side by side.

    It needs no model; without the base's fingerprint it is not known whether the weights are those of the adapter's.

    Raises:
        RunError: it is not there, belongs to another base, or has another shape than the one that trains it on.
    """
    if not config.init_run:
        return None
    adapter = RunFolder(folder.root.parent / Path(config.init_run).name).adapter
    check_adapter(config.init_run, adapter, config.base_model, fingerprint)
    settings = json.loads((adapter / "adapter_config.json").read_bytes())
    start = Start(config.init_run, adapter, settings["r"], settings["lora_alpha"] / settings["r"])
    if not config.stack_adapter and (start.lora_r, start.scale) != (config.lora_r, config.lora_alpha / config.lora_r):
        raise RunError(
            "worker.error_init_shape",
            run=config.init_run,
            lora_r=start.lora_r,
            lora_alpha=settings["lora_alpha"],
            wanted_r=config.lora_r,
            wanted_alpha=config.lora_alpha,
        )
    return start


def attach(base: engines.LoadedBase, targets: lora.Targets, config: RunConfig, start: Start | None = None) -> Any:
    """The base with a fresh LoRA adapter on the targets, with room for the one below; it must really be on all."""
    if targets.parameters and config.lora_dropout > 0:
        raise RunError("worker.error_expert_dropout", base_model=config.base_model, dropout=config.lora_dropout)
    if start and config.stack_adapter:
        rank = config.lora_r + start.lora_r
        alpha = config.lora_alpha * rank / config.lora_r  # alpha / r stays what was asked for
        config = config.model_copy(update={"lora_r": rank, "lora_alpha": int(alpha) if alpha % 1 == 0 else alpha})
    model = _attach_unsloth(base, targets, config) if base.engine == "unsloth" else _attach_peft(base, targets, config)
    attached = lora.count_adapters(model)
    if attached != targets.count():
        raise RunError("worker.error_adapters_differ", expected=_told(targets.count()), attached=_told(attached))
    to_float32(model)
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


def to_float32(model: Any) -> None:
    """Make what is trained float32: in bf16 an update of 2e-4 is often rounded away."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


@dataclass
class Below(TrainerCallback):
    """The frozen part of a stacked adapter, as views of the parameters and what they must hold.

    Gradients are masked, so that they count neither in the norm nor in the optimizer's state; weight decay moves a
    parameter without any gradient too, so the part is put back after every step.
    """

    parts: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A run that goes on keeps what it was begun on: the other run may have been trained on meanwhile."""
        self.parts = [(view, view.clone()) for view, _ in self.parts]

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put it back."""
        with torch.no_grad():
            for view, kept in self.parts:
                view.copy_(kept)

    def trained_numbers(self, model: Any) -> int:
        """How many numbers of the model change."""
        return lora.trainable_parameters(model) - sum(kept.numel() for _, kept in self.parts)


def go_on_from(model: Any, start: Start, *, stacked: bool) -> Below:
    """Fill an attached adapter with the other run's: all of it, or its lower rows, which are frozen.

    Raises RunError where the other adapter is on modules that this one is not on, or the other way round.
    """
    saved, own = load_file(start.folder / WEIGHTS), _weights(model)
    if missing := sorted(saved.keys() - own.keys() if stacked else saved.keys() ^ own.keys()):
        raise RunError("worker.error_init_targets", run=start.run, number=len(missing), first=missing[0])
    below = Below()
    if not stacked:
        AdapterFile(model).read(start.folder / WEIGHTS)
        return below
    modules = dict(model.named_modules())
    for name in own:
        path, matrix = name.removesuffix(".weight").rsplit(".", 1)
        layer = modules[path]
        parameter = getattr(layer, matrix)[model.active_adapter].weight
        view, mask = _lower_part(parameter.data, layer, matrix, start.lora_r)
        kept = torch.zeros_like(view)
        if name in saved:
            kept = saved[name].view(_split(saved[name], layer, matrix)).to(view)
            kept = kept * (start.scale / layer.scaling[model.active_adapter]) if matrix == "lora_B" else kept
        below.parts.append((view, kept))
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
    below.on_optimizer_step(None, None, None)  # type: ignore[arg-type]
    return below


def _split(tensor: torch.Tensor, layer: Any, matrix: str) -> tuple[int, ...]:
    """The shape that shows a matrix's rank apart: A [experts, r, in], B [out, r, experts]; PEFT joins them (layer.py,
    ParamWrapper.get_delta_weight). An ordinary module is one expert."""
    experts = getattr(layer, "num_experts", 1)
    return (experts, -1, tensor.shape[1]) if matrix == "lora_A" else (tensor.shape[0], -1, experts)


def _lower_part(weight: torch.Tensor, layer: Any, matrix: str, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A view of the last `rank` rows of A or columns of B, and a mask of the weight's shape that is 0 there."""
    mask = torch.ones_like(weight)
    shape = _split(weight, layer, matrix)
    mask.view(shape)[:, -rank:] = 0
    return weight.view(shape)[:, -rank:], mask


def _weights(model: Any) -> dict[str, torch.Tensor]:
    """The active adapter's tensors under the names of its file."""
    return get_peft_model_state_dict(model, adapter_name=model.active_adapter, save_embedding_layers=False)


class AdapterFile:
    """The active adapter of a model as one file of tensors: of a checkpoint, or kept while training goes on."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def write(self, path: Path) -> None:
        """Complete or not at all."""
        unfinished = path.with_name(path.name + ".tmp")
        save_file({name: tensor.contiguous() for name, tensor in _weights(self._model).items()}, unfinished)
        os.replace(unfinished, path)

    def read(self, path: Path) -> None:
        """Replace every tensor of the adapter; they keep their type."""
        weights = load_file(path)
        if weights.keys() != _weights(self._model).keys():
            raise ValueError(f"{path.name} holds other tensors than the adapter")
        set_peft_model_state_dict(self._model, weights, adapter_name=self._model.active_adapter)


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
    reach_disk(unfinished)  # the checkpoints are deleted next
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
