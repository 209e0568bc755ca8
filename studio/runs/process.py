"""Child processes that outlive the UI: spawned into a session of their own, recognised later by pid and start time.

Knows the operating system, not what a child does.
"""

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import ValidationError

from training.contract import PROJECT_ROOT, Launch

START_TOLERANCE_S = 2.0  # psutil derives the start time from the boot time, which the clock's corrections move a little
TERMINATE_WAIT_S = 10.0


def spawn(command: Sequence[str], folder: Path, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in `folder` and a session of its own; what it prints goes to `log`, never through a pipe."""
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def launch_of(child: subprocess.Popen[bytes]) -> Launch:
    """What tells this child from a later process with the same pid."""
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.Error:
        started = 0.0  # gone already; it will be found dead
    return Launch(pid=child.pid, pid_started=started)


def process_of(pid: int | None, pid_started: float | None) -> psutil.Process | None:
    """The living process that was started then, or None; a zombie has ended."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        if pid_started is not None and abs(process.create_time() - pid_started) > START_TOLERANCE_S:
            return None
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def launched_in(folder: Path) -> psutil.Process | None:
    """The living process that `launch.json` in a folder names, or None."""
    try:
        launch = Launch.model_validate_json((folder / "launch.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return process_of(launch.pid, launch.pid_started)


def end(process: psutil.Process) -> None:
    """Ask a process and those that it started to end, insist after a while, and return when all are gone."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                ask(member)
        _, family = psutil.wait_procs(family, TERMINATE_WAIT_S)


def child_environment(data_dir: Path) -> dict[str, str]:
    """The environment of a worker, server or download.

    The project comes first on the path because unsloth installs a top-level package `studio` of its own, and every
    cache that a library would put into the current directory or home goes into the data folder.
    """
    caches = data_dir / "cache"
    path = [str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "20000"),  # see training/worker.py
        "UNSLOTH_DISABLE_STATISTICS": "1",
        "UNSLOTH_COMPILE_LOCATION": str(caches / "unsloth"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
    }
