"""Writes the card of an exported dataset: what it holds, how it was made, what its columns mean.

It must not know how the data itself is written.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from studio.datasets.filters import Filter, condition_of
from studio.i18n import text

# The bounds that dataset hubs know.
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))


@dataclass(frozen=True)
class Described:
    """What a card is about: the data's path inside the folder, and its columns."""

    name: str
    language: str
    data: str
    columns: Sequence[str]


def card(db: sqlite3.Connection, dataset_id: int, filter: Filter, about: Described) -> str:
    """A README.md that a dataset hub reads as well as a person."""
    where, values = condition_of(db, dataset_id, filter)
    facts, examples = db.execute(
        f"SELECT count(DISTINCT fact_id), count(*) FROM example WHERE {where}", values
    ).fetchone()

    def counts(column: str) -> list[tuple[str, int]]:
        query = (
            f"SELECT {column}, count(*) FROM example WHERE {where} GROUP BY {column} ORDER BY count(*) DESC, {column}"
        )
        return db.execute(query, values).fetchall()

    def say(key: str, **said: object) -> str:
        return text(f"files.card_{key}", about.language, **said)

    rows = [(say("facts"), f"{facts:,}"), (say("examples"), f"{examples:,}")]
    for column in ("kind", "answer_style", "status"):
        rows += [(f"{column}: {value}", f"{number:,}") for value, number in counts(column)]
    made = [(generator or say("by_people"), f"{number:,}") for generator, number in counts("generator")]
    columns = [(column, text(f"files.column_{column}", about.language)) for column in about.columns]
    return "\n".join(
        [
            _front_matter(about, examples),
            f"# {_plain(about.name)}\n",
            say("about", facts=f"{facts:,}", examples=f"{examples:,}") + "\n",
            *_section(say("counts"), (say("what"), say("number")), rows),
            *_section(say("sources"), (say("source"), say("number")), made),
            *_section(say("columns"), (say("column"), say("meaning")), columns),
            f"## {say('licence')}\n",
            say("licence_missing") + "\n",
        ]
    )


def _front_matter(about: Described, examples: int) -> str:
    size = next((name for bound, name in SIZES if examples < bound), "n>10M")
    return "\n".join(
        [
            "---",
            # JSON is YAML, so that any name is safe.
            f"pretty_name: {json.dumps(about.name, ensure_ascii=False)}",
            "language:\n- ja",
            "task_categories:\n- question-answering\n- text-generation",
            f"size_categories:\n- {size}",
            f"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {about.data}",
            "---\n",
        ]
    )


def _section(title: str, heads: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"| {' | '.join(map(_plain, row))} |" for row in (heads, *rows)]
    return [f"## {title}\n", lines[0], "|---|---|", *lines[1:], ""]


def _plain(content: str) -> str:
    """A text that ends neither its line nor its cell."""
    return " ".join(content.split()).replace("|", "\\|")
