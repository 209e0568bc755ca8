"""The review queue: one fact at a time, what a decision leads to, and who is at which fact; it must not know pages."""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from pydantic import Field

from studio.datasets.bulk import count_of, set_status
from studio.datasets.catalog import Datasets
from studio.datasets.filters import Filter
from studio.datasets.history import HistoryEntry, history_of
from studio.datasets.model import Example, ExampleStatus, Fact, Undone
from studio.datasets.search import require_own_example
from training.contract import Frozen

# A fact may have been merged from any number of lines; a sheet shows what waits first.
LARGEST_SHEET = 100
# Who has pressed no key for so long has left the fact, and others are led to it again.
HELD_S = 300
MOST_HISTORY = 3
DIRECTIONS = ("forward", "reverse")
ACCEPTED = Filter(status="accepted")


class Reader(Frozen):
    """One open page and who sits before it; people without a name are told apart by their pages."""

    page: str
    person: str = ""


class Progress(Frozen):
    """How many facts have no example left that waits for a decision."""

    done: int
    total: int
    reopenable: int = Field(0, description="Where nothing waits: how many examples are accepted.")


class Row(Frozen):
    """One question of a fact with its examples, the short answer first."""

    direction: Literal["forward", "reverse"]
    question: str
    examples: tuple[Example, ...]


class Sheet(Frozen):
    """All that a person sees of one fact."""

    fact: Fact
    rows: tuple[Row, ...]
    left_out: int = Field(description="Examples beyond what one sheet shows; those that wait are shown first.")
    history: dict[int, list[HistoryEntry]] = Field(description="The last changes of each example, the newest first.")
    cursor: int = Field(description="The example that the next key is about.")
    progress: Progress
    others: tuple[str, ...] = Field((), description="Who else is at this fact; an unnamed person is an empty text.")

    @property
    def examples(self) -> list[Example]:
        """What is shown, in the order of reading."""
        return [example for row in self.rows for example in row.examples]

    @property
    def waiting(self) -> list[int]:
        """The examples that no one has decided on, in the order of reading."""
        return [example.id for example in self.examples if example.status == "pending"]


@dataclass(frozen=True)
class _Hold:
    fact_id: int
    person: str
    since_s: float


class ReviewQueue:
    """Leads the people at a studio through the facts; what they decide is kept by `Datasets`."""

    def __init__(self, datasets: Datasets, clock: Callable[[], float] = time.monotonic) -> None:
        self.datasets = datasets
        self._clock = clock
        self._lock = Lock()
        self._holds: dict[tuple[int, str], _Hold] = {}
        # Kept while decisions leave facts unfinished: to count it is the dearest part of a screen.
        self._progress: dict[int, Progress] = {}

    def open(self, name: str, reader: Reader, cursor: int = 0) -> Sheet | None:
        """The fact that this page was at, the cursor too, else the first that waits; None where there is no fact."""
        dataset_id = self._anew(name)
        hold = self._holds.get((dataset_id, reader.page))
        db = self.datasets.store.read()
        if hold is not None and _has_examples(db, dataset_id, hold.fact_id):
            return self._sheet(dataset_id, hold.fact_id, reader, cursor)
        return self._next(dataset_id, 0, reader)

    def next(self, name: str, fact_id: int, reader: Reader) -> Sheet | None:
        """The next fact that waits and that nobody else is at; where nothing waits, the next one in order."""
        return self._next(self._anew(name), fact_id, reader)

    def previous(self, name: str, fact_id: int, reader: Reader) -> Sheet | None:
        """The fact before this one, decided or not; before the first comes the last."""
        dataset_id = self._anew(name)
        found = _first_number(
            self.datasets.store.read(),
            "SELECT coalesce((SELECT max(id) FROM fact WHERE dataset_id = :dataset AND id < :fact),"
            " (SELECT max(id) FROM fact WHERE dataset_id = :dataset))",
            {"dataset": dataset_id, "fact": fact_id},
        )
        return None if found is None else self._sheet(dataset_id, found, reader)

    def decide(
        self, name: str, seen: Mapping[int, str], status: ExampleStatus, reader: Reader
    ) -> tuple[Sheet | None, int]:
        """Give examples a status in one undoable step, and lead on; a fact decided to its end leads to the next one.

        `seen` maps ids to their stamps as they were shown. What somebody has changed since is left alone: the sheet
        stays at it, and the second value counts how many there are.
        """
        if not seen:
            return self.open(name, reader), 0
        dataset_id = self.datasets.require(name)
        with self.datasets.store.write() as db:
            examples = [require_own_example(db, dataset_id, example_id) for example_id in seen]
            changed = [example.id for example in examples if stamp_of(example) != seen[example.id]]
            fresh = [example for example in examples if example.id not in changed]
            set_status(db, dataset_id, [example.id for example in fresh], status, reader.person)
        fact_id = examples[0].fact_id
        waits = _next_waiting(self.datasets.store.read(), dataset_id, fact_id - 1, []) == fact_id
        if not waits:
            self._progress.pop(dataset_id, None)
            if not changed and any(example.status == "pending" for example in fresh):
                return self._next(dataset_id, fact_id, reader), 0
        cursor = changed[0] if changed else None
        return self._sheet(dataset_id, fact_id, reader, cursor, after=examples[-1].id), len(changed)

    def at(self, name: str, example_id: int, reader: Reader) -> Sheet:
        """The fact of an example, with the cursor there."""
        dataset_id = self.datasets.require(name)
        example = require_own_example(self.datasets.store.read(), dataset_id, example_id)
        return self._sheet(dataset_id, example.fact_id, reader, example_id)

    def undo(self, name: str, reader: Reader) -> tuple[Sheet | None, Undone]:
        """Take this person's last change back, and lead to what it was about."""
        dataset_id = self.datasets.require(name)
        db = self.datasets.store.read()
        touched = _last_touched(db, dataset_id, reader.person)
        undone = self.datasets.undo(name, author=reader.person)
        self._anew(name)
        fact_id, example_id = _place(db, touched)
        if fact_id is None or not _has_examples(db, dataset_id, fact_id):
            return self.open(name, reader), undone
        return self._sheet(dataset_id, fact_id, reader, example_id), undone

    def reopen(self, name: str, reader: Reader) -> tuple[Sheet | None, int]:
        """Let all accepted examples wait again, as one undoable step, for data that came in accepted."""
        number = self.datasets.set_status(name, ACCEPTED, "pending", author=reader.person)
        return self._next(self._anew(name), 0, reader), number

    def _next(self, dataset_id: int, fact_id: int, reader: Reader) -> Sheet | None:
        db = self.datasets.store.read()
        found = _next_waiting(db, dataset_id, fact_id, [fact_id, *self._others(dataset_id, reader)])
        if found is None:  # others are at all that waits: two at one fact are better than one with nothing to do
            found = _next_waiting(db, dataset_id, fact_id, [fact_id])
        if found is None:
            found = _first_number(
                db,
                "SELECT coalesce((SELECT min(id) FROM fact WHERE dataset_id = :dataset AND id > :fact),"
                " (SELECT min(id) FROM fact WHERE dataset_id = :dataset))",
                {"dataset": dataset_id, "fact": fact_id},
            )
        return None if found is None else self._sheet(dataset_id, found, reader)

    def _sheet(
        self,
        dataset_id: int,
        fact_id: int,
        reader: Reader,
        cursor: int | None = None,
        *,
        after: int = 0,
    ) -> Sheet:
        """The sheet of a fact that exists. Without a cursor it is at what waits next behind the example `after`."""
        db = self.datasets.store.read()
        ids = [
            example_id
            for (example_id,) in db.execute(
                "SELECT id FROM example WHERE fact_id = ? ORDER BY status != 'pending', id LIMIT ?",
                (fact_id, LARGEST_SHEET),
            )
        ]
        rows = _arranged([self.datasets.example(example_id) for example_id in sorted(ids)])
        total = db.execute("SELECT count(*) FROM example WHERE fact_id = ?", (fact_id,)).fetchone()[0]
        self._hold(dataset_id, fact_id, reader)
        others = self._others(dataset_id, reader)
        return Sheet(
            fact=self.datasets.fact(fact_id),
            rows=rows,
            left_out=total - len(ids),
            history={example_id: _last_edits(db, example_id) for example_id in ids},
            cursor=cursor if cursor in ids else _cursor(rows, after),
            progress=self._counted(db, dataset_id),
            others=tuple(others.get(fact_id, ())),
        )

    def _anew(self, name: str) -> int:
        """The id of a dataset whose progress is to be counted again."""
        dataset_id = self.datasets.require(name)
        self._progress.pop(dataset_id, None)
        return dataset_id

    def _counted(self, db: sqlite3.Connection, dataset_id: int) -> Progress:
        progress = self._progress.get(dataset_id) or _progress(db, dataset_id)
        self._progress[dataset_id] = progress
        return progress

    def _hold(self, dataset_id: int, fact_id: int, reader: Reader) -> None:
        with self._lock:
            oldest = self._clock() - HELD_S
            self._holds = {place: hold for place, hold in self._holds.items() if hold.since_s > oldest}
            self._holds[dataset_id, reader.page] = _Hold(fact_id, reader.person, self._clock())

    def _others(self, dataset_id: int, reader: Reader) -> dict[int, list[str]]:
        """The facts that other pages are at, with the people there."""
        others: dict[int, list[str]] = {}
        with self._lock:
            for (dataset, page), hold in self._holds.items():
                if dataset == dataset_id and page != reader.page and hold.since_s > self._clock() - HELD_S:
                    others.setdefault(hold.fact_id, []).append(hold.person)
        return others


def stamp_of(example: Example) -> str:
    """What an example was when it was shown: another text or another decision gives another stamp."""
    return f"{example.status} {example.updated_at.isoformat()}"


def _last_edits(db: sqlite3.Connection, example_id: int) -> list[HistoryEntry]:
    changes = [entry for entry in history_of(db, example_id) if entry.before and not entry.undone]
    return changes[:MOST_HISTORY]


def _arranged(examples: Sequence[Example]) -> tuple[Row, ...]:
    """The examples by direction and question, each in the order in which it came; the seed's question is the first."""
    found: dict[tuple[Literal["forward", "reverse"], str], list[Example]] = {}
    places: dict[str, int] = {}  # one answer keeps its place from question to question, whichever came first there
    for example in sorted(examples, key=lambda one: (one.kind == "reverse", one.kind != "seed", one.id)):
        direction: Literal["forward", "reverse"] = "reverse" if example.kind == "reverse" else "forward"
        found.setdefault((direction, example.question), []).append(example)
        places.setdefault(example.answer, len(places))
    return tuple(
        Row(
            direction=direction,
            question=question,
            examples=tuple(sorted(of_row, key=lambda one: (one.answer_style != "short", places[one.answer], one.id))),
        )
        for (direction, question), of_row in found.items()
    )


def _cursor(rows: Sequence[Row], after: int) -> int:
    """What waits next behind an example, else what waits first; where nothing waits, the example behind it."""
    order = [example for row in rows for example in row.examples]
    place = next((place for place, example in enumerate(order) if example.id == after), -1)
    behind_first = [*order[place + 1 :], *order[: place + 1]]
    waiting = next((example.id for example in behind_first if example.status == "pending"), None)
    return waiting if waiting is not None else order[min(place + 1, len(order) - 1)].id


def _progress(db: sqlite3.Connection, dataset_id: int) -> Progress:
    query = "SELECT count(DISTINCT fact_id) FROM example WHERE dataset_id = ? AND status = 'pending'"
    waiting = db.execute(query, (dataset_id,)).fetchone()[0]
    total = db.execute("SELECT count(*) FROM fact WHERE dataset_id = ?", (dataset_id,)).fetchone()[0]
    accepted = 0 if waiting else count_of(db, dataset_id, ACCEPTED)
    return Progress(done=total - waiting, total=total, reopenable=accepted)


def _next_waiting(db: sqlite3.Connection, dataset_id: int, fact_id: int, without: Sequence[int]) -> int | None:
    """The next fact with an example that waits, from the beginning again where none is left behind `fact_id`."""
    query = (
        "SELECT min(fact_id) FROM example WHERE dataset_id = :dataset AND status = 'pending' AND fact_id > :fact"
        " AND fact_id NOT IN (SELECT value FROM json_each(:without))"
    )
    for start in (fact_id, 0):
        values: dict[str, int | str] = {"dataset": dataset_id, "fact": start, "without": json.dumps(list(without))}
        if (found := _first_number(db, query, values)) is not None:
            return found
    return None


def _first_number(db: sqlite3.Connection, query: str, values: Mapping[str, int | str]) -> int | None:
    found: int | None = db.execute(query, values).fetchone()[0]
    return found


def _has_examples(db: sqlite3.Connection, dataset_id: int, fact_id: int) -> bool:
    query = "SELECT 1 FROM example WHERE dataset_id = ? AND fact_id = ? LIMIT 1"
    return db.execute(query, (dataset_id, fact_id)).fetchone() is not None


def _last_touched(db: sqlite3.Connection, dataset_id: int, person: str) -> list[tuple[str, int]]:
    """The first facts or examples of the edit that an undo of this person takes back; two stand for many."""
    return db.execute(
        "SELECT entity, entity_id FROM edit_change WHERE edit_id = ("
        " SELECT id FROM edit WHERE dataset_id = ? AND author = ? AND undone_at IS NULL ORDER BY id DESC LIMIT 1"
        ") ORDER BY id LIMIT 2",
        (dataset_id, person),
    ).fetchall()


def _place(db: sqlite3.Connection, touched: Sequence[tuple[str, int]]) -> tuple[int | None, int | None]:
    """The fact that was changed, and the example if it was a single one; None where it is gone."""
    if not touched:
        return None, None
    entity, entity_id = touched[0]
    if entity == "fact":
        return entity_id, None
    row = db.execute("SELECT fact_id FROM example WHERE id = ?", (entity_id,)).fetchone()
    return (row[0] if row else None), (entity_id if len(touched) == 1 else None)
