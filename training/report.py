"""The status file of a run, seen from its only writer; it must not know what happens between two reports."""

import os
import time
from typing import Any

import psutil

from training.contract import RunFolder, RunStatus, now, replace_text

# A page looks about once a second; a file replaced and synced at every step would slow small models down.
STEP_INTERVAL_S = 0.5


class Report:
    """Keeps `status.json` true. `update` writes at once, `step` at most twice a second."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.status
        self._written = 0.0
        process = psutil.Process()
        self.status = RunStatus(state="starting", pid=os.getpid(), pid_started=process.create_time(), started_at=now())
        self.update()

    def update(self, **changes: Any) -> None:
        """Change these fields of the status and write it."""
        # model_copy would not validate, and the file is what other processes believe.
        self.status = RunStatus.model_validate(self.status.model_dump() | changes | {"updated_at": now()})
        replace_text(self._path, self.status.model_dump_json(indent=2) + "\n")
        self._written = time.monotonic()

    def step(self, **changes: Any) -> None:
        """Change fields that move with every step; they reach the file soon, or with the next update."""
        if time.monotonic() - self._written >= STEP_INTERVAL_S:
            self.update(**changes)
        else:
            self.status = self.status.model_copy(update=changes)

    def end(self, state: str, **changes: Any) -> None:
        """Write the last status of the run."""
        self.update(state=state, phase=None, finished_at=now(), **changes)
