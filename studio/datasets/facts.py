"""Changes of one fact: its examples' texts, what it says of itself, which examples are its; it must not know many."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from studio.datasets.edits import Edit, Entity, NewFact, Value
from studio.datasets.model import EditConflict, Example, FactConflict, NewExampleFields, NewFactFields
from studio.datasets.search import examples_of_fact, require_fact, require_own_example
from studio.datasets.text import clean, excerpt, is_storable
from studio.errors import DatasetError


def edit_example(
    db: sqlite3.Connection, dataset_id: int, example_id: int, author: str, fields: NewExampleFields
) -> None:
    """Change an example, unless it was changed since the moment that `expected` names."""
    old = require_own_example(db, dataset_id, example_id)
    new: dict[str, str | int] = {}
    for column in ("question", "answer"):
        if (text := fields.get(column)) is not None:
            new[column] = clean(str(text), column)
    for column in ("kind", "answer_style"):
        # The seed stays the seed: it changes by merging and splitting.
        if (choice := fields.get(column)) is not None and not (column == "kind" and old.kind == "seed"):
            new[column] = str(choice)
    new = {column: value for column, value in new.items() if value != getattr(old, column)}
    if not new:
        return
    _refuse_conflict(db, old, fields.get("expected"))
    changes = _with_alike(db, old, new) if fields.get("everywhere") else {example_id: new}
    _refuse_double(db, old, changes)
    edit = Edit(db, dataset_id, "dataset.undone_edit", author=author, question=excerpt(old.question))
    for changed_id, values in changes.items():
        edit.change_example(changed_id, **values)


def _with_alike(db: sqlite3.Connection, old: Example, new: dict[str, str | int]) -> dict[int, dict[str, str | int]]:
    """What changes in each example of the fact, where a text changes wherever the fact holds it."""
    changes = {
        example.id: {
            column: value
            for column, value in new.items()
            if example.id == old.id
            or (column in ("question", "answer") and getattr(example, column) == getattr(old, column))
        }
        for example in examples_of_fact(db, old.fact_id)
    }
    return {example_id: values for example_id, values in changes.items() if values}


def _refuse_double(db: sqlite3.Connection, old: Example, changes: dict[int, dict[str, str | int]]) -> None:
    """A fact holds a pair of question and answer once."""
    pairs = [
        (values.get("question", example.question), values.get("answer", example.answer))
        for example in examples_of_fact(db, old.fact_id)
        for values in [changes.get(example.id, {})]
    ]
    if len(set(pairs)) < len(pairs_of_fact(db, old.fact_id)):
        raise DatasetError("dataset.error_double", question=excerpt(str(changes[old.id].get("question", old.question))))


def _refuse_conflict(db: sqlite3.Connection, current: Example, expected: str | None) -> None:
    if expected is None or current.updated_at.isoformat() == expected:
        return
    raise EditConflict(current, _last_author(db, "example", current.id))


def _last_author(db: sqlite3.Connection, entity: Entity, entity_id: int) -> str:
    row = db.execute(
        "SELECT author FROM edit_change JOIN edit ON edit.id = edit_id WHERE entity = ? AND entity_id = ?"
        " AND undone_at IS NULL ORDER BY edit.id DESC LIMIT 1",
        (entity, entity_id),
    ).fetchone()
    return row[0] if row else ""


def edit_fact(db: sqlite3.Connection, dataset_id: int, fact_id: int, author: str, fields: NewFactFields) -> None:
    """Change what a fact says of itself, unless it says something else than what `expected` holds."""
    old = require_fact(db, fact_id, dataset_id)
    if fields.get("expected", old.said) != old.said:
        raise FactConflict(old, _last_author(db, "fact", fact_id))
    new: dict[str, Value] = {}
    if "subject" in fields:
        new["subject"] = _tidy([fields["subject"]], keep_empty=True)[0]
    if "spellings" in fields:
        new["spellings"] = _json(_tidy(fields["spellings"]))
    if "tags" in fields:
        new["tags"] = _json(_tidy(fields["tags"]))
    if "key_terms" in fields:
        new["key_terms"] = _json([term for alternatives in fields["key_terms"] if (term := _tidy(alternatives))])
    if "short_answer" in fields:
        short = fields["short_answer"]
        new["short_answer"] = None if short is None else int(short)
    columns = ", ".join(new) or "id"
    stored = db.execute(f"SELECT {columns} FROM fact WHERE id = ?", (fact_id,)).fetchone()
    if tuple(new.values()) not in ((), stored):
        edit = Edit(db, dataset_id, "dataset.undone_fact", author=author, question=excerpt(old.question))
        edit.change_fact(fact_id, **new)


def merge_facts(db: sqlite3.Connection, dataset_id: int, ids: Sequence[int], author: str) -> int:
    """Move all examples into the first fact, which takes over what it does not say itself; return its id."""
    facts = [require_fact(db, fact_id, dataset_id) for fact_id in dict.fromkeys(ids)]
    if len(facts) < 2:
        raise DatasetError("dataset.error_merge_one")
    kept, *others = facts
    edit = Edit(
        db, dataset_id, "dataset.undone_merge", author=author, number=len(facts), question=excerpt(kept.question)
    )
    edit.change_fact(
        kept.id,
        subject=next((fact.subject for fact in facts if fact.subject), ""),
        spellings=_json(_tidy(spelling for fact in facts for spelling in fact.spellings)),
        tags=_json(_tidy(tag for fact in facts for tag in fact.tags)),
        key_terms=_json(next((fact.key_terms for fact in facts if fact.key_terms), ())),
    )
    for fact in others:
        for example in examples_of_fact(db, fact.id):
            kind = "paraphrase" if example.kind == "seed" else example.kind
            edit.change_example(example.id, fact_id=kept.id, kind=kind)
    edit.delete_facts(fact.id for fact in others)
    return kept.id


def split_fact(db: sqlite3.Connection, dataset_id: int, fact_id: int, example_ids: Sequence[int], author: str) -> int:
    """Move examples of a fact into a new one, the first its seed; return the new fact's id."""
    old = require_fact(db, fact_id, dataset_id)
    examples = {example.id: example for example in examples_of_fact(db, fact_id)}
    moved = [examples[key] for key in dict.fromkeys(example_ids) if key in examples]
    left = [example for example in examples.values() if example not in moved]
    if not moved or not left or len(moved) < len(set(example_ids)):
        raise DatasetError("dataset.error_split", fact=fact_id, number=len(examples))
    edit = Edit(
        db, dataset_id, "dataset.undone_split", author=author, number=len(moved), question=excerpt(old.question)
    )
    # The key terms are those of the old answer; the subject is likely still the same.
    (new_id,) = edit.add_facts([NewFact(old.subject, _json(old.spellings), _json(old.tags))])
    for example in moved:
        kind = "seed" if example == moved[0] else "paraphrase" if example.kind == "seed" else example.kind
        edit.change_example(example.id, fact_id=new_id, kind=kind)
    if not any(example.kind == "seed" for example in left):
        heir = next((example for example in left if example.kind != "reverse"), left[0])
        edit.change_example(heir.id, kind="seed")
    return new_id


def pairs_of_fact(db: sqlite3.Connection, fact_id: int) -> set[tuple[str, str]]:
    """The questions and answers that a fact holds."""
    return set(db.execute("SELECT question, answer FROM example WHERE fact_id = ?", (fact_id,)))


def _tidy(texts: Iterable[str], keep_empty: bool = False) -> list[str]:
    """Texts without white space around them, each once."""
    tidied = list(dict.fromkeys(stripped for text in texts if (stripped := text.strip()) or keep_empty))
    for text in tidied:
        if not is_storable(text):
            raise DatasetError("dataset.error_broken_character", text=excerpt(text))
    return tidied


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
