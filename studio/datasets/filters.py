"""Which examples a person means: a filter or ids as one SQL condition; it must not know what is done to them."""

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from studio.datasets.model import ExampleStatus
from studio.datasets.text import fold, is_storable
from training.contract import AnswerStyle, ExampleKind, Frozen, Split

Sort = Literal["fact", "newest", "question", "longest", "shortest"]
Condition = tuple[str, list[str | int]]

# FTS5's trigrams know no shorter text: one and two characters are looked for by reading the base table.
SHORTEST_INDEXED = 3
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


def condition_of(dataset_id: int, selection: Selection) -> Condition:
    """A condition on `example`, and its values."""
    if not isinstance(selection, Filter):
        ids = json.dumps(sorted(set(selection)))
        # The plus keeps SQLite from walking the whole dataset's index for a few ids.
        return "+dataset_id = ? AND id IN (SELECT value FROM json_each(?))", [dataset_id, ids]
    terms: list[Condition] = [
        ("dataset_id = ?", [dataset_id]),
        *_small_terms(selection),
        *_search_terms(selection.search),
    ]
    if selection.tag:
        of_tag = "fact_id IN (SELECT fact.id FROM fact, json_each(tags) WHERE dataset_id = ? AND value = ?)"
        terms.append((of_tag, [dataset_id, selection.tag]))
    if selection.check:
        terms.append(_checked(dataset_id, selection.check))
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


def _search_terms(search: str) -> list[Condition]:
    """The folded search text is part of the folded question or answer."""
    wanted = fold(search.strip())
    if not wanted:
        return []
    if not is_storable(wanted):
        return [("0", [])]
    if len(wanted) < SHORTEST_INDEXED:
        return [("instr(folded_question, ?) OR instr(folded_answer, ?)", [wanted, wanted])]
    phrase = '"' + wanted.replace('"', '""') + '"'
    return [("id IN (SELECT rowid FROM example_text WHERE example_text MATCH ?)", [phrase])]


def _checked(dataset_id: int, code: str) -> Condition:
    """A finding is of one example, or of a whole fact; a flag stands at the example itself."""
    found = "SELECT {} FROM finding WHERE dataset_id = ? AND code = ?"
    return (
        f"id IN ({found.format('example_id')}) OR fact_id IN ({found.format('fact_id')} AND example_id IS NULL)"
        " OR instr(flags, ?)",
        [dataset_id, code, dataset_id, code, json.dumps(code)],
    )
