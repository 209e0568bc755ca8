"""The process of one run: python -m training.worker RUN_FOLDER.

It answers for the status file from the first moment to the last, whatever happens in between; it must not know the
recipe. stdout and stderr belong to whoever spawned it, as does worker.log.
"""

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from training import launch
from training.card import write_card
from training.checkpoints import discard, discard_unfinished
from training.contract import RunConfig, RunFolder
from training.errors import RunError, Stopped
from training.report import Report

log = logging.getLogger("training.worker")


def main(arguments: list[str]) -> int:
    """Run the folder's training to its end; the exit status is 0 where an adapter was wanted and nothing failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stdout)
    _quieten_libraries()
    launch.end_with_launcher()
    log.info("begins")  # studio/runs/last_words.py looks for it
    folder = RunFolder(Path(arguments[0]).resolve())
    report = Report(folder, writes=launch.rank() == 0)
    stop = _stop_requested(folder)
    try:
        config = _read(folder)
        stopped = _train(folder, config, report, stop)
    except Stopped:
        log.info("stopped before the first step")
        report.end("stopped")
        return int(launch.processes() > 1)  # the others may not have seen it yet, and wait: a failure ends them
    except RunError as error:
        log.error("%s", error)
        report.end("failed", reason=str(error), reason_code=error.code, reason_values=error.values)
        return 1
    except Exception as error:
        log.exception("the run failed")
        _retry_with_less(error, folder, report)
        known = _sentence_for(error, folder, report)
        discard_unfinished(folder)
        report.end("failed", reason=str(known), reason_code=known.code, reason_values=known.values)
        return 1
    else:
        report.end("stopped" if stopped else "finished")
        log.info("%s", report.status.state)
        if launch.rank() == 0:
            _clear_up(folder, stopped=stopped)
    return 0


def _clear_up(folder: RunFolder, *, stopped: bool) -> None:
    """After the last word, without which the run would go on from its checkpoints: delete these, and put the model card
    beside the adapter. No run fails for the want of one."""
    try:
        if not stopped:
            discard(folder.checkpoints)
        write_card(folder, folder.adapter / "README.md")
    except (OSError, ValueError, KeyError):
        log.exception("there may be no model card")


def _train(folder: RunFolder, config: RunConfig, report: Report, stop: Callable[[], bool]) -> bool:
    report.update(phase="loading")
    # Both imports load gigabytes of libraries; a stop that came meanwhile is honoured by the recipe.
    from training import engines

    engine = engines.choose_engine(config.engine)
    report.update(engine=engine)
    if launch.is_wanted(config):
        # Once, instead of by every process.
        report.update(phase="downloading")
        engines.locate(config.base_model, engine, report.downloaded, stop)
        launch.become_launcher(folder, config)
    from training import recipe

    return recipe.train(folder, config, engine, report, stop)


def _read(folder: RunFolder) -> RunConfig:
    """The configuration, and a look at what is trained, so that a broken folder fails before anything is loaded."""
    try:
        config = folder.read_config()
    except (OSError, ValidationError) as error:
        raise RunError("worker.error_config_unreadable", path=folder.config.name, problem=_problem(error)) from error
    for path, read in (
        (folder.examples, folder.read_examples),
        (folder.documents, folder.read_documents),
        (folder.replay, folder.read_replay),
    ):
        try:
            read()
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise RunError("worker.error_examples_unreadable", path=path.name, problem=_problem(error)) from error
    return config


def _problem(error: OSError | ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"{error}."
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}."


def _stop_requested(folder: RunFolder) -> Callable[[], bool]:
    """Whether the stop file appeared or SIGTERM came; SIGINT stays a plain interruption."""
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: terminated.set())
    return lambda: terminated.is_set() or folder.stop.exists()


def _retry_with_less(error: Exception, folder: RunFolder, report: Report) -> None:
    """Where the device's memory ran out while training, go on from the last checkpoint with smaller passes.

    An optimizer step keeps its sequences: fewer at once, more passes. A new process has all the memory; of several
    processes none can begin anew alone. Returns where nothing can be smaller.
    """
    size, passes = report.status.per_device_train_batch_size or 1, report.status.gradient_accumulation_steps or 1
    if not _out_of_memory(error) or size == 1 or report.status.phase == "loading" or launch.processes() > 1:
        return
    smaller = next(divisor for divisor in range(size // 2, 0, -1) if size % divisor == 0)
    log.warning("out of memory at a micro-batch of %d: going on with %d", size, smaller)
    report.update(
        state="starting",
        phase=None,
        per_device_train_batch_size=smaller,
        gradient_accumulation_steps=passes * size // smaller,
        out_of_memory_retries=report.status.out_of_memory_retries + 1,
    )
    discard_unfinished(folder)
    launch.start_again()


def _out_of_memory(error: Exception) -> bool:
    """torch has a class for it; cuBLAS, bitsandbytes, Triton and the CPU's allocator say it in words."""
    said = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(
        part in said for part in ("out of memory", "cublas_status_alloc_failed", "can't allocate memory")
    )


def _disk_full(error: BaseException | None) -> bool:
    """safetensors gives the text of the system's error alone, torch not even that."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if any(words in str(error) for words in ("No space left", "PytorchStreamWriter failed", "iostream error")):
            return True
        error = error.__cause__ or error.__context__
    return False


def _sentence_for(error: Exception, folder: RunFolder, report: Report) -> RunError:
    """The failures of libraries that have a remedy, and one sentence for all others."""
    message = str(error).strip().splitlines() or [""]
    if _disk_full(error):
        return RunError("worker.error_disk_full", path=folder.root)
    if _out_of_memory(error):
        return RunError(
            "worker.error_out_of_memory",
            device=report.status.device or "CPU",
            batch_size=report.status.per_device_train_batch_size or folder.read_config().per_device_train_batch_size,
            max_length=folder.read_config().max_length,
        )
    if "CUDA error" in message[0] or "NCCL" in message[0]:
        return RunError("worker.error_cuda", device=report.status.device, message=message[0])
    return RunError("worker.error_unexpected", kind=type(error).__name__, message=message[0])


def _quieten_libraries() -> None:
    """No bars in a log, no reports to anyone, and no thread that spins for long while it waits."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # A thread that spins without end keeps the core from the one it waits for, beside other work four times as long a
    # step; one that sleeps at once is half as fast on a quiet machine. Some microseconds of spinning are both.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
