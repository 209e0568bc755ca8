"""What happened to one example: who changed it, when, and what it was; it must not change anything."""

import json
import sqlite3
from datetime import datetime

from pydantic import Field

from studio.i18n import text
from training.contract import Frozen

# What of an image a person reads.
SHOWN = ("question", "answer", "status", "kind", "fact_id")


class HistoryEntry(Frozen):
    """One edit of one example; `before` and `after` hold what it changed, nothing where there was or is no example."""

    author: str
    made_at: datetime
    sentence: str = Field(description="Key of the sentence; `text` gives the sentence itself.")
    values: dict[str, str | int]
    before: dict[str, str | int]
    after: dict[str, str | int]
    undone: bool

    def text(self, locale: str = "en") -> str:
        """What was done, in "ja" or "en"."""
        return text(self.sentence, locale, **self.values)


def history_of(db: sqlite3.Connection, example_id: int) -> list[HistoryEntry]:
    """Every edit of an example, the newest first."""
    rows = db.execute(
        "SELECT author, made_at, sentence, details, before, after, undone_at IS NOT NULL"
        " FROM edit_change JOIN edit ON edit.id = edit_id WHERE entity_id = ? AND entity = 'example'"
        " ORDER BY edit_change.id DESC",
        (example_id,),
    )
    return [
        HistoryEntry(
            author=author,
            made_at=made_at,
            sentence=sentence.replace(".undone_", ".done_"),
            values=json.loads(details),
            before=_shown(before),
            after=_shown(after),
            undone=undone,
        )
        for author, made_at, sentence, details, before, after, undone in rows
    ]


def _shown(image: str | None) -> dict[str, str | int]:
    columns = json.loads(image) if image else {}
    return {column: columns[column] for column in SHOWN if column in columns}
