"""TRL's SFTTrainer as a run needs it: the order of examples is the run's own, and a checkpoint is whole or not there.

It must not know what is trained. Loaded after the engine: unsloth patches what is imported here.
"""

from pathlib import Path
from typing import Any

from torch.utils.data import Sampler
from transformers import Trainer
from trl import SFTTrainer

from training import checkpoints
from training.adapters import AdapterFile


class RunTrainer(SFTTrainer):
    """SFTTrainer whose checkpoints hold the adapter only, and appear under their names when they are complete.

    `order` gives the indices of an epoch, depending on nothing but the seed and `set_epoch`: a resumed run draws the
    same order again, whatever happened to the generators meanwhile.
    """

    def __init__(self, *, order: Sampler[int], **arguments: Any) -> None:
        if arguments["eval_dataset"] is None:
            arguments["args"].eval_strategy = "no"
        super().__init__(**arguments)
        self._order = order
        self._unfinished: str | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    def _run_epoch(self, *, epoch: int, **arguments: Any) -> None:
        self._order.set_epoch(epoch)  # accelerate does not reach through its own samplers everywhere
        super()._run_epoch(epoch=epoch, **arguments)

    def _get_output_dir(self, trial: Any) -> str:
        return self._unfinished or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.state.log_history.clear()  # metrics.jsonl has it; here it would grow with every step
        folder = Path(self.args.output_dir)
        self._unfinished = str(folder / checkpoints.UNFINISHED)
        try:
            Trainer._save_checkpoint(self, model, trial)  # SFTTrainer's own, and unsloth's, write a model card first
        finally:
            self._unfinished = None
        self.accelerator.wait_for_everyone()  # each process writes the state of its own random numbers
        if self.is_world_process_zero():
            checkpoints.publish(folder / checkpoints.UNFINISHED / f"checkpoint-{self.state.global_step}", folder)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # The tokenizer and the arguments, which Trainer adds, are the base's and the configuration's.
        self.model.save_pretrained(output_dir, save_embedding_layers=False)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        AdapterFile(self.model).read(Path(resume_from_checkpoint) / checkpoints.WEIGHTS)
