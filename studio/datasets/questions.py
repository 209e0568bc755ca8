"""Question sets: questions that are asked and never trained, each with its fact and its kind; it must not know pages.

What is proposed at the import stays a proposal until a person confirms it. The table `question` is written here alone.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from studio.datasets.catalog import Datasets
from studio.datasets.linking import Known, Linker, QuestionKind
from studio.datasets.linking import Link as ProposedLink
from studio.datasets.model import RejectedLine
from studio.datasets.proposals import propose_fields, works_of
from studio.datasets.reading import read_pairs
from studio.datasets.search import LARGEST_ID, facts_of, require_fact
from studio.datasets.text import clean, excerpt
from studio.errors import DatasetError
from training.contract import Frozen

KINDS: tuple[QuestionKind, ...] = ("trained", "heldout_phrasing", "reverse", "heldout_fact", "out_of_domain")
# These ask for a fact of the dataset; the others for something that it does not hold.
OF_FACTS: frozenset[QuestionKind] = frozenset(("trained", "heldout_phrasing", "reverse"))
# Its fact was deleted or went into another: whatever a person said of it has to be said again.
LOST = "fact_id IS NULL AND kind IN ('trained', 'heldout_phrasing', 'reverse')"
OPEN = f"confirmed_by IS NULL OR ({LOST})"
LARGEST_PAGE = 100
LONGEST_NAME = 60


class Question(Frozen):
    """A question of a set; `confirmed_by` is None until a person has looked at it."""

    id: int
    question_set: str
    question: str
    reference: str = Field(description="What a right answer says; may be empty.")
    fact_id: int | None
    kind: QuestionKind
    reason: str = Field(description="Code of the reason for the proposal; empty where a person chose.")
    reason_text: str = Field(description="What the reason quotes.")
    confirmed_by: str | None


class QuestionSet(Frozen):
    """A set and how far a person has confirmed it."""

    name: str
    questions: int
    confirmed: int
    by_kind: dict[str, int]


class QuestionPage(Frozen):
    """Questions in the order of their file; `number` counts from 1 and is the page really shown."""

    questions: list[Question]
    total: int
    number: int
    pages: int


class SetReport(Frozen):
    """What the import of a question set brought in."""

    name: str
    imported: int
    rejected: list[RejectedLine]


class QuestionSets:
    """The question sets of all datasets of one store."""

    def __init__(self, datasets: Datasets) -> None:
        self.datasets = datasets
        self.store = datasets.store

    def sets(self, name: str) -> list[QuestionSet]:
        """The sets of a dataset, in the order of their import."""
        db = self.store.read()
        rows = db.execute(
            f"SELECT question_set, kind, count(*), total(NOT ({OPEN})) FROM question WHERE dataset_id = ?"
            " GROUP BY question_set, kind ORDER BY min(id)",
            (self.datasets.require(name),),
        )
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        confirmed: dict[str, int] = defaultdict(int)
        for question_set, kind, number, looked_at in rows:
            kinds[question_set][kind] = number
            confirmed[question_set] += int(looked_at)
        return [
            QuestionSet(name=found, questions=sum(by.values()), confirmed=confirmed[found], by_kind=by)
            for found, by in kinds.items()
        ]

    def import_file(
        self, name: str, question_set: str, path: Path, mapping: Mapping[str, str] | None = None
    ) -> SetReport:
        """Bring a file of questions and reference answers in as a set, each linked to a fact by proposal.

        Raises:
            DatasetError: the file cannot be read, or the set has no name or is there already.
        """
        dataset_id = self.datasets.require(name)
        question_set = _set_name(question_set)
        if any(found.name == question_set for found in self.sets(name)):
            raise DatasetError("questions.error_set_taken", name=question_set)
        read = read_pairs(path, mapping or {})
        pairs = dict.fromkeys((pair.question, pair.answer) for pair in read.pairs)
        linker = self._linker(dataset_id)
        with self.store.write() as db:
            db.executemany(
                "INSERT INTO question (dataset_id, question_set, question, reference, fact_id, kind, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (dataset_id, question_set, question, reference, *_columns(linker.link(question, reference)))
                    for question, reference in pairs
                ],
            )
        return SetReport(name=question_set, imported=len(pairs), rejected=read.rejected)

    def page(
        self, name: str, question_set: str, *, number: int = 1, size: int = 50, only: Literal["", "open"] = ""
    ) -> QuestionPage:
        """At most 100 questions; `only="open"` leaves out what is confirmed."""
        db, dataset_id = self.store.read(), self.datasets.require(name)
        size = max(1, min(size, LARGEST_PAGE))
        condition = "dataset_id = ? AND question_set = ?" + (f" AND ({OPEN})" if only else "")
        values = (dataset_id, _storable(question_set))
        total: int = db.execute(f"SELECT count(*) FROM question WHERE {condition}", values).fetchone()[0]
        pages = max(1, -(-total // size))
        number = max(1, min(number, pages))
        rows = db.execute(
            f"{_SELECT} WHERE {condition} ORDER BY id LIMIT ? OFFSET ?", (*values, size, (number - 1) * size)
        )
        return QuestionPage(questions=[_question(row) for row in rows], total=total, number=number, pages=pages)

    def questions(self, name: str, question_set: str) -> list[Question]:
        """All questions of a set, in the order of its file."""
        values = (self.datasets.require(name), _storable(question_set))
        rows = self.store.read().execute(f"{_SELECT} WHERE dataset_id = ? AND question_set = ? ORDER BY id", values)
        return [_question(row) for row in rows]

    def confirm(
        self,
        name: str,
        question_id: int,
        *,
        kind: QuestionKind | None = None,
        fact_id: int | None = None,
        author: str = "",
    ) -> Question:
        """Say that a person agrees with what is proposed, or what it is instead.

        Another kind keeps the fact where the kind is one of facts; `fact_id` names another fact.

        Raises:
            DatasetError: the question or the fact is not of this dataset, or the kind needs a fact and there is none.
        """
        dataset_id = self.datasets.require(name)
        with self.store.write() as db:
            question = _require(db, dataset_id, question_id)
            kind = kind or question.kind
            fact_id = fact_id if fact_id is not None else question.fact_id
            if kind not in OF_FACTS:
                fact_id = None
            elif fact_id is None:
                raise DatasetError("questions.error_needs_fact")
            else:
                require_fact(db, fact_id, dataset_id)
            same = (kind, fact_id) == (question.kind, question.fact_id)
            db.execute(
                "UPDATE question SET kind = ?, fact_id = ?, confirmed_by = ?, reason = CASE WHEN ? THEN reason ELSE ''"
                " END WHERE id = ?",
                (kind, fact_id, author.strip(), same, question_id),
            )
            return _require(db, dataset_id, question_id)

    def reopen(self, name: str, question_id: int) -> Question:
        """Take a confirmation back, so that the question is looked at again."""
        dataset_id = self.datasets.require(name)
        with self.store.write() as db:
            _require(db, dataset_id, question_id)
            db.execute("UPDATE question SET confirmed_by = NULL WHERE id = ?", (question_id,))
            return _require(db, dataset_id, question_id)

    def confirm_all(self, name: str, question_set: str, author: str = "") -> int:
        """Agree with all that is still open in a set, and return how many that were."""
        with self.store.write() as db:
            return db.execute(
                "UPDATE question SET confirmed_by = ? WHERE dataset_id = ? AND question_set = ?"
                f" AND confirmed_by IS NULL AND NOT ({LOST})",
                (author.strip(), self.datasets.require(name), _storable(question_set)),
            ).rowcount

    def propose_again(self, name: str, question_set: str) -> int:
        """Link what is not confirmed anew, after facts have changed; return how many proposals are other ones."""
        dataset_id = self.datasets.require(name)
        linker = self._linker(dataset_id)
        changed = []
        for question in self.questions(name, question_set):
            if question.confirmed_by is None:
                link = linker.link(question.question, question.reference)
                if (link.kind, link.fact_id) != (question.kind, question.fact_id):
                    changed.append((*_columns(link), question.id))
        with self.store.write() as db:
            db.executemany(
                f"UPDATE question SET fact_id = ?, kind = ?, reason = ?, confirmed_by = NULL WHERE id = ? AND ({OPEN})",
                changed,
            )
        return len(changed)

    def delete(self, name: str, question_set: str) -> int:
        """Remove a set and return how many questions it had."""
        with self.store.write() as db:
            return db.execute(
                "DELETE FROM question WHERE dataset_id = ? AND question_set = ?",
                (self.datasets.require(name), _storable(question_set)),
            ).rowcount

    def _linker(self, dataset_id: int) -> Linker:
        return Linker(known_facts(self.store.read(), dataset_id))


def known_facts(db: sqlite3.Connection, dataset_id: int) -> Iterator[Known]:
    """The facts of a dataset as questions are linked to them; what nobody has said of a fact is read out of it."""
    facts = list(facts_of(db, dataset_id))
    works = works_of(facts)
    pairs: dict[int, list[tuple[str, tuple[str, str]]]] = defaultdict(list)
    rows = db.execute(
        "SELECT fact_id, kind, question, answer FROM example WHERE dataset_id = ? AND status != 'rejected'"
        " AND kind != 'seed' ORDER BY id",
        (dataset_id,),
    )
    for fact_id, kind, question, answer in rows:
        pairs[fact_id].append((kind, (question, answer)))
    for fact in facts:
        read = propose_fields(fact, works=works)
        named = (fact.subject or read.subject, *fact.spellings, *(fact.tags or read.tags))
        made = pairs.get(fact.id, [])
        yield Known(
            fact.id,
            forward=[(fact.question, fact.answer), *(pair for kind, pair in made if kind != "reverse")],
            reverse=[pair for kind, pair in made if kind == "reverse"],
            names=[name for name in named if name],
        )


def confirmed_questions_of(db: sqlite3.Connection, dataset_id: int) -> list[Question]:
    """What a person has agreed with, of every set of a dataset."""
    rows = db.execute(f"{_SELECT} WHERE dataset_id = ? AND NOT ({OPEN}) ORDER BY id", (dataset_id,))
    return [_question(row) for row in rows]


_SELECT = "SELECT id, question_set, question, reference, fact_id, kind, reason, confirmed_by FROM question"


def _question(row: Sequence[str | int | None]) -> Question:
    *before, reason, confirmed_by = row
    said = json.loads(str(reason)) if reason else {"code": "", "text": ""}
    fields = ("id", "question_set", "question", "reference", "fact_id", "kind")
    values: dict[str, object] = dict(zip(fields, before, strict=True))
    if values["fact_id"] is None and values["kind"] in OF_FACTS:
        confirmed_by = None
    return Question.model_validate(
        values | {"reason": said["code"], "reason_text": said["text"], "confirmed_by": confirmed_by}
    )


def _columns(link: ProposedLink) -> tuple[int | None, str, str]:
    proposed = asdict(link)
    reason = json.dumps({"code": proposed["reason"], "text": proposed["text"]}, ensure_ascii=False)
    return link.fact_id, link.kind, reason


def _require(db: sqlite3.Connection, dataset_id: int, question_id: int) -> Question:
    row = None
    if abs(question_id) <= LARGEST_ID:
        row = db.execute(f"{_SELECT} WHERE id = ? AND dataset_id = ?", (question_id, dataset_id)).fetchone()
    if row is None:
        raise DatasetError("questions.error_unknown_question", question=question_id)
    return _question(row)


def _set_name(typed: str) -> str:
    if not typed.strip():
        raise DatasetError("questions.error_set_unnamed")
    name = clean(typed, "question")
    if len(name) > LONGEST_NAME:
        raise DatasetError("questions.error_set_name_long", name=excerpt(name), length=len(name), longest=LONGEST_NAME)
    return name


def _storable(question_set: str) -> str:
    """A name as it can be looked up; one that cannot be stored finds nothing."""
    return question_set if question_set.isprintable() else ""
