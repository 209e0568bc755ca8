"""Asks a model what facts say of themselves where nobody has said it; it must not know how they are stored.

Of a reply only that is kept which the fact's own texts bear out: an honest nothing is better than a wrong word.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from studio.augmentation.desk import Answer
from studio.augmentation.prompts import Fields, Task, fields_task
from studio.augmentation.reading import folded
from studio.augmentation.status import JobPlan, Reason
from studio.augmentation.work import Work
from studio.datasets import Fact
from studio.datasets.proposals import Proposal
from studio.datasets.proposed import gains
from studio.datasets.text import is_storable
from studio.errors import StudioError

MOST_WORDS = 5
# Longer than that is a sentence and no name.
LONGEST_WORD = 60
NOTHING_READ = "augment.error_nothing_read"


def fields_tasks(facts: Sequence[Fact], job: JobPlan) -> dict[int, Task]:
    """The request for each fact without a subject or without key terms, by its id."""
    assert job.options is not None  # only a model is asked
    return {
        fact.id: fields_task(fact, job.options.asked)
        for fact in facts
        if not (fact.subject and fact.key_terms) and (not job.only or fact.question in job.only)
    }


def proposal(fact: Fact, reply: Fields) -> Proposal:
    """What a reply says of a fact.

    A name must stand in the question or the answer; a key term in the answer, and not in the question already, which
    every answer may repeat.
    """
    names = _held([reply.subject, *reply.spellings], f"{fact.question}\n{fact.answer}")
    terms = [_held(term, fact.answer) for term in reply.key_terms]
    asked = folded(fact.question)
    return Proposal(
        subject=names[0] if names else "",
        spellings=names[1:],
        tags=_usable(reply.tags),
        key_terms=tuple(dict.fromkeys(term for term in terms if term and folded(term[0]) not in asked))[:MOST_WORDS],
        short_answer=fact.short_answer if reply.short_answer is None else reply.short_answer,
    )


class FieldsJob:
    """Asks about every fact of a dataset that lacks a subject or key terms."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks = fields_tasks(work.facts, work.job)
        self._of_key: dict[str, list[Fact]] = defaultdict(list)
        for fact in work.facts:
            if fact.id in self._tasks:
                self._of_key[self._tasks[fact.id].key].append(fact)
        work.change(total=len(self._tasks))

    def tasks(self) -> list[Task]:
        """One request for each fact; facts with the same words share one."""
        return list({task.key: task for task in self._tasks.values()}.values())

    def receive(self, answer: Answer) -> None:
        """Keep what a reply says of a fact, or list why it says nothing."""
        for fact in self._of_key[answer.task.key]:
            if isinstance(answer.reply, Fields):
                read = proposal(fact, answer.reply)
                if gains(fact, read):
                    self._work.take_read(fact, read)
                else:
                    self._work.fail(fact.id, fact.question, Reason(key=NOTHING_READ))
            elif isinstance(answer.error, StudioError):
                self._work.fail(fact.id, fact.question, Reason.of(answer.error))


def _held(words: Iterable[str], text: str) -> tuple[str, ...]:
    """Ways to write one thing, those first that stand in the text; nothing where not one does."""
    within = folded(text)
    ordered = sorted(_usable(words), key=lambda word: folded(word) not in within)
    return tuple(ordered) if ordered and folded(ordered[0]) in within else ()


def _usable(words: Iterable[str]) -> tuple[str, ...]:
    """Each word once that can be stored and holds more than punctuation."""
    kept = (word.strip() for word in words if folded(word) and is_storable(word) and len(word) <= LONGEST_WORD)
    return tuple(dict.fromkeys(kept))[:MOST_WORDS]
