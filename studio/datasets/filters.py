"""Which examples a person means: a filter or ids as one SQL condition; it must not know what is done to them."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from studio.datasets.model import ExampleStatus
from studio.datasets.splits import ids_of_split
from studio.datasets.text_index import Condition, condition_of_scan, condition_of_search
from training.contract import AnswerStyle, ExampleKind, Frozen, Split

Sort = Literal["fact", "newest", "longest", "shortest"]

# Who made an example, as people say it; anything else is a generator's exact name.
SOURCES = {
    "person": "generator = ''",
    "rules": "generator LIKE 'rules%'",
    "model": "generator NOT LIKE 'rules%' AND generator != ''",
}


class Filter(Frozen):
    """What a person asked the list for; an empty field asks for nothing."""

    search: str = ""
    status: ExampleStatus | Literal[""] = ""
    kind: ExampleKind | Literal["", "forward"] = Field("", description="forward: every kind but reverse.")
    answer_style: AnswerStyle | Literal[""] = ""
    generator: str = Field("", description="person, rules, model, or the exact name of a generator.")
    split: Split | Literal[""] = ""
    tag: str = Field("", description="A tag of the example's fact.")
    check: str = Field("", description="The code of a finding of the last checks, or of a gate's flag.")
    fact_id: int | None = None
    sort: Sort = "fact"


# Examples are chosen by what they are, or one by one.
Selection = Filter | Sequence[int]
EVERYTHING = Filter()


def condition_of(db: sqlite3.Connection, dataset_id: int, selection: Selection, *, scan: bool = False) -> Condition:
    """A condition on `example`, and its values; `scan` searches text by text."""
    # The plus keeps SQLite from walking the whole dataset's index for a few ids.
    owned: Condition = ("+dataset_id = ?", [dataset_id])
    if not isinstance(selection, Filter):
        return _all_of([owned, ("id IN (SELECT value FROM json_each(?))", [json.dumps(sorted(set(selection)))])])
    search = condition_of_search(selection.search)
    if search is None or scan:
        owned = ("dataset_id = ?", [dataset_id])
    terms = [owned, *_small_terms(selection)]
    if search is not None:
        terms.append(condition_of_scan(selection.search) if scan else search)
    if selection.tag:
        of_tag = "fact_id IN (SELECT fact.id FROM fact, json_each(tags) WHERE dataset_id = ? AND value = ?)"
        terms.append((of_tag, [dataset_id, selection.tag]))
    if selection.check:
        terms.append(_checked(dataset_id, selection.check))
    if selection.split:
        ids = ids_of_split(db, dataset_id, selection.split)
        terms.append(("id IN (SELECT value FROM json_each(?))", [ids]))
    return _all_of(terms)


def _all_of(terms: list[Condition]) -> Condition:
    return " AND ".join(f"({sql})" for sql, _ in terms), [value for _, values in terms for value in values]


def _small_terms(filter: Filter) -> list[Condition]:
    terms: list[Condition] = []
    if filter.kind == "forward":
        terms.append(("kind != 'reverse'", []))
    elif filter.kind:
        terms.append(("kind = ?", [filter.kind]))
    if filter.generator:
        known = SOURCES.get(filter.generator)
        terms.append((known, []) if known else ("generator = ?", [filter.generator]))
    for column in ("status", "answer_style", "fact_id"):
        value = getattr(filter, column)
        if value not in ("", None):
            terms.append((f"{column} = ?", [value]))
    return terms


def _checked(dataset_id: int, code: str) -> Condition:
    """A finding is of one example, or of a whole fact; a flag stands at the example itself."""
    found = "SELECT {} FROM finding WHERE dataset_id = ? AND code = ?"
    flagged = "SELECT id FROM example WHERE dataset_id = ? AND flags != '[]' AND instr(flags, ?)"
    return (
        f"id IN ({found.format('example_id')}) OR fact_id IN ({found.format('fact_id')} AND example_id IS NULL)"
        f" OR id IN ({flagged})",
        [dataset_id, code, dataset_id, code, dataset_id, json.dumps(code)],
    )
