"""The augmentation jobs of a data folder: started, paused, resumed and looked up; it must not know pages or wordings.

A job is a thread of the program and a folder. The folder alone says how far it is, so a job whose program ended, in
whatever way, goes on from there: `resume_interrupted` does it when the program starts again.
"""

import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import strftime
from typing import get_args

from pydantic import JsonValue

from studio.augmentation.earlier import asked_questions, few_shots, replaced_pairs, taken_away
from studio.augmentation.estimate import Estimate
from studio.augmentation.fields import FieldsJob, fields_tasks
from studio.augmentation.ledger import FILE, PREVIEWS, Ledger
from studio.augmentation.lock import Lock
from studio.augmentation.options import read_options
from studio.augmentation.plan import Plan
from studio.augmentation.preview import Previewed, by_rules
from studio.augmentation.preview import by_endpoint as preview_by_endpoint
from studio.augmentation.prompts import Task
from studio.augmentation.reversal import SharedAnswer, shared_answers
from studio.augmentation.running import (
    EndpointJob,
    FactJob,
    OwnServer,
    SeedJob,
    by_endpoint,
    connect,
    fact_tasks,
    respecting,
)
from studio.augmentation.seeds import add_pairs, seed_tasks
from studio.augmentation.status import (
    NEW_FACTS,
    RESUMABLE,
    AugmentState,
    AugmentStatus,
    FailedFact,
    Generator,
    JobPlan,
    Reason,
)
from studio.augmentation.work import Failure, Work, read_failures
from studio.datasets import Datasets, Fact
from studio.datasets.proposed import ProposedFacts
from studio.errors import AugmentError, StudioError, UnknownJob
from training.contract import replace_text

__all__ = ["AugmentJobs", "AugmentStatus", "FailedFact", "Generator", "Reason"]
logger = logging.getLogger(__name__)


class AugmentJobs:
    """All jobs; the folder of one is found by listing, never by joining its id.

    `own_server` starts the studio's own model server for a base model.
    """

    def __init__(self, datasets: Datasets, folder: Path, own_server: OwnServer | None = None) -> None:
        self._datasets = datasets
        self._folder = folder
        self._own_server = own_server
        self._running: dict[str, tuple[Work, threading.Thread]] = {}
        self._lock = threading.RLock()

    def ids(self) -> list[str]:
        """Ids of all jobs, newest first."""
        return sorted(self._jobs(), reverse=True)

    def start(
        self, dataset: str, *, generator: Generator = "rules", plan: Plan, options: dict[str, JsonValue] | None = None
    ) -> str:
        """Start augmenting a dataset and return the job's id.

        Raises:
            AugmentError: the dataset is empty or being augmented, a setting is not right, or the folder not writable.
            UnknownDataset: there is no such dataset.
        """
        return self.start_job(self.plan_job(dataset, generator=generator, plan=plan, options=options))

    def plan_job(
        self, dataset: str, *, generator: Generator = "rules", plan: Plan, options: dict[str, JsonValue] | None = None
    ) -> JobPlan:
        """What a job would do, checked, with the few-shot examples that the dataset offers by now.

        Raises as `start` does.
        """
        if generator not in get_args(Generator):
            raise AugmentError("augment.error_generator", generator=generator)
        dataset_id = self._datasets.require(dataset)
        if generator == "rules":
            return JobPlan(dataset=dataset, generator=generator, plan=plan)
        shots = few_shots(self._datasets.store.read(), dataset_id)
        return JobPlan(dataset=dataset, generator=generator, plan=plan, options=read_options(options), few_shots=shots)

    def start_job(self, job: JobPlan) -> str:
        """Start a planned job and return its id. Raises as `start` does."""
        if job.source not in NEW_FACTS and not self._datasets.counts(job.dataset).facts:
            raise AugmentError("augment.error_no_facts", dataset=job.dataset)
        if job.source == "fields":
            self._tasks(job)  # raises where there is nothing to ask; a resumed job may find that, and has finished
        with self._lock:
            self._require_idle(job.dataset)
            try:
                folder = self._folder / f"{strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
                folder.mkdir(parents=True)
                replace_text(folder / "plan.json", job.model_dump_json(indent=2))
                return self._launch(folder, job)
            except OSError as error:
                raise AugmentError("augment.error_disk", problem=error.strerror) from error

    def resume(self, job_id: str, *, budget: float | None = None) -> AugmentStatus:
        """Go on with a job that has not finished; a new budget replaces the old one.

        Raises:
            AugmentError: it is running or finished, its dataset is being augmented, or the folder is not writable.
            UnknownJob: there is no such job.
        """
        if self.status(job_id).state not in RESUMABLE:
            raise AugmentError("augment.error_not_resumable", job=job_id)
        folder = self._jobs()[job_id]
        job = JobPlan.model_validate_json((folder / "plan.json").read_bytes())
        if budget is not None and job.options is not None:
            job = job.model_copy(update={"options": job.options.model_copy(update={"budget": budget})})
        with self._lock:
            self._require_idle(job.dataset)
            try:
                replace_text(folder / "plan.json", job.model_dump_json(indent=2))
                self._launch(folder, job)
            except OSError as error:
                raise AugmentError("augment.error_disk", problem=error.strerror) from error
        return self.status(job_id)

    def resume_interrupted(self) -> list[str]:
        """Go on with every job that the end of the program cut off, and return their ids."""
        resumed = []
        for job_id in self.ids():
            if self.status(job_id).state == "interrupted":
                # A dataset that is gone meanwhile, a full disk: the job stays as it is and says so.
                with suppress(StudioError):
                    self.resume(job_id)
                    resumed.append(job_id)
        return resumed

    def run_failed_again(self, job_id: str) -> str:
        """Start a job for what failed in one that has ended, and return the new job's id. Raises as `start` does."""
        status = self.status(job_id)
        job = JobPlan.model_validate_json((self._jobs()[job_id] / "plan.json").read_bytes())
        if status.state == "running" or not status.failed or job.generator == "rules":
            raise AugmentError("augment.error_nothing_failed", job=job_id)
        return self.start_job(job.model_copy(update={"only": tuple(failed.question for failed in status.failed)}))

    def status(self, job_id: str) -> AugmentStatus:
        """Where a job stands; one that the end of the program cut off reads as interrupted.

        Raises:
            UnknownJob: there is no such job.
        """
        folder = self._jobs().get(job_id)
        if folder is None:
            raise UnknownJob("augment.error_unknown_job", job=job_id)
        # Asked before the file is read: a job that ends in between has written its end.
        alive = Lock.is_held(folder)
        status = AugmentStatus.model_validate_json((folder / "status.json").read_bytes())
        if status.state == "running" and not alive:
            return status.model_copy(update={"state": "interrupted", "reason": Reason(key="augment.interrupted")})
        return status

    def failures(self, job_id: str) -> list[Failure]:
        """Every attempt of a job that gave nothing, also those that a later one made good."""
        self.status(job_id)
        return read_failures(self._jobs()[job_id])

    def estimate(self, job: JobPlan) -> Estimate:
        """What a job with an endpoint would ask for and cost; nothing is sent."""
        assert job.options is not None  # a job with an endpoint
        with self._preview_ledger() as ledger:
            return Estimate.of(self._tasks(job), ledger, job.options, job.plan)

    def preview(self, job: JobPlan) -> list[Previewed]:
        """What a job would make of the first few facts or titles.

        An endpoint is paid for them, and the job after it does not pay again. Raises AugmentError.
        """
        facts = self._facts(job)
        if job.generator == "rules":
            return by_rules(facts, job.plan)
        with self._preview_ledger() as ledger:
            return preview_by_endpoint(self._tasks(job), facts, job, ledger, self._own_server)

    def shared(self, job: JobPlan) -> list[SharedAnswer]:
        """The facts whose answer is not theirs alone, so that a reversed question would have several."""
        if job.source != "facts" or not job.plan.reverse:
            return []
        return list(shared_answers(self._datasets.facts(job.dataset)).values())

    def _facts(self, job: JobPlan) -> list[Fact]:
        return self._datasets.facts(job.dataset) if job.source not in NEW_FACTS else []

    def _tasks(self, job: JobPlan) -> list[Task]:
        if job.source == "facts":
            return list(fact_tasks(self._facts(job), job).values())
        if job.source == "fields":
            tasks = fields_tasks(self._facts(job), job)
            if not tasks:
                raise AugmentError("augment.error_all_said", dataset=job.dataset)
            return list(tasks.values())
        return seed_tasks(self._datasets.store.read(), self._datasets.require(job.dataset), job)

    @contextmanager
    def _preview_ledger(self) -> Iterator[Ledger]:
        folder = self._folder / PREVIEWS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ledger = self._ledger(folder)
        except OSError as error:
            raise AugmentError("augment.error_disk", problem=error.strerror) from error
        try:
            yield ledger
        finally:
            ledger.close()

    def pause(self, job_id: str) -> AugmentStatus:
        """Ask a job to begin nothing new; it reads as paused when the requests under way have ended."""
        return self._stop(job_id, "pausing")

    def cancel(self, job_id: str) -> AugmentStatus:
        """Ask a job to stop; requests under way end first, and what was made is kept."""
        return self._stop(job_id, "cancelled")

    def _stop(self, job_id: str, how: str) -> AugmentStatus:
        status = self.status(job_id)
        if job_id in self._running:
            work, _ = self._running[job_id]
            work.stop(getattr(work, how))
        return status

    def _jobs(self) -> dict[str, Path]:
        if not self._folder.is_dir():
            return {}
        return {path.name: path for path in self._folder.iterdir() if (path / "status.json").is_file()}

    def _require_idle(self, dataset: str) -> None:
        """One job at a time works on a dataset, whichever program runs it."""
        for job_id in self._jobs():
            status = self.status(job_id)
            if status.dataset == dataset and status.state == "running":
                raise AugmentError("augment.error_running", dataset=dataset)

    def _launch(self, folder: Path, job: JobPlan) -> str:
        facts = self._facts(job)
        lock = Lock.take(folder)
        if lock is None:
            raise AugmentError("augment.error_running", dataset=job.dataset)
        status = AugmentStatus(state="running", dataset=job.dataset, generator=job.generator, source=job.source)
        work = Work(folder, job, facts, status)
        try:
            work.save(failed=[])
        except OSError:
            lock.release()
            raise
        thread = threading.Thread(target=self._run, args=(work, lock), name=f"augment {folder.name}", daemon=True)
        self._running[folder.name] = (work, thread)
        thread.start()
        return folder.name

    def _run(self, work: Work, lock: Lock) -> None:
        """The thread: makes all examples, then adds them as one step that one undo takes back."""
        state: AugmentState = "failed"
        reason: Reason | None = None
        try:
            try:
                self._generate(work)
            finally:
                # Also after an endpoint went down or the budget was spent: what was made is paid for. A job that a
                # person paused adds it when it has ended.
                if not work.pausing.is_set() or work.cancelled.is_set() or work.status.reason is not None:
                    self._add(work)
            state = _end_of(work)
            reason = work.status.reason
        except StudioError as error:
            reason = Reason.of(error)
        except OSError as error:
            reason = Reason(key="augment.error_disk", values={"problem": str(error.strerror)})
        except Exception as error:  # the thread's end is the job's: it has nobody else to tell
            logger.exception("augmentation %s", work.folder.name)
            reason = Reason(key="augment.unexpected", values={"error": type(error).__name__})
        work.status = work.status.model_copy(update={"state": state, "reason": reason})
        # Where the disk is full, the job reads as interrupted.
        with suppress(OSError):
            work.save(failed=work.failed)
        lock.release()

    def _generate(self, work: Work) -> None:
        dataset_id = self._datasets.require(work.job.dataset)
        db = self._datasets.store.read()
        if work.job.generator == "rules":
            return FactJob(work, asked_questions(db, dataset_id)).by_rules()
        options = work.job.options
        if options is None:
            raise AugmentError("augment.error_option", name="base_url", problem="missing")
        job: EndpointJob
        if work.job.source == "facts":
            job = FactJob(work, asked_questions(db, dataset_id))
        elif work.job.source == "fields":
            job = FieldsJob(work)
        else:
            job = SeedJob(work, seed_tasks(db, dataset_id, work.job))
        ledger = self._ledger(work.folder)
        try:
            by_endpoint(work, job, ledger, connect(options, self._own_server))
        finally:
            ledger.close()

    def _add(self, work: Work) -> None:
        name, author = work.job.dataset, work.job.author
        dataset_id = self._datasets.require(name)
        if work.pairs:
            with self._datasets.store.write() as db:
                work.change(added=add_pairs(db, dataset_id, work.pairs_in_order(), work.job))
        if work.read:
            read = sorted(work.read, key=lambda of: of[0].id)  # whichever reply came first
            work.change(added=ProposedFacts(self._datasets).write(name, read, author))
        if work.made:
            known = {fact.id for fact in self._datasets.facts(name)}
            db = self._datasets.store.read()
            made = respecting(work.made, replaced_pairs(db, dataset_id), taken_away(db, dataset_id))
            kept = [example for example in made if example.fact_id in known]
            made = sorted(kept, key=lambda example: example.fact_id)  # whichever reply came first
            work.change(added=self._datasets.add_examples(name, made, author))

    def _ledger(self, folder: Path) -> Ledger:
        """The ledger of one folder, which also knows what all jobs and previews have paid for."""
        folders: Sequence[Path] = [self._folder / PREVIEWS, *self._jobs().values()]
        return Ledger(folder / FILE, [paid / FILE for paid in folders if paid != folder])


def _end_of(work: Work) -> AugmentState:
    if work.cancelled.is_set():
        return "cancelled"
    return "paused" if work.pausing.is_set() else "finished"
