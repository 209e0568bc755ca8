"""Keeps every reply of an endpoint on disk before it counts, so that none is paid for twice; it must not know HTTP."""

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from studio.augmentation.endpoint import PROMPT_VERSION, Endpoint, EndpointOptions, Reply, parse
from studio.augmentation.plan import Plan
from studio.datasets.model import Fact
from training.contract import Frozen

FILE = "ledger.jsonl"
PREVIEWS = "previews"  # a folder beside those of the jobs, without a plan


class Entry(Frozen):
    """One line: a reply, and the request that it answers."""

    key: str
    fact_id: int
    model: str
    prompt_version: str
    content: str
    tokens: int


def key_of(fact: Fact, plan: Plan, options: EndpointOptions) -> str:
    """Names a request by what shapes its reply; the fact counts by its text, so an edited fact is asked again."""
    shaping = (PROMPT_VERSION, options.base_url, options.model, str(plan.forward), str(plan.reverse))
    return hashlib.sha256("\0".join((*shaping, fact.question, fact.answer)).encode()).hexdigest()


class Ledger:
    """The replies of all jobs to read from, and the file of one job to append to."""

    def __init__(self, path: Path, others: Iterable[Path]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, Reply] = {}
        for other in others:
            for entry in _entries(other):
                if reply := parse(entry.content):
                    self._known[entry.key] = reply

    def find(self, key: str) -> Reply | None:
        """A reply that was paid for before."""
        return self._known.get(key)

    def append(self, entry: Entry) -> None:
        """Write a reply down and wait until the disk has it."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(entry.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())


def paid_once(ledger: Ledger, endpoint: Endpoint, fact: Fact, plan: Plan) -> tuple[Reply, int | None]:
    """The reply for a fact and its tokens; None tokens where it was paid for before."""
    options = endpoint.options
    key = key_of(fact, plan, options)
    if known := ledger.find(key):
        return known, None
    wording = endpoint.ask(fact, plan)
    ledger.append(
        Entry(
            key=key,
            fact_id=fact.id,
            model=options.model,
            prompt_version=PROMPT_VERSION,
            content=wording.content,
            tokens=wording.tokens,
        )
    )
    return wording.reply, wording.tokens


def _entries(path: Path) -> Iterable[Entry]:
    """The whole lines of a ledger; one that a crash cut off was never counted."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield Entry.model_validate_json(line)
            except ValidationError:
                continue
