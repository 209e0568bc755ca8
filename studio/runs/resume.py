"""A run that broke off or was stopped gets a process again, which goes on from its last whole checkpoint.

Knows which states can be left again, not how the worker does it.
"""

from collections.abc import Callable

from studio.errors import RunFailed
from training.contract import RunFolder, RunState, RunStatus, replace_text

RESUMABLE: frozenset[RunState] = frozenset({"stopped", "failed", "crashed"})


def require_resumable(run_id: str, status: RunStatus) -> None:
    """Raise RunFailed unless there is something left to train that nobody trains."""
    if status.state not in (*RESUMABLE, "queued"):
        raise RunFailed("runs.error_not_resumable" if status.ended else "runs.error_active", run=run_id)


def resume(folder: RunFolder, launch: Callable[[str], None]) -> None:
    """Take the last words of the run back and launch it; where it cannot be launched, they stand again.

    The status is the worker's file, and no worker lives: the caller has the handover.
    """
    run_id = folder.root.name
    before = folder.status.read_text("utf-8") if folder.status.exists() else None
    folder.stop.unlink(missing_ok=True)
    try:
        replace_text(folder.status, _taken_back(folder).model_dump_json(indent=2))
        launch(run_id)
    except (RunFailed, OSError) as error:
        if before is not None:
            replace_text(folder.status, before)
        if isinstance(error, OSError):
            raise RunFailed("runs.error_write", folder=str(folder.root), reason=str(error)) from error
        raise


def _taken_back(folder: RunFolder) -> RunStatus:
    """What the run knows of itself, without how it ended."""
    try:
        status = folder.read_status() or RunStatus(state="starting")
    except ValueError:
        status = RunStatus(state="starting")
    gone: dict[str, object] = {"phase": None, "reason": "", "reason_code": "", "reason_values": {}, "finished_at": None}
    return status.model_copy(update={"state": "starting", "pid": None, "pid_started": None, **gone})
