"""Augments a dataset in a thread and keeps every step on disk; it must not know pages or how examples are worded."""

import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, strftime
from typing import Literal, get_args

from pydantic import Field, JsonValue

from studio.augmentation import rules
from studio.augmentation.endpoint import (
    Cancelled,
    Endpoint,
    EndpointDown,
    EndpointOptions,
    FactFailed,
    Reply,
    examples,
    read_options,
)
from studio.augmentation.ledger import FILE, PREVIEWS, Ledger, paid_once
from studio.augmentation.plan import Plan
from studio.datasets import Datasets, Fact, MadeExample
from studio.errors import AugmentError, StudioError, UnknownJob
from studio.i18n import text
from training.contract import Frozen, replace_text

logger = logging.getLogger(__name__)

Generator = Literal["rules", "endpoint"]
AugmentState = Literal["running", "finished", "cancelled", "failed", "interrupted"]
STATUS_EVERY_S = 0.25
# The whole list of a large dataset would be written again with every status.
FAILED_SHOWN = 100


class Reason(Frozen):
    """Why something did not work, as a key and its values, so that each reader gets it in their language."""

    key: str
    values: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: StudioError) -> "Reason":
        """The reason that an error for people gives."""
        return cls(key=error.key, values={name: str(value) for name, value in error.values.items()})

    def text(self, locale: str = "en") -> str:
        """The sentence in "ja" or "en"."""
        return text(self.key, locale, **self.values)

    def __str__(self) -> str:
        return self.text()


class FailedFact(Frozen):
    """A fact that got no examples, and why."""

    fact_id: int
    question: str
    reason: Reason


class JobPlan(Frozen):
    """`plan.json`: what a job was asked to do."""

    dataset: str
    generator: Generator
    plan: Plan
    options: EndpointOptions | None = None


class AugmentStatus(Frozen):
    """`status.json`: where a job stands. `planned` and `made` count examples beside the seed pairs."""

    state: AugmentState
    dataset: str
    generator: Generator
    reason: Reason | None = None
    done: int = Field(default=0, description="Facts looked at.")
    total: int = Field(default=0, description="Facts of the dataset.")
    planned: int = 0
    made: int = 0
    added: int = Field(default=0, description="Examples that the dataset did not hold yet.")
    needs_model: int = Field(
        default=0, description="Facts that the rules cannot reword; they are in `failed` with the reason."
    )
    reverse_left_out: int = Field(
        default=0, description="Facts whose answer is not theirs alone, so not asked in reverse."
    )
    tokens: int = Field(default=0, description="Tokens paid for in this job.")
    reused: int = Field(default=0, description="Facts whose reply was read from an earlier job's ledger.")
    failed_facts: int = 0
    failed: list[FailedFact] = Field(default_factory=list, description="While the job runs, the latest ones only.")


@dataclass
class _Work:
    """A job under way in this process. Only its own thread changes `status`."""

    folder: Path
    job: JobPlan
    facts: list[Fact]
    status: AugmentStatus
    cancelled: threading.Event = field(default_factory=threading.Event)
    made: list[MadeExample] = field(default_factory=list)
    failed: list[FailedFact] = field(default_factory=list)
    saved_at: float = 0.0

    def change(self, **values: object) -> None:
        self.status = self.status.model_copy(update=values)
        if monotonic() - self.saved_at >= STATUS_EVERY_S:
            self.save(failed=self.failed[-FAILED_SHOWN:])

    def save(self, *, failed: list[FailedFact]) -> None:
        self.status = self.status.model_copy(update={"failed": failed, "failed_facts": len(self.failed)})
        replace_text(self.folder / "status.json", self.status.model_dump_json())
        self.saved_at = monotonic()

    def take(self, made: list[MadeExample]) -> None:
        self.made += made
        self.change(done=self.status.done + 1, made=len(self.made))

    def fail(self, fact: Fact, reason: Reason) -> None:
        self.failed.append(FailedFact(fact_id=fact.id, question=fact.question, reason=reason))
        self.change(done=self.status.done + 1)


class AugmentJobs:
    """The augmentation jobs of one data folder; the folder of a job is found by listing, never by joining its id."""

    def __init__(self, datasets: Datasets, folder: Path) -> None:
        self._datasets = datasets
        self._folder = folder
        self._running: dict[str, tuple[_Work, threading.Thread]] = {}
        self._lock = threading.Lock()

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
        if generator not in get_args(Generator):
            raise AugmentError("augment.error_generator", generator=generator)
        job = JobPlan(
            dataset=dataset,
            generator=generator,
            plan=plan,
            options=read_options(options) if generator == "endpoint" else None,
        )
        facts = self._datasets.facts(dataset)
        if not facts:
            raise AugmentError("augment.error_no_facts", dataset=dataset)
        with self._lock:
            if any(
                work.job.dataset == dataset and work.status.state == "running" for work, _ in self._running.values()
            ):
                raise AugmentError("augment.error_running", dataset=dataset)
            try:
                return self._launch(job, facts)
            except OSError as error:
                raise AugmentError("augment.error_disk", problem=error.strerror) from error

    def status(self, job_id: str) -> AugmentStatus:
        """Where a job stands; one that the end of the app cut off reads as interrupted.

        Raises:
            UnknownJob: there is no such job.
        """
        folder = self._jobs().get(job_id)
        if folder is None:
            raise UnknownJob("augment.error_unknown_job", job=job_id)
        _, thread = self._running.get(job_id, (None, None))
        # Asked before the file is read: a job that ends in between has written its end.
        alive = thread is not None and thread.is_alive()
        status = AugmentStatus.model_validate_json((folder / "status.json").read_bytes())
        if status.state == "running" and not alive:
            return status.model_copy(update={"state": "interrupted", "reason": Reason(key="augment.interrupted")})
        return status

    def preview_ledger(self) -> Ledger:
        """Where replies to a preview are kept, so that the job after it does not pay for them again."""
        folder = self._folder / PREVIEWS
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AugmentError("augment.error_disk", problem=error.strerror) from error
        return self._ledger(folder)

    def cancel(self, job_id: str) -> AugmentStatus:
        """Ask a job to stop; requests under way end first, and what was made is kept."""
        status = self.status(job_id)
        if job_id in self._running:
            self._running[job_id][0].cancelled.set()
        return status

    def _jobs(self) -> dict[str, Path]:
        if not self._folder.is_dir():
            return {}
        return {path.name: path for path in self._folder.iterdir() if (path / "status.json").is_file()}

    def _launch(self, job: JobPlan, facts: list[Fact]) -> str:
        job_id = f"{strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        folder = self._folder / job_id
        folder.mkdir(parents=True)
        replace_text(folder / "plan.json", job.model_dump_json(indent=2))
        status = AugmentStatus(
            state="running",
            dataset=job.dataset,
            generator=job.generator,
            total=len(facts),
            planned=job.plan.total(len(facts)) - len(facts),
        )
        work = _Work(folder, job, facts, status)
        work.save(failed=[])
        thread = threading.Thread(target=self._run, args=(work,), name=f"augment {job_id}", daemon=True)
        self._running[job_id] = (work, thread)
        thread.start()
        return job_id

    def _run(self, work: _Work) -> None:
        """The thread: makes all examples, then adds them as one step that one undo takes back."""
        state: AugmentState = "failed"
        reason: Reason | None = None
        try:
            try:
                self._generator(work)(work)
            finally:
                # Also after an endpoint went down: what was made is paid for.
                self._add(work)
            state = "cancelled" if work.cancelled.is_set() else "finished"
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

    def _generator(self, work: _Work) -> Callable[[_Work], None]:
        return _by_rules if work.job.generator == "rules" else self._by_endpoint

    def _add(self, work: _Work) -> None:
        known = {fact.id for fact in self._datasets.facts(work.job.dataset)}
        made = [example for example in work.made if example.fact_id in known]
        work.change(added=self._datasets.add_examples(work.job.dataset, made) if made else 0)

    def _ledger(self, folder: Path) -> Ledger:
        """The ledger of one folder, which also knows what all jobs and previews have paid for."""
        folders = [self._folder / PREVIEWS, *self._jobs().values()]
        return Ledger(folder / FILE, [paid / FILE for paid in folders])

    def _by_endpoint(self, work: _Work) -> None:
        options = work.job.options
        if options is None:
            raise AugmentError("augment.error_option", name="base_url", problem="missing")
        desk = _Desk(work, options, Endpoint(options, work.cancelled), self._ledger(work.folder))
        with ThreadPoolExecutor(options.concurrency, thread_name_prefix="augment request") as pool:
            asked = {pool.submit(desk.ask, fact): fact for fact in work.facts}
            try:
                for future in as_completed(asked):
                    desk.receive(asked[future], future.result)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _by_rules(work: _Work) -> None:
    plan = work.job.plan
    ambiguous = rules.ambiguous_values(work.facts) if plan.reverse else frozenset()
    for fact in work.facts:
        if work.cancelled.is_set():
            return
        try:
            work.take(rules.make(fact, plan, ambiguous))
        except rules.NeedsModel as need:
            work.fail(fact, Reason(key=need.reason))
            work.change(needs_model=work.status.needs_model + 1)
            continue
        if rules.read(fact).key in ambiguous:
            work.change(reverse_left_out=work.status.reverse_left_out + 1)


class _Desk:
    """Asks for one fact after the other on the pool's threads, and takes the replies on the job's own."""

    def __init__(self, work: _Work, options: EndpointOptions, endpoint: Endpoint, ledger: Ledger) -> None:
        self._work = work
        self._options = options
        self._endpoint = endpoint
        self._ledger = ledger
        self._ambiguous = rules.ambiguous_values(work.facts)

    def plan_of(self, fact: Fact) -> Plan:
        """The job's plan as it can be asked of this fact."""
        return rules.plan_for(fact, self._work.job.plan, self._ambiguous)

    def ask(self, fact: Fact) -> tuple[Reply, int | None]:
        """The reply for a fact and its tokens; None tokens for one that was paid for before."""
        return paid_once(self._ledger, self._endpoint, fact, self.plan_of(fact))

    def receive(self, fact: Fact, result: Callable[[], tuple[Reply, int | None]]) -> None:
        """Count one reply, or why there is none."""
        work = self._work
        try:
            reply, tokens = result()
        except FactFailed as error:
            return work.fail(fact, Reason.of(error))
        except EndpointDown:
            # Wakes the threads that sit out a pause: none of them can succeed.
            self._endpoint.give_up()
            raise
        except Cancelled:
            return None
        plan = self.plan_of(fact)
        if plan.reverse < work.job.plan.reverse:
            work.change(reverse_left_out=work.status.reverse_left_out + 1)
        work.change(tokens=work.status.tokens + (tokens or 0), reused=work.status.reused + (tokens is None))
        return work.take(examples(fact, plan, reply, self._options.model))
