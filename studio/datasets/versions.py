"""Freezes a dataset under a name, compares two versions and goes back to one; it must not know pages or run folders.

A version lists the images of all facts and examples by their hash, so what two versions share is stored once.
"""

import re
import sqlite3
from datetime import datetime

from pydantic import Field

from studio.datasets.edits import Entity
from studio.datasets.going_back import Return, Values, Wanted
from studio.datasets.images import (
    ENTITIES,
    Changed,
    ChangeKind,
    candidates_in,
    changed_between,
    hash_of,
    image_of,
    keep_images,
)
from studio.datasets.lookup import require_dataset
from studio.datasets.splits import SplitCounts, Splits, frozen, split_counts_of, splits_of
from studio.datasets.text import excerpt, is_storable
from studio.errors import DatasetError
from studio.store import Store
from training.contract import Frozen, RunConfig, TrainingExample, now

LONGEST_NAME = 60
PAGE_SIZE = 50
# Characters of a version's hash that a run's configuration carries.
SHORT_HASH = 12
# The dataset as it is, where a comparison asks for a version.
NOW = ""


class Version(Frozen):
    """A frozen dataset."""

    id: int
    name: str
    author: str
    made_at: datetime
    sha256: str
    facts: int
    examples: int

    @property
    def reference(self) -> str:
        """Name and hash, as a run records them: a later dataset of the same name is told apart."""
        return f"{self.name}@{self.sha256[:SHORT_HASH]}"


class Difference(Frozen):
    """One fact or example that two versions do not hold alike; `before` and `after` are empty where it is not."""

    kind: ChangeKind
    entity: Entity
    id: int
    before: Values
    after: Values


class Comparison(Frozen):
    """What became different from one version to another, a page at a time."""

    counts: dict[Entity, dict[ChangeKind, int]]
    differences: list[Difference]
    total: int = Field(description="Differences of the kind asked for, over all pages.")
    number: int
    pages: int


class Versions:
    """The versions and splits of every dataset of one store. Every method raises DatasetError for people."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def all(self, name: str) -> list[Version]:
        """The versions of a dataset, the newest first."""
        db = self.store.read()
        return _versions(db, require_dataset(db, name))

    def freeze(self, name: str, version: str = "", *, author: str = "") -> Version:
        """Keep the dataset as it is under a new name; without one, the next number."""
        with self.store.write() as db:
            return _freeze(db, require_dataset(db, name), version, author)

    def compare(
        self, name: str, older: str, newer: str = NOW, *, kind: ChangeKind | None = None, number: int = 1
    ) -> Comparison:
        """What `newer` holds otherwise than `older`, 50 a page, facts first; NOW stands for the dataset as it is."""
        with self.store.snapshot() as db:
            dataset_id = require_dataset(db, name)
            sides = [None if side == NOW else _find(db, dataset_id, side).id for side in (older, newer)]
            changed = changed_between(db, dataset_id, *sides)
            # A fact that came or went did so with its seed, which says more.
            told = (change for change in changed if change.entity == "example" or change.kind == "changed")
            wanted = [change for change in told if kind in (None, change.kind)]
            pages = max(1, -(-len(wanted) // PAGE_SIZE))
            number = max(1, min(number, pages))
            shown = wanted[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
            differences = [Difference(kind=change.kind, **_images(db, change)._asdict()) for change in shown]
        return Comparison(
            counts=_counted(changed), differences=differences, total=len(wanted), number=number, pages=pages
        )

    def go_back(self, name: str, version: str, *, author: str = "") -> int:
        """Make the dataset what the version holds, in one undoable edit; return how many facts and examples changed."""
        with self.store.write() as db:
            dataset_id = require_dataset(db, name)
            found = _find(db, dataset_id, version)
            changed = changed_between(db, dataset_id, None, found.id)
            if changed:
                edit = Return(db, dataset_id, "versions.undone_go_back", author=author, version=found.name)
                edit.make([_images(db, change) for change in changed])
            return len(changed)

    def frozen_examples(self, name: str, config: RunConfig) -> tuple[str, list[TrainingExample]]:
        """What a run trains: the reference of a version, and its accepted examples with their splits.

        It is the version that `config` names, else the dataset as it is, which is frozen where no version equals it.
        """
        with self.store.write() as db:
            dataset_id = require_dataset(db, name)
            wanted = config.dataset_version
            version = _find(db, dataset_id, wanted) if wanted else _present_version(db, dataset_id)
        return version.reference, frozen(candidates_in(self.store.read(), version.id), config)

    def splits(self, name: str) -> Splits:
        """How the dataset is divided where a run does not say otherwise."""
        db = self.store.read()
        return splits_of(db, require_dataset(db, name))

    def set_splits(self, name: str, splits: Splits) -> None:
        """Divide the dataset so from now on; runs that have started keep their own."""
        with self.store.write() as db:
            values = (splits.model_dump_json(), require_dataset(db, name))
            db.execute("UPDATE dataset SET splits = ? WHERE id = ?", values)

    def split_counts(self, name: str, splits: Splits | None = None) -> SplitCounts:
        """What each split holds, with the dataset's own splits or with others that are tried."""
        db = self.store.read()
        dataset_id = require_dataset(db, name)
        return split_counts_of(db, dataset_id, splits or splits_of(db, dataset_id))


def _versions(db: sqlite3.Connection, dataset_id: int) -> list[Version]:
    columns = tuple(Version.model_fields)
    rows = db.execute(f"SELECT {', '.join(columns)} FROM version WHERE dataset_id = ? ORDER BY id DESC", (dataset_id,))
    return [Version.model_validate(dict(zip(columns, row, strict=True))) for row in rows]


def _find(db: sqlite3.Connection, dataset_id: int, wanted: str) -> Version:
    """The version of a name, or of a reference that a run recorded."""
    versions = _versions(db, dataset_id)
    for version in versions:
        if wanted in (version.name, version.reference):
            return version
    known = ", ".join(version.name for version in versions[:20]) or "–"
    raise DatasetError("versions.error_unknown", version=excerpt(wanted), known=known)


def _present_version(db: sqlite3.Connection, dataset_id: int) -> Version:
    """The newest version that equals the dataset, made now where there is none."""
    present = hash_of(db, dataset_id)
    same = (version for version in _versions(db, dataset_id) if version.sha256 == present)
    return next(same, None) or _freeze(db, dataset_id, "", "")


def _freeze(db: sqlite3.Connection, dataset_id: int, name: str, author: str) -> Version:
    names = {version.name for version in _versions(db, dataset_id)}
    name = _valid_name(name.strip() or _next_name(names))
    if name in names:
        raise DatasetError("versions.error_name_taken", version=name)
    facts, examples = (
        db.execute(f"SELECT count(*) FROM {entity} WHERE dataset_id = ?", (dataset_id,)).fetchone()[0]
        for entity in ENTITIES
    )
    version_id = db.execute(
        "INSERT INTO version (dataset_id, name, author, made_at, sha256, facts, examples)"
        " VALUES (?, ?, ?, ?, '', ?, ?)",
        (dataset_id, name, author.strip(), now().isoformat(), facts, examples),
    ).lastrowid
    assert version_id is not None
    whole = keep_images(db, dataset_id, version_id)
    db.execute("UPDATE version SET sha256 = ? WHERE id = ?", (whole, version_id))
    return _find(db, dataset_id, name)


def _valid_name(name: str) -> str:
    if len(name) > LONGEST_NAME or not name.isprintable() or not is_storable(name):
        raise DatasetError("versions.error_name", version=excerpt(name), longest=LONGEST_NAME)
    return name


def _next_name(names: set[str]) -> str:
    numbers = [int(found[1]) for name in names if (found := re.fullmatch(r"v(\d{1,9})", name, re.ASCII))]
    return f"v{max(numbers, default=0) + 1}"


def _counted(changed: list[Changed]) -> dict[Entity, dict[ChangeKind, int]]:
    counts: dict[Entity, dict[ChangeKind, int]] = {
        entity: {"added": 0, "changed": 0, "removed": 0} for entity in ENTITIES
    }
    for change in changed:
        counts[change.entity][change.kind] += 1
    return counts


def _images(db: sqlite3.Connection, change: Changed) -> Wanted:
    return Wanted(change.entity, change.id, image_of(db, change, change.before), image_of(db, change, change.after))
