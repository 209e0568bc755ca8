"""What the checks read of a dataset, held once: every distinct text with its compared form; it must not know a check.

32 examples of a fact share 16 questions and 4 answers, so texts are numbered and looked at once.
"""

import json
import re
import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from studio.datasets.splits import split_of_examples, splits_of
from studio.datasets.text import fold, is_short_answer

# All that is no letter and no digit; of the long vowel's many shapes only the ascii ones go.
_MARKS = re.compile(r"[\W_]+")


class Example(NamedTuple):
    """One example that may be trained; `question` and `answer` are numbers of texts."""

    id: int
    fact_id: int
    reverse: bool
    seed: bool
    question: int
    answer: int


class FactNames(NamedTuple):
    """What a fact says about itself."""

    subject: tuple[str, ...]
    tags: tuple[str, ...]
    key_terms: tuple[tuple[str, ...], ...]
    short_answer: bool | None


class Asked(NamedTuple):
    """A question of a question set; `question` is the number of its text."""

    id: int
    question_set: str
    kind: str
    fact_id: int | None
    reference: str
    question: int


@dataclass
class Texts:
    """Distinct texts by number: as written, and bare (folded, letters and digits only)."""

    written: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The number of a text, which is taken in where it is new."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.written)
            self.written.append(text)
            self.bare.append(bare(text))
        return found


@dataclass(frozen=True)
class Corpus:
    """A dataset without what is rejected: nothing of that is ever trained."""

    texts: Texts
    examples: list[Example]
    facts: dict[int, FactNames]
    asked: list[Asked]
    # Ids of examples that the dataset's splits keep out of training; none where no test question is asked.
    kept_out: frozenset[int]

    def by_fact(self) -> dict[int, list[Example]]:
        """The examples of each fact that has any."""
        grouped: dict[int, list[Example]] = defaultdict(list)
        for example in self.examples:
            grouped[example.fact_id].append(example)
        return grouped

    def is_short(self, fact_id: int, seed: Example) -> bool:
        """Whether the fact's answer is a short one; a person's word counts before the rule's."""
        decided = self.facts[fact_id].short_answer
        return is_short_answer(self.texts.written[seed.answer]) if decided is None else decided


def bare(text: str) -> str:
    """A text without what people add or leave out: width, case, brackets, spaces and punctuation."""
    return _MARKS.sub("", fold(text))


def corpus_of(db: sqlite3.Connection, dataset_id: int) -> Corpus:
    """Read a dataset for its checks."""
    texts = Texts()
    rows = db.execute(
        "SELECT id, fact_id, kind, question, answer FROM example"
        " WHERE dataset_id = ? AND status != 'rejected' ORDER BY fact_id, id",
        (dataset_id,),
    )
    examples = [
        Example(example_id, fact_id, kind == "reverse", kind == "seed", texts.number(question), texts.number(answer))
        for example_id, fact_id, kind, question, answer in rows
    ]
    asked = [
        Asked(question_id, question_set, kind, fact_id, reference, texts.number(question))
        for question_id, question_set, kind, fact_id, reference, question in db.execute(
            "SELECT id, question_set, kind, fact_id, reference, question FROM question"
            " WHERE dataset_id = ? ORDER BY id",
            (dataset_id,),
        )
    ]
    splits = split_of_examples(db, dataset_id, splits_of(db, dataset_id)) if asked else {}
    kept_out = frozenset(example_id for example_id, split in splits.items() if split != "train")
    return Corpus(texts, examples, _facts(db, dataset_id), asked, kept_out)


def _facts(db: sqlite3.Connection, dataset_id: int) -> dict[int, FactNames]:
    rows = db.execute(
        "SELECT id, subject, spellings, tags, key_terms, short_answer FROM fact WHERE dataset_id = ?", (dataset_id,)
    )
    return {
        fact_id: FactNames(
            subject=(subject, *json.loads(spellings)) if subject else (),
            tags=tuple(json.loads(tags)),
            key_terms=tuple(tuple(alternatives) for alternatives in json.loads(key_terms)),
            short_answer=None if short_answer is None else bool(short_answer),
        )
        for fact_id, subject, spellings, tags, key_terms, short_answer in rows
    }
