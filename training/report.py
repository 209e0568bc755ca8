"""The status file of a run, seen from its only writer; it must not know what happens between two reports."""

import os
import time
from typing import Any

import psutil
from pydantic import ValidationError

from training.contract import RunFolder, RunStatus, now, replace_text

# A page looks about once a second; a file replaced at every step would slow small models down.
STEP_INTERVAL_S = 0.5
# Room that is given back for the last words on a full disk.
RESERVE_BYTES = 64 * 2**10
# What a process that goes on with a run keeps of the one before it: memory ran out with anything larger, and until it
# trains the run stands where it stood.
KEPT = {
    *("per_device_train_batch_size", "gradient_accumulation_steps", "out_of_memory_retries"),
    *("step", "total_steps", "train_loss", "eval_loss"),
}


class Report:
    """Keeps `status.json` true. `update` writes at once, `step` at most twice a second.

    Of several processes that train one run only one `writes`.
    """

    def __init__(self, folder: RunFolder, *, writes: bool = True) -> None:
        self._path = folder.status
        self._reserve = folder.root / ".reserve"
        self._writes = writes
        self._written = 0.0
        process = psutil.Process()
        self.status = RunStatus(
            state="starting",
            pid=os.getpid(),
            pid_started=process.create_time(),
            started_at=now(),
            **_before(folder),
        )
        if writes:
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # zeros would be packed away by some file systems
        self.update()

    def update(self, *, durable: bool = True, **changes: Any) -> None:
        """Change these fields of the status and write it."""
        # model_copy would not validate, and the file is what other processes believe.
        self.status = RunStatus.model_validate(self.status.model_dump() | changes | {"updated_at": now()})
        if self._writes:
            replace_text(self._path, self.status.model_dump_json(indent=2) + "\n", durable=durable)
        self._written = time.monotonic()

    def step(self, **changes: Any) -> None:
        """Change fields that move with every step; they reach the file soon, or with the next update."""
        if time.monotonic() - self._written >= STEP_INTERVAL_S:
            self.update(durable=False, **changes)  # waiting for the disk would cost a small model a step in fifty
        else:
            self.status = self.status.model_copy(update=changes)

    def downloaded(self, done_bytes: int, total_bytes: int) -> None:
        """Tell how far the base has come."""
        self.step(downloaded_bytes=done_bytes, download_bytes=total_bytes)

    def end(self, state: str, **changes: Any) -> None:
        """Write the last status of the run."""
        self._reserve.unlink(missing_ok=True)
        self.update(state=state, phase=None, finished_at=now(), **changes)


def _before(folder: RunFolder) -> dict[str, Any]:
    """What a process that trained this run before had found out."""
    try:
        status = folder.read_status()
    except (OSError, ValidationError):
        return {}
    return status.model_dump(include=KEPT) if status else {}
