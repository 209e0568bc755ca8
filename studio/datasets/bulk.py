"""Changes of many examples at once, each one undoable step made inside SQLite; it must not know single texts."""

import sqlite3
from collections.abc import Sequence

from studio.datasets.edits import Edit
from studio.datasets.filters import Filter, Selection, condition_of
from studio.datasets.model import ExampleStatus
from studio.datasets.search import require_own_example
from studio.datasets.text import clean, excerpt
from studio.datasets.text_index import Condition


def count_of(db: sqlite3.Connection, dataset_id: int, selection: Selection) -> int:
    """How many examples a selection means."""
    return _number(db, condition_of(db, dataset_id, selection))


def deletion_count_of(db: sqlite3.Connection, dataset_id: int, selection: Selection) -> int:
    """How many examples go when those of a selection are deleted."""
    return _number(db, _with_their_facts(condition_of(db, dataset_id, selection)))


def set_status(
    db: sqlite3.Connection, dataset_id: int, selection: Selection, status: ExampleStatus, author: str
) -> int:
    """Give examples a status and return how many had another.

    The time of their last change stays: it is that of their texts, and a decision spoils nobody's edit.
    """
    where, values = _existing(db, dataset_id, selection)
    others: Condition = (f"({where}) AND status != ?", [*values, status])
    number = _number(db, others)
    if number:
        edit = Edit(db, dataset_id, f"dataset.undone_{status}", author=author, number=number)
        edit.change_all("example", "status", ("?", status), others)
    return number


def add_tag(db: sqlite3.Connection, dataset_id: int, selection: Selection, tag: str, author: str) -> int:
    """Tag the facts of examples and return how many had it not."""
    tag = clean(tag, "tag")
    where, values = _existing(db, dataset_id, selection)
    untagged: Condition = (
        f"id IN (SELECT fact_id FROM example WHERE {where})"
        " AND NOT EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
        [*values, tag],
    )
    number: int = db.execute(f"SELECT count(*) FROM fact WHERE {untagged[0]}", untagged[1]).fetchone()[0]
    if number:
        edit = Edit(db, dataset_id, "dataset.undone_tag", author=author, number=number, tag=excerpt(tag))
        edit.change_all("fact", "tags", ("json_insert(tags, '$[#]', ?) || ''", tag), untagged)
    return number


def delete_examples(db: sqlite3.Connection, dataset_id: int, selection: Selection, author: str) -> int:
    """Delete examples, and with a seed its fact and all the fact's examples; return how many went."""
    where, values = _existing(db, dataset_id, selection)
    going = _with_their_facts((where, values))
    number = _number(db, going)
    if number:
        facts = [row[0] for row in db.execute(f"SELECT fact_id FROM example WHERE ({where}) AND kind = 'seed'", values)]
        edit = Edit(db, dataset_id, "dataset.undone_delete", author=author, number=number)
        edit.delete_examples(going)
        edit.delete_facts(facts)
    return number


def _number(db: sqlite3.Connection, condition: Condition) -> int:
    number: int = db.execute(f"SELECT count(*) FROM example WHERE {condition[0]}", condition[1]).fetchone()[0]
    return number


def _with_their_facts(condition: Condition) -> Condition:
    where, values = condition
    of_seeds = f"SELECT fact_id FROM example WHERE ({where}) AND kind = 'seed'"
    return f"({where}) OR fact_id IN ({of_seeds})", [*values, *values]


def _existing(db: sqlite3.Connection, dataset_id: int, selection: Selection) -> Condition:
    """The condition of a selection; ids that a person saw in the list must still be there."""
    condition = condition_of(db, dataset_id, selection)
    if not isinstance(selection, Filter) and _number(db, condition) != len(set(selection)):
        _refuse_missing(db, dataset_id, selection)
    return condition


def _refuse_missing(db: sqlite3.Connection, dataset_id: int, ids: Sequence[int]) -> None:
    for example_id in ids:
        require_own_example(db, dataset_id, example_id)
