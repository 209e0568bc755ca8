"""Finds texts by any part of them through the index of trigrams that the database keeps; it must not know filters.

The index holds every folded text with an end mark behind it. So each of its characters but none of the mark begins a
trigram, and one or two characters are found as the beginning of one.
"""

import sqlite3

from studio.datasets.text import fold, is_storable

Condition = tuple[str, list[str | int]]

_TRIGRAM = 3
# What every eighth text holds, of many, is looked for by reading on from the page: it is never far.
MANY = 20_000
EVERYWHERE = 8


def condition_of_search(search: str) -> Condition | None:
    """A condition on `example`: the folded search is part of its folded question or answer. None for no search."""
    candidates = _candidates(search)
    return None if candidates is None else (f"id IN ({candidates[0]})", candidates[1])


def condition_of_scan(search: str) -> Condition:
    """The same condition, tested text by text: quick where most texts hold it and only a page is wanted."""
    wanted = fold(search.strip())
    return "instr(folded_question, ?) OR instr(folded_answer, ?)", [wanted, wanted]


def is_everywhere(db: sqlite3.Connection, search: str) -> bool:
    """Whether too many texts hold a search to list them all before showing a page of them."""
    candidates = _candidates(search)
    if candidates is None:
        return False
    query, values = candidates
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'example'").fetchone()
    many = max(MANY, row[0] // EVERYWHERE if row else 0)
    found: int = db.execute(f"SELECT count(*) FROM ({query} LIMIT ?)", [*values, many + 1]).fetchone()[0]
    return found > many


def _candidates(search: str) -> Condition | None:
    """A query of the ids of all examples that hold a search, some more than once."""
    wanted = fold(search.strip())
    if not wanted:
        return None
    if not is_storable(wanted):
        return "SELECT NULL WHERE 0", []
    if len(wanted) < _TRIGRAM:
        return "SELECT doc FROM example_gram WHERE term >= ? AND term < ?", [wanted, wanted + chr(0x10FFFF)]
    return "SELECT rowid FROM example_text WHERE example_text MATCH ?", ['"' + wanted.replace('"', '""') + '"']
