"""Why a worker that said nothing is gone, from its exit code, the machine's last start and the end of its log."""

import re
import signal
import sys
from pathlib import Path

import psutil

from studio.i18n import text
from training.contract import RunFolder

TAIL_BYTES = 16_384
LINE_CHARACTERS = 300
_RAISED = re.compile(
    r"^[\w.]*(Error|Exception|Interrupt|Exit)\b.*|^Fatal Python error.*|.*\b(Killed|out of memory)\b.*"
)
_NOISE = re.compile(r"\d+%\||^\s*$|[Ww]arning|^\s*(File |\^|~)|^Extension modules:")


# What the log says more surely than an exit code.
_CAUSES = (
    (re.compile(r"out of memory|OutOfMemory|MemoryError|bad_alloc|can't allocate memory", re.I), "runs.crashed_memory"),
    (re.compile(r"CUDA error|CUDA driver|cuDNN|NCCL"), "runs.crashed_cuda"),
)
# The worker's first line: what stands before is of a process that this one went on from.
_BEGINS = "training.worker: begins"


def reason(folder: RunFolder, exit_code: int | None, locale: str) -> str:
    """One sentence on the likely cause, and the last useful line of the log where there is one."""
    line = last_line(folder.log)
    quoted = text("runs.crashed_line", locale, line=line) if line else ""
    known = next((key for pattern, key in _CAUSES if pattern.search(line)), None)
    return (text(known, locale) if known else _cause(folder, exit_code, locale)) + quoted


def last_line(path: Path) -> str:
    """The last line of a log that says what was wrong, else the last that says anything."""
    useful = [line.strip() for line in tail(path) if not _NOISE.search(line)]
    raised = [line for line in useful if _RAISED.match(line)]
    return (raised or useful or [""])[-1][:LINE_CHARACTERS]


def tail(path: Path) -> list[str]:
    """The last lines of the log of the process that wrote last."""
    if not path.exists():
        return []
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = log.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    begins = max((place for place, line in enumerate(lines) if line.endswith(_BEGINS)), default=-1)
    return lines[begins + 1 :]


def _cause(folder: RunFolder, exit_code: int | None, locale: str) -> str:
    if exit_code is not None and exit_code < 0:
        return _signal(-exit_code, locale)
    if exit_code is not None:
        return text("runs.crashed_exit", locale, code=exit_code)
    launch = folder.read_launch()
    if launch is None:
        return text("runs.crashed_unstarted", locale)
    if 0 < launch.pid_started < psutil.boot_time() - 1:
        return text("runs.crashed_restarted", locale)
    return text("runs.crashed_gone", locale)


def _signal(number: int, locale: str) -> str:
    if sys.platform != "win32" and number == signal.SIGKILL:
        return text("runs.crashed_killed", locale)
    return text("runs.crashed_signal", locale, signal=signal.Signals(number).name)
