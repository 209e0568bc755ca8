"""Tells which facts share their answer, so that a reversed question would have several; it must not know who asks."""

from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.augmentation.reading import folded
from studio.datasets.model import Fact
from training.contract import Frozen


class SharedAnswer(Frozen):
    """A fact whose answer is not its alone, with one of the others that give it."""

    fact_id: int
    question: str
    other_question: str
    others: int = Field(description="How many other facts give the same answer.")


def shared_answers(facts: Iterable[Fact]) -> dict[int, SharedAnswer]:
    """The facts that a reversed question could not tell apart, by id.

    Facts that the rules read share a relation and a value; of the others only the whole answer can be compared.
    """
    groups: dict[rules.ReverseKey, list[tuple[str, Fact]]] = defaultdict(list)
    for fact in facts:
        try:
            reading = rules.read(fact)
        except rules.NeedsModel:
            groups["", folded(fact.answer)].append((folded(fact.question), fact))
        else:
            groups[reading.key].append((folded(reading.question.subject), fact))
    shared = {}
    for members in groups.values():
        for subject, fact in members:
            others = [other for other_subject, other in members if other_subject != subject]
            if others:
                shared[fact.id] = SharedAnswer(
                    fact_id=fact.id, question=fact.question, other_question=others[0].question, others=len(others)
                )
    return shared


def plan_for(fact: Fact, plan: Plan, shared: dict[int, SharedAnswer]) -> Plan:
    """The plan as it can be asked of one fact: `ask_for_one` stays only where the answer is shared."""
    if fact.id not in shared:
        return plan.model_copy(update={"shared_reverse": "leave_out"})
    return plan if plan.shared_reverse == "ask_for_one" else plan.model_copy(update={"reverse": 0})
