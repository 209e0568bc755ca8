"""A job under way in this process: its status on disk, what it has made, and what went wrong; it must not know how."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from pydantic import ValidationError

from studio.augmentation.pace import Pace
from studio.augmentation.prompts import Pair
from studio.augmentation.status import AugmentStatus, FailedFact, JobPlan, Reason
from studio.datasets import Fact, MadeExample
from studio.datasets.proposals import Proposal
from studio.errors import StudioError
from training.contract import Frozen, replace_text

STATUS_EVERY_S = 0.5
# The whole list of a large dataset would be written again with every status.
FAILED_SHOWN = 100
FAILURES = "failures.jsonl"


class Failure(Frozen):
    """One line of `failures.jsonl`: an attempt that gave nothing, whether or not a later one did."""

    title: str
    reason: Reason


@dataclass
class Work:
    """Only the job's own thread changes `status`; requests report their failures from theirs."""

    folder: Path
    job: JobPlan
    facts: list[Fact]
    status: AugmentStatus
    pausing: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    pace: Pace = field(default_factory=lambda: Pace(1))
    made: list[MadeExample] = field(default_factory=list)
    pairs: list[tuple[int, str, Pair]] = field(default_factory=list)  # each with the place and title of its source
    read: list[tuple[Fact, Proposal]] = field(default_factory=list)  # what was read of facts as they were then
    failed: list[FailedFact] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    began_at: float = field(default_factory=monotonic)
    saved_at: float = 0.0
    _fresh: int = 0  # replies since the start; the rest was on disk and says nothing about the rate
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.failures.update(failure.reason.key for failure in read_failures(self.folder))

    @property
    def stopping(self) -> bool:
        """Whether nothing new is begun."""
        return self.pausing.is_set() or self.cancelled.is_set()

    def stop(self, how: threading.Event) -> None:
        """Begin nothing new; requests under way end first."""
        how.set()
        self.pace.stop()

    def change(self, **values: object) -> None:
        """Update the status, and the file now and then."""
        self.status = self.status.model_copy(update=values)
        if monotonic() - self.saved_at >= STATUS_EVERY_S:
            self.save(failed=self.failed[-FAILED_SHOWN:])

    def save(self, *, failed: list[FailedFact]) -> None:
        """Write the status with this much of the list of failed facts."""
        elapsed_s, left = monotonic() - self.began_at, self.status.total - self.status.done
        with self._writing:
            failures = dict(self.failures)
        self.status = self.status.model_copy(
            update={
                "failed": failed,
                "failed_facts": len(self.failed),
                "failures": failures,
                "seconds": round(elapsed_s, 1),
                "eta_s": round(elapsed_s / self._fresh * left, 1) if self._fresh else None,
                "under_way": self.pace.limit,
            }
        )
        replace_text(self.folder / "status.json", self.status.model_dump_json())
        self.saved_at = monotonic()

    def take(self, made: list[MadeExample]) -> None:
        """Keep the examples of one fact."""
        self.made += made
        flags = Counter(self.status.flags)
        flags.update(flag for example in made for flag in example.flags)
        flagged = sum(bool(example.flags) for example in made)
        self.change(
            done=self.status.done + 1,
            made=self.status.made + len(made),
            flagged=self.status.flagged + flagged,
            flags=dict(flags),
        )

    def take_pairs(self, place: int, title: str, pairs: list[Pair]) -> None:
        """Keep the new seed pairs of one document or title."""
        self.pairs += [(place, title, pair) for pair in pairs]
        self.change(done=self.status.done + 1, made=len(self.pairs))

    def take_read(self, fact: Fact, read: Proposal) -> None:
        """Keep what was read of one fact."""
        self.read.append((fact, read))
        self.change(done=self.status.done + 1, made=len(self.read))

    def pairs_in_order(self) -> list[tuple[str, Pair]]:
        """The new seed pairs with their titles in the order of their sources, whichever reply came first."""
        return [(title, pair) for _, title, pair in sorted(self.pairs, key=lambda made: made[0])]

    def fail(self, fact_id: int, title: str, reason: Reason) -> None:
        """List a fact that got nothing."""
        self.failed.append(FailedFact(fact_id=fact_id, question=title, reason=reason))
        self.change(done=self.status.done + 1)

    def count_fresh(self) -> None:
        """Count one reply towards the rate."""
        self._fresh += 1

    def attempt_failed(self, title: str, error: StudioError) -> None:
        """List an attempt that gave nothing; may be called from any thread."""
        failure = Failure(title=title, reason=Reason.of(error))
        with self._writing, (self.folder / FAILURES).open("a", encoding="utf-8") as lines:
            lines.write(failure.model_dump_json() + "\n")
            self.failures[failure.reason.key] += 1


def read_failures(folder: Path) -> list[Failure]:
    """Every attempt of a job that gave nothing; a line that a crash cut off is left out."""
    path = folder / FAILURES
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found.append(Failure.model_validate_json(line))
        except ValidationError:
            continue
    return found
