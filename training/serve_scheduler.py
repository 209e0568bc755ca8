"""The one thread that uses the model: it takes waiting questions, batches those that fit together, and answers them.

It must not know of HTTP.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import torch

from training.errors import RunError
from training.serve_job import Job
from training.serve_model import ServedModel

log = logging.getLogger(__name__)

GATHER_S = 0.02  # the arena asks base and adapter at once, but its two requests do not arrive at once
MAX_BATCH = 16


class Scheduler:
    """Questions wait here in the order they came; those with the same sampling settings are answered together."""

    def __init__(self, served: ServedModel, on_change: Callable[[], None]) -> None:
        """`on_change` is called on the model's thread after adapters may have changed."""
        self._served = served
        self._on_change = on_change
        self._waiting: queue.Queue[Job | Callable[[], None] | None] = queue.Queue()
        self._later: list[Job] = []
        self._running: list[Job] = []
        self._closed = False
        self.busy = False
        self.last_active = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a question; its events come through `job.emit`."""
        self.last_active = time.monotonic()
        self._waiting.put(job)

    def load(self, name: str) -> "Future[None]":
        """Load a known adapter between two batches."""
        future: Future[None] = Future()

        def load() -> None:
            try:
                self._served.load(name)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self._waiting.put(load)
        return future

    def close(self, wait_s: float) -> bool:
        """Cancel everything; whether the thread ended in time."""
        self._closed = True
        for job in [*self._running, *self._later]:
            job.cancel()
        self._waiting.put(None)
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._closed:
            item = self._later.pop(0) if self._later else self._waiting.get()
            if item is None:
                return
            self.busy = True
            try:
                if isinstance(item, Job):
                    self._answer(self._batch(item))
                else:
                    item()
                self._on_change()
            except Exception as error:  # the only thread that answers must outlive a full disk, say
                self._report(error)
            finally:
                self.busy = False
                self.last_active = time.monotonic()

    def _batch(self, first: Job) -> list[Job]:
        """The first question and those waiting ones that can be answered with it; the others keep their order."""
        deadline = time.monotonic() + GATHER_S
        batch, self._later = _split(first, [first, *self._later])
        while len(batch) < MAX_BATCH and not first.sampling.repeatable:
            try:
                item = self._waiting.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(item, Job):
                fitting = item.sampling == first.sampling
                (batch if fitting else self._later).append(item)
            else:
                self._waiting.put(item)
                break
        return batch

    def _answer(self, batch: list[Job]) -> None:
        self._running = batch
        ready = [job for job in batch if self._prepared(job)]
        for group in self._served.groups(ready) if ready else []:
            # Asked again for each group: the check after the one before may have found an adapter damaged.
            failed = self._generate([job for job in group if self._prepared(job)])
            if failed or any(job.cancelled for job in group):
                self._check()
        for job in batch:
            if not job.done:
                job.finish("cancelled")
        self._running = []

    def _prepared(self, job: Job) -> bool:
        """Whether the job's adapter is in the model; else the job has its reason."""
        if job.cancelled:
            return False
        try:
            self._served.load(job.model)
        except Exception as error:
            self._report(error)
            job.fail(error)
        return not job.done

    def _generate(self, group: list[Job]) -> bool:
        """Answer one batch; whether it failed."""
        if not group:
            return False
        try:
            self._served.answer(group)
        except Exception as error:
            self._report(error)
            for job in group:
                job.fail(_for_people(error))
            return True
        return False

    def _check(self) -> None:
        try:
            self._served.check()
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        if isinstance(error, RunError):
            log.error("%s", error)
        else:
            log.error("unexpected", exc_info=error)


def _split(first: Job, waiting: list[Job]) -> tuple[list[Job], list[Job]]:
    if first.sampling.repeatable:
        return [first], waiting[1:]
    fitting = [job for job in waiting if job.sampling == first.sampling][:MAX_BATCH]
    return fitting, [job for job in waiting if job not in fitting]


def _for_people(error: Exception) -> Exception:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        torch.cuda.empty_cache()
        return RunError("inference.error_out_of_memory")
    return error
