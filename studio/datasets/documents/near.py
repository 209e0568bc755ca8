"""Finds articles that are nearly the same, so that a person can leave all but the longest out; it must not decide."""

import sqlite3
from collections.abc import Callable

from studio.datasets.checks.found import components
from studio.datasets.checks.similarity import Compared, jaccard, near_pairs
from studio.datasets.documents.model import Alike
from studio.datasets.documents.tables import included_texts

# The beginnings find the candidates, the whole texts decide: 18,000 long articles would fill the memory.
COMPARED_CHARACTERS = 2_000
ALIKE = 0.8


def alike_articles(db: sqlite3.Connection, dataset_id: int, tell: Callable[[int], None]) -> list[Alike]:
    """Groups of included articles whose texts share 80 % of their character 3-grams, the largest group first."""
    ids: list[int] = []
    beginnings: list[str] = []
    for key, _, text in included_texts(db, dataset_id):
        ids.append(key)
        beginnings.append(text[:COMPARED_CHARACTERS])
    tell(len(ids))
    near = near_pairs(beginnings, Compared([(number, 0) for number in range(len(ids))], ALIKE))
    found: dict[tuple[int, int], float] = {}
    for first, second in near:
        tell(len(ids))
        one, other = _text(db, ids[first]), _text(db, ids[second])
        if (similarity := jaccard(one, other)) >= ALIKE:
            found[ids[first], ids[second]] = similarity
    groups = [_group(db, members, found) for members in components(list(found))]
    return sorted(groups, key=lambda group: (-len(group.others), group.kept))


def _text(db: sqlite3.Connection, document_id: int) -> str:
    text: str = db.execute("SELECT text FROM document_text WHERE document_id = ?", (document_id,)).fetchone()[0]
    return text


def _group(db: sqlite3.Connection, members: list[int], found: dict[tuple[int, int], float]) -> Alike:
    lengths = {key: len(_text(db, key)) for key in members}
    kept = max(members, key=lambda key: (lengths[key], -key))
    others = []
    for key in sorted(set(members) - {kept}):
        # In a chain of likenesses two ends may not have been compared.
        similarity = found.get((min(key, kept), max(key, kept))) or jaccard(_text(db, key), _text(db, kept))
        others.append((key, similarity))
    return Alike(kept, tuple(others))
