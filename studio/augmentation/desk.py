"""Asks an endpoint for one task after the other on many threads; it must not know what becomes of the replies.

Each reply is in the ledger before it is handed on, so a job that ends at any moment goes on where it was.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from studio.augmentation.endpoint import Completion, Endpoint, EndpointDown, FactFailed
from studio.augmentation.ledger import Entry, Ledger, Outcome
from studio.augmentation.options import EndpointOptions
from studio.augmentation.pace import Stopped
from studio.augmentation.prompts import Task, Written, messages, parse, schema
from studio.errors import StudioError

# A reply that cannot be read is asked for once more.
ASKED_AT_MOST = 2
# With so many tasks failed and none answered in between, the endpoint is taken for down.
FAILED_IN_A_ROW = 20
# So long without an answer, and the job's thread may do what can wait.
QUIET_S = 0.01
SENTENCES: dict[Outcome, str] = {
    "malformed": "augment.error_malformed",
    "cut_off": "augment.error_cut_off",
    "blocked": "augment.error_blocked",
}


REFUSED = "augment.error_status"


class BudgetSpent(StudioError):
    """The next request could cost more than what is left of the budget."""


class Attempts(Protocol):
    """Hears of every attempt that gave nothing."""

    def __call__(self, title: str, error: StudioError) -> None: ...


@dataclass(frozen=True)
class Answer:
    """What became of one task: a reply, or why there is none."""

    task: Task
    reply: Written | None = None
    error: Exception | None = None
    # Asked now; read from this job's own ledger; or from an earlier job's.
    origin: Literal["asked", "own", "earlier"] = "asked"


class Purse:
    """Counts what a job spends and refuses what could exceed its budget; the dearest reply so far is the measure.

    As long as there is none, one request goes alone: what a model thinks can cost many times what it writes.
    """

    def __init__(self, options: EndpointOptions, spent: float, dearest: float | None) -> None:
        self._options = options
        self._spent, self._dearest, self._reserved = spent, dearest, 0
        self._changed = threading.Condition()

    def reserve(self) -> None:
        """Set money aside for one request. Raises BudgetSpent."""
        budget = self._options.budget
        with self._changed:
            while budget is not None and self._dearest is None and self._reserved:
                self._changed.wait()
            if budget is not None and self._spent + (self._reserved + 1) * (self._dearest or 0.0) > budget:
                raise BudgetSpent("augment.budget_spent", spent=f"{self._spent:.2f}", budget=f"{budget:g}")
            self._reserved += 1

    def pay(self, completion: Completion | None) -> None:
        """Take what a request really cost; None where it got no answer."""
        with self._changed:
            self._reserved -= 1
            if completion is not None:
                cost = self._options.cost(completion.prompt_tokens, completion.completion_tokens)
                self._spent += cost
                self._dearest = max(self._dearest or 0.0, cost)
            self._changed.notify_all()


class _Told:
    """What the answers of a job say about its endpoint."""

    def __init__(self) -> None:
        self.in_a_row = 0
        self.replied = False
        self.last: FactFailed | None = None

    def count(self, answer: Answer) -> None:
        """Take one answer into account; failures that were known before say nothing new."""
        self.replied = self.replied or answer.reply is not None
        if answer.origin == "asked":
            self.in_a_row = self.in_a_row + 1 if answer.error else 0
            self.last = answer.error if isinstance(answer.error, FactFailed) else self.last

    def too_many(self) -> EndpointDown | None:
        """Why nothing more should be paid for, if so many failed one after the other."""
        if self.in_a_row < FAILED_IN_A_ROW:
            return None
        return EndpointDown("augment.error_in_a_row", number=FAILED_IN_A_ROW, last=self.last)

    def all_refused(self) -> EndpointDown | None:
        """What the endpoint said to every request, if none was to its liking."""
        if self.replied or self.last is None or self.last.key != REFUSED:
            return None
        return EndpointDown(self.last.key, **self.last.values)


class Desk:
    """Tasks in, answers out."""

    def __init__(self, endpoint: Endpoint, ledger: Ledger, purse: Purse, on_failure: Attempts) -> None:
        self._endpoint = endpoint
        self._ledger = ledger
        self._purse = purse
        self._on_failure = on_failure

    def answers(self, tasks: Sequence[Task]) -> Generator[Answer | None, None, None]:
        """Ask for every task at once, as far as the pace allows; answers come as they are ready, None while none is.

        Raises:
            EndpointDown: the endpoint serves nothing; answers that were under way have been given.
            BudgetSpent: the next request could exceed the budget.
        """
        waiting, ready = iter(tasks), queue.SimpleQueue[Answer | None]()
        turn = threading.Lock()

        def work() -> None:
            while True:
                with turn:
                    task = next(waiting, None)
                answer = self._answer(task) if task else None
                ready.put(answer)
                if answer is None or isinstance(answer.error, Stopped):
                    return

        # Half as many again: some wait for the disk while others ask.
        number = min(self._endpoint.options.concurrency * 3 // 2 + 1, len(tasks))
        threads = [threading.Thread(target=work, name=f"augment {at}", daemon=True) for at in range(number)]
        for thread in threads:
            thread.start()
        try:
            yield from self._collect(ready, number)
        finally:
            self._endpoint.pace.stop()
            for thread in threads:
                thread.join()

    def ask(self, task: Task) -> Answer:
        """One answer, from the ledger where it was paid for. `error` is a FactFailed that concerns this task alone.

        Raises EndpointDown, BudgetSpent, Stopped.
        """
        if known := self._ledger.find(task.key):
            origin: Literal["own", "earlier"] = "own" if task.key in self._ledger.own else "earlier"
            return Answer(task, reply=parse(known.content, task.expects), origin=origin)
        asked = False
        while True:
            earlier = self._ledger.own.get(task.key, [])
            if earlier and (earlier[-1].outcome == "blocked" or len(earlier) >= ASKED_AT_MOST):
                failed = FactFailed(SENTENCES[earlier[-1].outcome])
                return Answer(task, error=failed, origin="asked" if asked else "own")
            asked = True
            try:
                outcome, reply = self._paid(task, earlier[-1].content if earlier else None)
            except FactFailed as error:
                return Answer(task, error=error)
            if reply:
                return Answer(task, reply=reply)
            self._on_failure(task.title, FactFailed(SENTENCES[outcome]))

    def _collect(self, ready: "queue.SimpleQueue[Answer | None]", threads: int) -> Iterator[Answer | None]:
        """Answers until every thread has ended; the error that ended them all comes last."""
        told = _Told()
        ending: Exception | None = None
        while threads:
            try:
                answer = ready.get(timeout=QUIET_S)
            except queue.Empty:
                yield None
                continue
            if answer is None or isinstance(answer.error, Stopped):
                threads -= 1
            elif answer.error is None or isinstance(answer.error, FactFailed):
                told.count(answer)
                yield answer
                ending = ending or told.too_many()
            else:
                ending = ending or answer.error
            if ending is not None:
                self._endpoint.pace.stop()
        ending = ending or told.all_refused()
        if ending is not None:
            raise ending

    def _answer(self, task: Task) -> Answer:
        try:
            return self.ask(task)
        except Exception as error:  # handed to the job's own thread, which raises what is none of a task's
            return Answer(task, error=error)

    def _paid(self, task: Task, refused: str | None) -> tuple[Outcome, Written | None]:
        """Ask once, and return what was made of the reply when the disk has it."""
        self._purse.reserve()
        completion = None
        try:
            completion = self._endpoint.ask(task.title, messages(task, refused), schema(task.expects))
        finally:
            self._purse.pay(completion)
        outcome, reply = completion.outcome, parse(completion.content, task.expects)
        if reply:
            outcome = "usable"
        elif outcome == "usable":
            outcome = "malformed"
        entry = Entry(
            key=task.key,
            fact_id=task.fact_id,
            model=self._endpoint.options.model,
            prompt_version=task.prompt_version,
            content=completion.content,
            outcome=outcome,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
        )
        self._ledger.append(entry)
        return outcome, reply
