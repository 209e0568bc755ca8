"""The runs that wait for the device: submitted, put in order, cancelled, and started one after another.

The truth is `queue.json` and the runs' folders, so a restart of the UI finds the queue again. Knows when a run may
start, not what it does.
"""

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace

import psutil

from studio.errors import RunFailed, StudioError
from studio.runs.about import About, write_about
from studio.runs.freeze import Frozen
from studio.runs.lease import handover, waiting, write_waiting
from studio.runs.plans import Plan
from studio.runs.registry import Runs
from studio.runs.resume import require_resumable, resume
from studio.runs.stages import start_problems
from training.contract import RunFolder, RunState, replace_text

log = logging.getLogger(__name__)
POLL_S = 2.0


class RunQueue:
    """The queue of one data folder. `restore` starts the model server of a base again when no run wants the device."""

    def __init__(self, runs: Runs, restore: Callable[[str], object], *, poll_s: float = POLL_S) -> None:
        self.runs = runs
        self.data_dir = runs.data_dir
        self.restore = restore
        self.poll_s = poll_s
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def ids(self) -> list[str]:
        """The runs that wait, first one first."""
        found = waiting(self.data_dir).runs
        known = set(self.runs.ids()) if found else set()
        return [run for run in found if run in known and self.runs.status(run).state != "finished"]

    def submit(self, plan: Plan) -> list[str]:
        """Freeze the plan's runs and queue them; the first starts at once where the device is idle. Their ids."""
        for problem in start_problems(self.runs, plan):
            if problem is not None:
                raise problem
        frozen = [self.runs.frozen(config) for config in plan.configs]
        with handover(self.data_dir):
            run_ids = self._keep(plan, frozen)
            self._write([*self.ids(), *run_ids])
        self.advance()
        self.wake()
        return run_ids

    def resume(self, run_id: str) -> None:
        """Queue a run that broke off or was stopped; it goes on from its last checkpoint when the device is idle."""
        require_resumable(run_id, self.runs.status(run_id))
        with handover(self.data_dir):
            self._write([*(other for other in self.ids() if other != run_id), run_id])
        self.advance()
        self.wake()

    def move(self, run_id: str, places: int) -> None:
        """Put a waiting run so many places back, or forward where `places` is negative."""
        with handover(self.data_dir):
            order = self.ids()
            if run_id not in order:
                raise RunFailed("queue.error_not_waiting", run=run_id)
            place = order.index(run_id) + places
            order.remove(run_id)
            order.insert(max(0, place), run_id)
            self._write(order)

    def cancel(self, run_id: str) -> list[str]:
        """Take a run out of the queue; their ids. One that never ran is gone, with all that were to go on from it."""
        with handover(self.data_dir):
            order = self.ids()
            if run_id not in order:
                raise RunFailed("queue.error_not_waiting", run=run_id)
            lost = [run_id]
            for gone in lost:  # grows while it is read: stages of stages
                if not RunFolder(self.runs.root / gone).launch.exists():
                    lost += [other for other in order if self.runs.stage_before(other) == gone and other not in lost]
            self._write([other for other in order if other not in lost])
            for other in lost:
                self._forget(other)
        return lost

    def stop(self, run_id: str) -> RunState:
        """Take a waiting run out of the queue, or ask a running one to stop and save."""
        if run_id not in self.ids():
            return self.runs.stop(run_id).state
        self.cancel(run_id)
        return "stopped"

    def advance(self) -> str | None:
        """Start the first waiting run that can start; its id, or None where none can or one is active."""
        with handover(self.data_dir):
            order = self.ids()
            if not order:
                return None
            if (active := self.runs.active()) is not None:
                if active in order:  # launched by a studio that ended before it could strike the run off
                    self._write([other for other in order if other != active])
                return None
            run_id = next(filter(self.runs.ready, order), None)
            if run_id is not None:
                self._launch(run_id)
                self._write([other for other in order if other != run_id])
            return run_id

    def wake(self) -> None:
        """See to it that somebody looks after the queue as long as anything waits."""
        with self._starting:
            if self._has_work() and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._watch, name="run-queue", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        pause = threading.Event()
        while self._has_work():
            try:
                self.advance()
                self._restore_server()
            # A full disk, a device that another UI took meanwhile, a server that will not end: look again later.
            except (StudioError, OSError, psutil.Error):
                log.warning("the queue could not go on", exc_info=True)
            pause.wait(self.poll_s)

    def _has_work(self) -> bool:
        found = waiting(self.data_dir)
        return bool(found.runs or found.server_base)

    def _restore_server(self) -> None:
        with handover(self.data_dir):
            found = waiting(self.data_dir)
            if not found.server_base or self.runs.active() is not None:
                return
            if any(map(self.runs.ready, self.ids())):  # looked at last: a run that has just ended makes the next ready
                return
            write_waiting(self.data_dir, found.model_copy(update={"server_base": ""}))
        self.restore(found.server_base)

    def _launch(self, run_id: str) -> None:
        """Nobody waits for the outcome of a start by the queue: the run itself tells of a failure."""
        folder = RunFolder(self.runs.root / run_id)
        try:
            if folder.status.exists() or folder.launch.exists():
                resume(folder, self.runs.launch)
            else:
                self.runs.launch(run_id)
        except RunFailed as error:
            values = {name: str(value) for name, value in error.values.items()}
            told = {"state": "failed", "reason": str(error), "reason_code": error.key, "reason_values": values}
            replace_text(folder.status, self.runs.status(run_id).model_copy(update=told).model_dump_json())

    def _keep(self, plan: Plan, frozen: list[Frozen]) -> list[str]:
        run_ids: list[str] = []
        try:
            for one in frozen:
                if plan.kind == "chain" and run_ids:
                    one = replace(one, config=one.config.model_copy(update={"init_run": run_ids[-1]}))
                run_ids.append(self.runs.keep(one))
                if plan.kind == "sweep":
                    write_about(RunFolder(self.runs.root / run_ids[-1]), About(group=run_ids[0]))
        except (RunFailed, OSError):
            for run_id in run_ids:
                self._forget(run_id)
            raise
        return run_ids

    def _forget(self, run_id: str) -> None:
        folder = RunFolder(self.runs.root / run_id)
        if not folder.launch.exists():
            folder.config.unlink(missing_ok=True)  # first: half a folder is no run
            shutil.rmtree(folder.root, ignore_errors=True)

    def _write(self, order: list[str]) -> None:
        found = waiting(self.data_dir)
        try:
            write_waiting(self.data_dir, found.model_copy(update={"runs": tuple(order)}))
        except OSError as error:
            raise RunFailed("runs.error_write", folder=str(self.data_dir), reason=str(error)) from error
