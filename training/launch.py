"""One run on several GPUs: the worker becomes `accelerate launch`, which starts it again once for each GPU.

It must not know what is trained.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from training.contract import RunConfig, RunFolder
from training.errors import RunError

# Set for the processes that accelerate starts, so that one that came alone does not launch again and again.
_LAUNCHED = "OBOE_LAUNCHED"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def rank() -> int:
    """The number of this process; process 0 alone writes the run's files."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The GPU of this machine that is this process's own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_wanted(config: RunConfig) -> bool:
    """Whether this process is to launch the ones that train.

    Raises:
        RunError: accelerate started another number of processes than was asked for.
    """
    several = config.num_processes > 1 or bool(config.accelerate_config_file)
    if several and _LAUNCHED not in os.environ and "RANK" not in os.environ:
        return True
    if config.num_processes > 1 and processes() != config.num_processes:
        raise RunError("worker.error_processes", wanted=config.num_processes, started=processes())
    return False


def become_launcher(folder: RunFolder, config: RunConfig) -> NoReturn:
    """Replace this process by `accelerate launch`; it keeps its pid, by which the UI knows the run.

    Raises:
        RunError: there are fewer GPUs than processes, or the configuration file is not there.
    """
    import torch

    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and gpus < config.num_processes and not config.accelerate_config_file:
        raise RunError("worker.error_few_gpus", wanted=config.num_processes, found=gpus)
    if config.accelerate_config_file and not Path(config.accelerate_config_file).expanduser().is_file():
        raise RunError("worker.error_accelerate_file", path=config.accelerate_config_file)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *_options(config)]
    _become([*launcher, "-m", "training.worker", str(folder.root)])


def end_with_launcher() -> None:
    """End this process when the one that launched it is gone: a run whose launcher was killed must not train on."""
    if processes() > 1 and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start_again() -> NoReturn:
    """Replace this process by the same command, with all its memory given back."""
    _become(sys.orig_argv)


def _options(config: RunConfig) -> list[str]:
    several = ["--num_processes", str(config.num_processes)] if config.num_processes > 1 else []
    if config.accelerate_config_file:
        return ["--config_file", str(Path(config.accelerate_config_file).expanduser()), *several]
    # --multi_gpu starts gloo processes too; without it, a machine without a GPU would train in one process.
    plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    return ["--multi_gpu", *several, *plain]


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *command[1:]], {**os.environ, _LAUNCHED: "1"})
