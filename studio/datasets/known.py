"""What a base model knows before any training: asks it every seed question and keeps what it said; no pages here.

The questions are asked in a background thread of this process. Each answer is kept at once, so that a restart, a
cancellation or a run that takes the device costs no more than the questions under way.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, Protocol

from pydantic import Field

from studio.datasets.catalog import Datasets
from studio.datasets.model import Fact
from studio.datasets.proposals import propose_fields
from studio.datasets.search import facts_of
from studio.errors import DatasetError, StudioError
from studio.inference import Endpoint, Options, ask
from training.contract import Frozen, now
from training.scoring import holds_key_terms

log = logging.getLogger(__name__)

# Our server answers several at a time in one batch.
ASKED_AT_ONCE = 8
# A base that thinks needs room for it; a seed answer is a sentence or two.
OPTIONS = Options(max_new_tokens=1024, temperature=0.0)
KeyTerms = Sequence[Sequence[str]]


class Handle(Protocol):
    """Where a model server listens."""

    @property
    def base_url(self) -> str: ...
    @property
    def token(self) -> str: ...


class Server(Protocol):
    """Starts a server of a base model, or finds the one that runs."""

    def ensure(self, base_model: str, on_phase: Callable[[str], None]) -> Handle: ...


@dataclass(frozen=True)
class Asking:
    """How far a base has been asked; `error` says why it ended before it was done."""

    state: Literal["idle", "starting", "asking", "done", "cancelled", "failed"] = "idle"
    base_model: str = ""
    done: int = 0
    total: int = 0
    error: StudioError | None = None

    @property
    def active(self) -> bool:
        """Whether more answers will come."""
        return self.state in ("starting", "asking")


class Knowledge(Frozen):
    """What a base was found to know of a dataset."""

    base_model: str
    known: int
    unknown: int
    without_terms: int = Field(
        description="Facts that cannot be judged: nothing is known of what a right answer holds."
    )
    left: int = Field(description="Facts that have not been asked.")


class KnownAnswer(Frozen):
    """What a base said to the seed question of a fact."""

    known: bool
    answer: str


@dataclass
class _Job:
    dataset: str
    asking: Asking
    stop: threading.Event = field(default_factory=threading.Event)


class KnownFacts:
    """What base models know of the datasets of one store; at most one is asked at a time."""

    def __init__(self, datasets: Datasets, server: Server) -> None:
        self.datasets = datasets
        self.store = datasets.store
        self.server = server
        self._lock = threading.Lock()
        self._job = _Job("", Asking())

    def start(self, name: str, base_model: str, *, again: bool = False) -> None:
        """Ask a base the seed questions that it has not been asked yet, or all of them `again`.

        Raises:
            DatasetError: it is being asked already, or no fact is left to ask about.
        """
        dataset_id = self.datasets.require(name)
        with self._lock:
            if self._job.asking.active:
                raise DatasetError("facts.error_asking", dataset=self._job.dataset)
            if again:
                self._forget(dataset_id, base_model)
            left = self._left(dataset_id, base_model)
            if not left:
                raise DatasetError("facts.error_nothing_to_ask")
            job = self._job = _Job(name, Asking("starting", base_model, total=len(left)))
            threading.Thread(target=self._run, args=(job, left), daemon=True).start()

    def status(self, name: str) -> Asking:
        """How far the asking of a dataset is; idle where another dataset's is under way."""
        job = self._job
        return job.asking if job.dataset == name else Asking()

    def cancel(self, name: str) -> None:
        """Ask no more; what was answered stays."""
        job = self._job
        if job.dataset == name:
            job.stop.set()

    def knowledge(self, name: str) -> list[Knowledge]:
        """Every base that was asked about a dataset, the last asked first."""
        db, dataset_id = self.store.read(), self.datasets.require(name)
        facts = list(facts_of(db, dataset_id))
        judgeable = sum(bool(key_terms_of(fact)) for fact in facts)
        rows = db.execute(
            "SELECT base_model, sum(known), count(*) FROM known_fact JOIN fact ON fact.id = fact_id"
            " WHERE dataset_id = ? GROUP BY base_model ORDER BY max(asked_at) DESC",
            (dataset_id,),
        )
        return [
            Knowledge(
                base_model=base_model,
                known=known,
                unknown=asked - known,
                without_terms=len(facts) - judgeable,
                left=max(0, judgeable - asked),
            )
            for base_model, known, asked in rows
        ]

    def answers(self, name: str, base_model: str, fact_ids: Iterable[int]) -> dict[int, KnownAnswer]:
        """What a base said to some facts' seed questions."""
        wanted = list(fact_ids)
        marks = ", ".join("?" * len(wanted))
        rows = self.store.read().execute(
            "SELECT fact_id, known, answer FROM known_fact JOIN fact ON fact.id = fact_id"
            f" WHERE dataset_id = ? AND base_model = ? AND fact_id IN ({marks})",
            (self.datasets.require(name), base_model, *wanted),
        )
        return {fact_id: KnownAnswer(known=bool(known), answer=answer) for fact_id, known, answer in rows}

    def _forget(self, dataset_id: int, base_model: str) -> None:
        with self.store.write() as db:
            db.execute(
                "DELETE FROM known_fact WHERE base_model = ? AND fact_id IN (SELECT id FROM fact WHERE dataset_id = ?)",
                (base_model, dataset_id),
            )

    def _left(self, dataset_id: int, base_model: str) -> list[tuple[Fact, KeyTerms]]:
        db = self.store.read()
        rows = db.execute("SELECT fact_id FROM known_fact WHERE base_model = ?", (base_model,))
        asked = {fact_id for (fact_id,) in rows}
        facts = (fact for fact in facts_of(db, dataset_id) if fact.id not in asked)
        return [(fact, terms) for fact in facts if (terms := key_terms_of(fact))]

    def _run(self, job: _Job, left: Sequence[tuple[Fact, KeyTerms]]) -> None:
        try:
            handle = self.server.ensure(job.asking.base_model, lambda phase: None)
            job.asking = replace(job.asking, state="asking")
            self._ask_all(job, Endpoint(handle.base_url, handle.token), left)
            job.asking = replace(job.asking, state="cancelled" if job.stop.is_set() else "done")
        except StudioError as error:
            job.asking = replace(job.asking, state="failed", error=error)
        except Exception:  # a page waits for this thread's word, whatever happens in it
            log.exception("the base could not be asked what it knows")
            job.asking = replace(job.asking, state="failed", error=DatasetError("facts.error_unexpected"))

    def _ask_all(self, job: _Job, endpoint: Endpoint, left: Sequence[tuple[Fact, KeyTerms]]) -> None:
        """Keep a few questions under way until none is left, somebody cancels or the server fails."""
        waiting = iter(left)
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            under_way: dict[Future[str], tuple[Fact, KeyTerms]] = {}
            try:
                while True:
                    room = 0 if job.stop.is_set() else ASKED_AT_ONCE - len(under_way)
                    for fact, terms in islice(waiting, room):
                        under_way[pool.submit(_answer, endpoint, fact.question)] = fact, terms
                    if not under_way:
                        return
                    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                        fact, terms = under_way.pop(future)
                        self._keep(fact.id, job.asking.base_model, future.result(), terms)
                        job.asking = replace(job.asking, done=job.asking.done + 1)
            finally:
                pool.shutdown(cancel_futures=True)

    def _keep(self, fact_id: int, base_model: str, answer: str, terms: KeyTerms) -> None:
        row = (fact_id, base_model, holds_key_terms(answer, terms), answer, now().isoformat())
        with self.store.write() as db:
            try:
                db.execute("INSERT OR REPLACE INTO known_fact VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                return  # the fact was deleted while its question was asked


def key_terms_of(fact: Fact) -> KeyTerms:
    """What a right answer holds: as a person said, or as the rules read it."""
    return fact.key_terms or propose_fields(fact).key_terms


def _answer(endpoint: Endpoint, question: str) -> str:
    return ask(endpoint, "base", [{"role": "user", "content": question}], OPTIONS).answer
