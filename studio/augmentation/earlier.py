"""Reads out of a dataset what an augmentation must respect or may learn from; it changes nothing."""

import sqlite3
from collections import defaultdict

from studio.augmentation.prompts import FewShot, Reply

FEW_SHOTS = 2
# A few-shot example with more would make every request dearer and say nothing new.
QUESTIONS_SHOWN = 4

# A person has looked at an example that was brought along, whose status was decided, or whose text was changed.
_LOOKED_AT = """
    WITH looked_at AS (
        SELECT id, fact_id, kind FROM example
        WHERE dataset_id = :dataset AND kind <> 'seed' AND status <> 'rejected' AND (
            (generator = '' AND status = 'accepted') OR EXISTS (
                SELECT 1 FROM edit_change JOIN edit ON edit.id = edit_id
                WHERE entity_id = example.id AND entity = 'example' AND before IS NOT NULL AND undone_at IS NULL AND (
                    example.status = 'accepted'
                    OR json_extract(before, '$.question') IS NOT json_extract(after, '$.question')
                    OR json_extract(before, '$.answer') IS NOT json_extract(after, '$.answer')))))
    SELECT fact_id, kind, answer_style, question, answer FROM example
    WHERE fact_id IN (
        SELECT fact_id FROM looked_at
        GROUP BY fact_id ORDER BY count(DISTINCT kind) DESC, count(*) DESC, fact_id LIMIT :number)
    AND (kind = 'seed' OR id IN (SELECT id FROM looked_at))
    ORDER BY fact_id, id
"""
# Texts that a person has replaced in an example that is still there.
_REPLACED = """
    SELECT example.fact_id, COALESCE(json_extract(before, '$.question'), question),
           COALESCE(json_extract(before, '$.answer'), answer)
    FROM edit_change JOIN edit ON edit.id = edit_id JOIN example ON example.id = entity_id
    WHERE edit.dataset_id = ? AND undone_at IS NULL AND entity = 'example' AND before IS NOT NULL AND after IS NOT NULL
    AND (json_extract(before, '$.question') <> json_extract(after, '$.question')
         OR json_extract(before, '$.answer') <> json_extract(after, '$.answer'))
"""
# Pairs that a person has deleted, or moved out of their fact, which is still there.
_TAKEN_AWAY = """
    SELECT json_extract(before, '$.fact_id'), COALESCE(json_extract(before, '$.question'), question),
           COALESCE(json_extract(before, '$.answer'), answer)
    FROM edit_change JOIN edit ON edit.id = edit_id LEFT JOIN example ON example.id = entity_id
    WHERE edit.dataset_id = ? AND undone_at IS NULL AND entity = 'example' AND before IS NOT NULL
    AND json_extract(before, '$.fact_id') IS NOT NULL
    AND (after IS NULL OR json_extract(before, '$.fact_id') IS NOT json_extract(after, '$.fact_id'))
"""


def asked_questions(db: sqlite3.Connection, dataset_id: int) -> dict[int, list[tuple[bool, str]]]:
    """The questions of each fact, each with whether it is a reversed one."""
    found: dict[int, list[tuple[bool, str]]] = defaultdict(list)
    rows = db.execute(
        "SELECT DISTINCT fact_id, kind = 'reverse', question FROM example WHERE dataset_id = ?", (dataset_id,)
    )
    for fact_id, reversed_, question in rows:
        found[fact_id].append((bool(reversed_), question))
    return found


def replaced_pairs(db: sqlite3.Connection, dataset_id: int) -> set[tuple[int, str, str]]:
    """Fact, question and answer of made examples as they were before a person edited them.

    Making the same again would put back beside the edited example what the person took away.
    """
    return set(db.execute(_REPLACED, (dataset_id,)))


def taken_away(db: sqlite3.Connection, dataset_id: int) -> set[tuple[int, str, str]]:
    """Fact, question and answer of examples that a person deleted or moved into another fact."""
    return set(db.execute(_TAKEN_AWAY, (dataset_id,)))


def few_shots(db: sqlite3.Connection, dataset_id: int) -> tuple[FewShot, ...]:
    """The facts whose examples a person has accepted, edited or brought along, those with the most first."""
    facts: dict[int, list[tuple[str, str, str, str]]] = defaultdict(list)
    for fact_id, *example in db.execute(_LOOKED_AT, {"dataset": dataset_id, "number": FEW_SHOTS}):
        facts[fact_id].append(tuple(example))
    return tuple(shot for examples in facts.values() if (shot := _shot(examples)))


def _shot(examples: list[tuple[str, str, str, str]]) -> FewShot | None:
    """The examples of one fact as the reply that would have given them."""
    seed = next(((question, answer) for kind, _, question, answer in examples if kind == "seed"), None)
    if seed is None:
        return None
    forward = [example for example in examples if example[0] != "reverse"]
    reverse = [example for example in examples if example[0] == "reverse"]
    reply = Reply(
        questions=[question for question in _distinct(forward, 2) if question != seed[0]][:QUESTIONS_SHOWN],
        answer=next((answer for answer in _distinct(forward, 3) if answer != seed[1]), ""),
        reverse_questions=_distinct(reverse, 2)[:QUESTIONS_SHOWN],
        reverse_answers=_distinct(sorted(reverse, key=lambda example: example[1] != "short"), 3)[:2],
    )
    return FewShot(question=seed[0], answer=seed[1], reply=reply)


def _distinct(examples: list[tuple[str, str, str, str]], column: int) -> list[str]:
    return list(dict.fromkeys(example[column] for example in examples))
