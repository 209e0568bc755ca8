"""Runs every check over a dataset and keeps what they find until the next run; it must not change the dataset."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from pydantic import Field

from studio.datasets.catalog import Datasets
from studio.datasets.checks.contents import contents, lost_key_terms
from studio.datasets.checks.corpus import Corpus, corpus_of
from studio.datasets.checks.coverage import coverage
from studio.datasets.checks.doubles import doubles
from studio.datasets.checks.found import CODES, Code, Found
from studio.datasets.checks.leaks import leaks
from studio.datasets.checks.names import spellings
from studio.datasets.model import Example
from studio.datasets.search import LARGEST_PAGE, counts_of
from studio.errors import DatasetError
from studio.i18n import text
from studio.store import Store
from training.contract import Frozen, now

# In this order a run tells how far it is.
STAGES: dict[str, Callable[[Corpus], Iterable[Found]]] = {
    "coverage": coverage,
    "contents": contents,
    "key_terms": lost_key_terms,
    "doubles": doubles,
    "names": spellings,
    "leaks": leaks,
}
# A finding of a thousand examples is shown by its first ones; the list shows all.
MOST_SHOWN = 12


class CodeCount(Frozen):
    """How often one kind of finding was found."""

    code: Code
    findings: int
    examples: int


class Report(Frozen):
    """What the last run of the checks found, the worst kind first."""

    checked_at: datetime
    facts: int
    examples: int
    questions: int = Field(description="Test questions that were looked for; without any there are no leaks.")
    counts: list[CodeCount]
    changes_since: int = Field(description="Edits made or taken back since then.")

    def number(self, *codes: str) -> int:
        """Findings of some kinds together."""
        return sum(count.findings for count in self.counts if count.code in codes)


class Finding(Frozen):
    """One finding with the examples it is about, as they are now."""

    group_id: int
    code: Code
    values: dict[str, str | int]
    examples: list[Example] = Field(description="The first of them; those deleted since are gone.")
    total: int = Field(description="Examples that it is about.")

    def text(self, locale: str = "en") -> str:
        """Why this was found, in "ja" or "en"."""
        variant = f"_{self.values['what']}" if "what" in self.values else ""
        return text(f"checks.reason_{self.code}{variant}", locale, **self.values)


class FindingPage(Frozen):
    """One page of the findings of a kind; `number` counts from 1 and is the page really shown."""

    findings: list[Finding]
    total: int
    number: int
    pages: int


class Checks:
    """The checks of all datasets of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._datasets = Datasets(store)

    def run(self, name: str) -> Report:
        """Check a dataset and keep the findings in place of the last ones."""
        for _ in self.stages(name):
            pass
        report = self.report(name)
        assert report is not None
        return report

    def stages(self, name: str) -> Iterator[str]:
        """`run` step by step: the name of each stage before it begins; nothing is kept until the last has ended."""
        dataset_id = self._datasets.require(name)
        yield "reading"
        with self.store.snapshot() as db:
            corpus = corpus_of(db, dataset_id)
            seen = _seen(db, dataset_id)
        found: list[Found] = []
        for stage, check in STAGES.items():
            yield stage
            found += check(corpus)
        yield "keeping"
        self._keep(dataset_id, found, {**seen, "counts": _counts(found)})

    def report(self, name: str) -> Report | None:
        """What the last run found; None if the dataset was never checked."""
        db, dataset_id = self.store.read(), self._datasets.require(name)
        kept = db.execute("SELECT value FROM setting WHERE key = ?", (_key(dataset_id),)).fetchone()
        if kept is None:
            return None
        seen = json.loads(kept[0])
        (changes,) = db.execute(
            "SELECT count(*) FROM edit WHERE dataset_id = ? AND (id > ? OR undone_at > ?)",
            (dataset_id, seen.pop("edit"), seen["checked_at"]),
        ).fetchone()
        return Report.model_validate({**seen, "changes_since": changes})

    def findings(self, name: str, code: str, number: int = 1, size: int = 10) -> FindingPage:
        """The findings of one kind, at most 100 a page; a number out of range takes the nearest page."""
        if code not in CODES:
            raise DatasetError("checks.error_unknown_code", code=code, known=", ".join(CODES))
        db, dataset_id = self.store.read(), self._datasets.require(name)
        of_code = (dataset_id, code)
        (total,) = db.execute(
            "SELECT count(DISTINCT group_id) FROM finding WHERE dataset_id = ? AND code = ?", of_code
        ).fetchone()
        size = max(1, min(size, LARGEST_PAGE))
        pages = max(1, -(-total // size))
        number = max(1, min(number, pages))
        groups = db.execute(
            "SELECT group_id, min(details), group_concat(example_id) FROM finding WHERE dataset_id = ? AND code = ?"
            " GROUP BY group_id ORDER BY group_id LIMIT ? OFFSET ?",
            (*of_code, size, (number - 1) * size),
        ).fetchall()
        findings = [self._finding(code, *group) for group in groups]
        return FindingPage(findings=findings, total=total, number=number, pages=pages)

    def _finding(self, code: Code, group_id: int, details: str, members: str) -> Finding:
        ids = sorted(int(member) for member in members.split(","))
        examples = [example for example in map(self._example, ids[:MOST_SHOWN]) if example is not None]
        return Finding(group_id=group_id, code=code, values=json.loads(details), examples=examples, total=len(ids))

    def _example(self, example_id: int) -> Example | None:
        try:
            return self._datasets.example(example_id)
        except DatasetError:
            return None

    def _keep(self, dataset_id: int, found: list[Found], seen: dict[str, Any]) -> None:
        # Codes stand together, so that the groups of one are numbered in a row.
        found.sort(key=lambda one: CODES.index(one.code))
        rows = (
            (dataset_id, one.code, group_id, fact_id, example_id, json.dumps(one.values, ensure_ascii=False))
            for group_id, one in enumerate(found, 1)
            for example_id, fact_id in one.members
        )
        with self.store.write() as db:
            db.execute("DELETE FROM finding WHERE dataset_id = ?", (dataset_id,))
            db.executemany(
                "INSERT INTO finding (dataset_id, code, group_id, fact_id, example_id, details)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute(
                "INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", (_key(dataset_id), json.dumps(seen))
            )


def _key(dataset_id: int) -> str:
    return f"checked_{dataset_id}"


def _counts(found: list[Found]) -> list[dict[str, Any]]:
    """The counts of a report, the worst kind first; kept with it, for views ask for them at every change."""
    findings = Counter(one.code for one in found)
    examples: dict[str, set[int]] = defaultdict(set)
    for one in found:
        examples[one.code].update(example_id for example_id, _ in one.members)
    return [
        {"code": code, "findings": findings[code], "examples": len(examples[code])} for code in CODES if findings[code]
    ]


def _seen(db: sqlite3.Connection, dataset_id: int) -> dict[str, Any]:
    """What a run is about: how much there was, and the last edit before it."""
    counts = counts_of(db, dataset_id)
    (edit,) = db.execute("SELECT coalesce(max(id), 0) FROM edit WHERE dataset_id = ?", (dataset_id,)).fetchone()
    (asked,) = db.execute("SELECT count(*) FROM question WHERE dataset_id = ?", (dataset_id,)).fetchone()
    about = {"facts": counts.facts, "examples": counts.examples, "questions": asked}
    return {"checked_at": now().isoformat(), "edit": edit, **about}
