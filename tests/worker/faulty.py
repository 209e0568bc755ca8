"""The worker, killed with -9 in the middle of a step: python -m tests.worker.faulty RUN_FOLDER STEP."""

import os
import signal
import sys
from typing import Any

from training import worker
from training.trainer import RunTrainer


def main(folder: str, step: str) -> int:
    """Run the folder up to the middle of that step."""
    training_step = RunTrainer.training_step

    def faulty(trainer: RunTrainer, *rest: Any) -> Any:
        if trainer.state.global_step + 1 == int(step):
            os.kill(os.getpid(), signal.SIGKILL)
        return training_step(trainer, *rest)

    RunTrainer.training_step = faulty  # type: ignore[method-assign]
    return worker.main([folder])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
