"""The way of one job: every fact or title goes through its generator and the gates; it must not know who waits."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from studio.augmentation import rules
from studio.augmentation.desk import Answer, BudgetSpent, Desk, Purse
from studio.augmentation.endpoint import Endpoint
from studio.augmentation.estimate import Estimate
from studio.augmentation.ledger import Ledger
from studio.augmentation.options import EndpointOptions
from studio.augmentation.pace import Pace
from studio.augmentation.plan import Plan
from studio.augmentation.presets import OWN
from studio.augmentation.product import examples, gated
from studio.augmentation.prompts import Pairs, Reply, Task, wordings_task
from studio.augmentation.reversal import plan_for, shared_answers
from studio.augmentation.status import JobPlan, Reason
from studio.augmentation.work import Work
from studio.datasets import Fact, MadeExample
from studio.errors import AugmentError, StudioError

SHARED_SHOWN = 100
Asked = dict[int, list[tuple[bool, str]]]  # the questions that each fact has already


@dataclass(frozen=True)
class Connection:
    """Where an endpoint really is: the studio's own server has another address at every start."""

    options: EndpointOptions
    key: str | None = None


class OwnAddress(Protocol):
    """Where the studio's own server listens, and the token that it wants."""

    @property
    def base_url(self) -> str: ...

    @property
    def token(self) -> str: ...


# Starts the studio's own server for a base model.
OwnServer = Callable[[str], OwnAddress]


def connect(options: EndpointOptions, own_server: OwnServer | None) -> Connection:
    """The endpoint of a job, the studio's own server started where it is that.

    Raises StudioError where the own server cannot start: a run may hold the device.
    """
    if options.base_url != OWN:
        return Connection(options)
    if own_server is None:
        raise AugmentError("augment.error_address", address=options.base_url)
    server = own_server(options.model)
    return Connection(options.model_copy(update={"base_url": server.base_url, "model": "base"}), server.token)


def fact_tasks(facts: Sequence[Fact], job: JobPlan) -> dict[int, Task]:
    """The request for each fact, by its id."""
    assert job.options is not None  # a job with an endpoint
    shared = shared_answers(facts) if job.plan.reverse else {}
    return {
        fact.id: wordings_task(fact, plan_for(fact, job.plan, shared), job.options.asked, job.few_shots)
        for fact in facts
        if not job.only or fact.question in job.only
    }


class EndpointJob(Protocol):
    """What a job asks an endpoint for, and what becomes of the answers."""

    def tasks(self) -> list[Task]: ...

    def receive(self, answer: Answer) -> None: ...


class FactJob:
    """Multiplies the facts of a dataset."""

    def __init__(self, work: Work, asked: Asked) -> None:
        self._work = work
        self._plan = work.job.plan
        self._asked = asked
        self._shared = shared_answers(work.facts) if self._plan.reverse else {}
        self._of_key: dict[str, list[Fact]] = defaultdict(list)
        chosen = set(work.job.only)
        self._facts = [fact for fact in work.facts if not chosen or fact.question in chosen]
        planned = sum(self.plan_of(fact).per_fact - 1 for fact in self._facts)
        shown = tuple(self._shared[fact.id] for fact in self._facts if fact.id in self._shared)[:SHARED_SHOWN]
        work.change(total=len(self._facts), planned=planned, shared=shown)

    def plan_of(self, fact: Fact) -> Plan:
        """The job's plan as it can be asked of this fact."""
        return plan_for(fact, self._plan, self._shared)

    def by_rules(self) -> None:
        """Reword every fact by the built-in rules."""
        for fact in self._facts:
            if self._work.stopping:
                return
            try:
                self._take(fact, rules.make(fact, self.plan_of(fact)))
            except rules.NeedsModel as need:
                self._work.fail(fact.id, fact.question, Reason(key=need.reason))
                self._work.change(needs_model=self._work.status.needs_model + 1)

    def tasks(self) -> list[Task]:
        """One request for each fact; facts with the same words share one."""
        tasks = fact_tasks(self._work.facts, self._work.job)
        for fact in self._facts:
            self._of_key[tasks[fact.id].key].append(fact)
        return list({task.key: task for task in tasks.values()}.values())

    def receive(self, answer: Answer) -> None:
        """Make the examples of a reply, or list why there are none."""
        for fact in self._of_key[answer.task.key]:
            if isinstance(answer.reply, Reply):
                options = self._work.job.options
                assert options is not None  # somebody has replied
                self._take(fact, examples(fact, self.plan_of(fact), answer.reply, options.model))
            elif isinstance(answer.error, StudioError):
                self._work.fail(fact.id, fact.question, Reason.of(answer.error))

    def _take(self, fact: Fact, made: list[MadeExample]) -> None:
        work = self._work
        if fact.id in self._shared:
            kept = "reverse_for_one" if any(example.kind == "reverse" for example in made) else "reverse_left_out"
            work.change(**{kept: getattr(work.status, kept) + 1})
        work.take(gated(fact, made, self._asked.get(fact.id, ())))


class SeedJob:
    """Makes new facts out of documents or titles."""

    def __init__(self, work: Work, tasks: list[Task]) -> None:
        self._work = work
        self._tasks = list({task.key: task for task in tasks}.values())
        self._place = {task.key: at for at, task in enumerate(self._tasks)}
        work.change(total=len(self._tasks))

    def tasks(self) -> list[Task]:
        """One request for each title or part of a document."""
        return self._tasks

    def receive(self, answer: Answer) -> None:
        """Keep the pairs of a reply, or list why there are none."""
        task = answer.task
        if isinstance(answer.reply, Pairs):
            self._work.take_pairs(self._place[task.key], task.title, answer.reply.pairs)
        elif isinstance(answer.error, StudioError):
            self._work.fail(0, task.title, Reason.of(answer.error))


def by_endpoint(work: Work, job: EndpointJob, ledger: Ledger, connection: Connection) -> None:
    """Ask for every task of a job until all are answered, the budget is spent or somebody stops it.

    Raises EndpointDown where the endpoint serves nothing.
    """
    named = work.job.options
    assert named is not None  # the job has an endpoint
    tasks = job.tasks()
    work.pace = Pace(connection.options.concurrency)
    if work.stopping:  # asked for while the pace was made
        work.pace.stop()
    spent = named.cost(ledger.prompt_tokens, ledger.completion_tokens)
    endpoint = Endpoint(connection.options, work.pace, key=connection.key, on_failure=work.attempt_failed)
    purse = Purse(named, spent, Estimate.of(tasks, ledger, named, work.job.plan).dearest)
    desk = Desk(endpoint, ledger, purse, work.attempt_failed)
    # To make examples of a reply takes the processor from those who ask: it waits for a moment without answers.
    replied: deque[Answer] = deque()
    try:
        with closing(desk.answers(tasks)) as answers:  # also where a full disk ends the job: its threads end first
            for answer in answers:
                if answer:
                    _count(work, ledger, answer)
                    replied.append(answer)
                elif replied:
                    job.receive(replied.popleft())
    except BudgetSpent as spent_all:
        work.pausing.set()
        # What was under way then has been paid for as well by now.
        spent = named.cost(ledger.prompt_tokens, ledger.completion_tokens)
        work.change(reason=Reason.of(BudgetSpent(spent_all.key, **{**spent_all.values, "spent": f"{spent:.2f}"})))
    finally:
        for answer in replied:
            job.receive(answer)
        _count_money(work, ledger)
        endpoint.close()


def _count(work: Work, ledger: Ledger, answer: Answer) -> None:
    if answer.origin == "asked":
        work.count_fresh()
        _count_money(work, ledger)
    if answer.origin == "earlier":
        work.change(reused=work.status.reused + 1)


def _count_money(work: Work, ledger: Ledger) -> None:
    options = work.job.options
    assert options is not None
    cost = options.cost(ledger.prompt_tokens, ledger.completion_tokens) if options.is_priced else None
    work.change(tokens=ledger.prompt_tokens + ledger.completion_tokens, cost=cost)


PairsOfFacts = set[tuple[int, str, str]]


def respecting(made: Iterable[MadeExample], replaced: PairsOfFacts, taken_away: PairsOfFacts) -> list[MadeExample]:
    """The examples without those that live on under a person's words; what a person took away waits for a decision."""
    kept = []
    for example in made:
        pair = (example.fact_id, example.question, example.answer)
        if pair in taken_away:
            flags = (*example.flags, "taken_away")
            kept.append(example.model_copy(update={"flags": flags, "status": "pending"}))
        elif pair not in replaced:
            kept.append(example)
    return kept
