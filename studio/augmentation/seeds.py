"""Makes new facts out of documents, or out of titles and aspects; it must not know how a model is asked."""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence

from studio.augmentation.gates import seed_flags
from studio.augmentation.prompts import Pair, Task, document_task, title_task
from studio.augmentation.reading import folded
from studio.augmentation.status import JobPlan
from studio.datasets.edits import Edit, NewExample, NewFact
from studio.datasets.text import is_short_answer, is_storable
from studio.errors import AugmentError

# What is sent at once: long enough for several facts, short enough for a model to keep all of it in mind.
PART_CHARACTERS = 3000
SHORTEST_PART = 80


def seed_tasks(db: sqlite3.Connection, dataset_id: int, job: JobPlan) -> list[Task]:
    """The requests of a job that makes new facts.

    Raises:
        AugmentError: there are no documents, or no titles.
    """
    assert job.options is not None  # only a model makes new facts
    asked = job.options.asked
    if job.source == "titles":
        if not job.seeds.titles or not job.seeds.aspects:
            raise AugmentError("augment.error_no_titles")
        tasks = [title_task(title, job.seeds.aspects, asked) for title in job.seeds.titles]
    else:
        tasks = [
            document_task(title, part, job.seeds.pairs, asked)
            for title, text in _documents(db, dataset_id, job.seeds.documents)
            for part in parts(text)
        ]
        if not tasks:
            raise AugmentError("augment.error_no_documents", dataset=job.dataset)
    return [task for task in tasks if not job.only or task.title in job.only]


def parts(text: str) -> Iterator[str]:
    """A document in parts that end with a paragraph where they can; a rest too short to hold a fact is left out."""
    part = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for at in range(0, len(paragraph), PART_CHARACTERS):
            piece = paragraph[at : at + PART_CHARACTERS]
            if part and len(part) + len(piece) > PART_CHARACTERS:
                yield part
                part = ""
            part += f"\n\n{piece}" if part else piece
    if len(part) >= SHORTEST_PART:
        yield part


def add_pairs(db: sqlite3.Connection, dataset_id: int, pairs: Sequence[tuple[str, Pair]], job: JobPlan) -> int:
    """Add new facts, pending until a person has looked at them, in one undoable step; return how many were new.

    `db` is a transaction that the caller holds. A question that the dataset asks already is left out.
    """
    assert job.options is not None  # only a model makes new facts
    known = {folded(question) for (question,) in db.execute(_QUESTIONS, (dataset_id,))}
    new: list[tuple[NewFact, Pair]] = []
    for title, pair in pairs:
        question, answer = pair.question.strip(), pair.answer.strip()
        if not question or not answer or not is_storable(question + answer + pair.subject) or folded(question) in known:
            continue
        known.add(folded(question))
        fact = NewFact(subject=pair.subject.strip(), tags=json.dumps([title], ensure_ascii=False))
        new.append((fact, Pair(subject=pair.subject.strip(), question=question, answer=answer)))
    if new:
        edit = Edit(db, dataset_id, "dataset.undone_augment", author=job.author, number=len(new))
        ids = edit.add_facts([fact for fact, _ in new])
        made = [_seed(fact_id, pair, job) for fact_id, (_, pair) in zip(ids, new, strict=True)]
        edit.add_examples(made)
    return len(new)


_QUESTIONS = "SELECT question FROM example WHERE dataset_id = ? AND kind <> 'reverse'"


def _documents(db: sqlite3.Connection, dataset_id: int, number: int) -> Iterator[tuple[str, str]]:
    yield from db.execute(
        "SELECT title, text FROM document JOIN document_text ON document_id = document.id"
        " WHERE dataset_id = ? AND excluded = '' ORDER BY document.id LIMIT ?",
        (dataset_id, number),
    )


def _seed(fact_id: int, pair: Pair, job: JobPlan) -> NewExample:
    assert job.options is not None
    return NewExample(
        fact_id,
        "seed",
        "short" if is_short_answer(pair.answer) else "detailed",
        "pending",
        pair.question,
        pair.answer,
        generator=job.options.model,
        prompt_version=job.prompt_version,
        flags=json.dumps(seed_flags(pair.subject, pair.question, pair.answer)),
    )
