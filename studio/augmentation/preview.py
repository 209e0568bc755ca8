"""Shows what a job would make of a few facts, and what it would cost, before a whole dataset is sent."""

from collections.abc import Sequence
from itertools import islice

from pydantic import Field

from studio.augmentation import rules
from studio.augmentation.desk import Answer, Desk, Purse
from studio.augmentation.endpoint import Endpoint
from studio.augmentation.estimate import Estimate
from studio.augmentation.fields import NOTHING_READ, proposal
from studio.augmentation.ledger import Ledger
from studio.augmentation.pace import Pace
from studio.augmentation.plan import Plan
from studio.augmentation.product import examples, gated
from studio.augmentation.prompts import Fields, Pair, Pairs, Reply, Task
from studio.augmentation.reversal import plan_for, shared_answers
from studio.augmentation.running import OwnServer, connect
from studio.augmentation.status import JobPlan, Reason
from studio.datasets import Fact, MadeExample
from studio.datasets.proposals import Proposal
from studio.datasets.proposed import gains
from studio.errors import StudioError
from studio.i18n import text
from training.contract import Frozen

PREVIEWED = 3


class Previewed(Frozen):
    """What would be made of one fact or title, or why nothing would; `reason` is an i18n key."""

    title: str
    answer: str = ""
    made: tuple[MadeExample, ...] = ()
    pairs: tuple[Pair, ...] = ()
    read: Proposal | None = None
    reason: str = ""
    reason_values: dict[str, str] = Field(default_factory=dict)

    def reason_text(self, locale: str) -> str:
        """The reason in "ja" or "en", empty where there is none."""
        return text(self.reason, locale, **self.reason_values) if self.reason else ""


def by_rules(facts: Sequence[Fact], plan: Plan, *, number: int = PREVIEWED) -> list[Previewed]:
    """The first facts as the rules would augment them among all of `facts`."""
    shared = shared_answers(facts) if plan.reverse else {}
    found = []
    for fact in facts[:number]:
        try:
            made = gated(fact, rules.make(fact, plan_for(fact, plan, shared)))
            found.append(Previewed(title=fact.question, answer=fact.answer, made=tuple(made)))
        except rules.NeedsModel as need:
            found.append(Previewed(title=fact.question, answer=fact.answer, reason=need.reason))
    return found


def by_endpoint(
    tasks: Sequence[Task], facts: Sequence[Fact], job: JobPlan, ledger: Ledger, own_server: OwnServer | None = None
) -> list[Previewed]:
    """The first tasks of a job as a model answers them: one paid request each, kept in the ledger for the job.

    Raises AugmentError where it cannot be asked.
    """
    assert job.options is not None  # a job with an endpoint
    connection = connect(job.options, own_server)
    endpoint = Endpoint(connection.options, Pace(PREVIEWED), key=connection.key)
    purse = Purse(job.options, 0.0, Estimate.of(tasks, ledger, job.options, job.plan).dearest)
    desk = Desk(endpoint, ledger, purse, lambda title, error: None)
    of_id, shared = {fact.id: fact for fact in facts}, shared_answers(facts)
    try:
        answers = {answer.task.key: answer for answer in desk.answers(list(islice(tasks, PREVIEWED))) if answer}
    finally:
        endpoint.close()
    found = []
    for task in islice(tasks, PREVIEWED):
        answer, fact = answers[task.key], of_id.get(task.fact_id)
        shown = Previewed(title=task.title, answer=fact.answer if fact else "")
        if isinstance(answer.reply, Reply) and fact:
            made = examples(fact, plan_for(fact, job.plan, shared), answer.reply, job.options.model)
            shown = shown.model_copy(update={"made": tuple(gated(fact, made))})
        else:
            shown = shown.model_copy(update=_said(answer, fact))
        found.append(shown)
    return found


def _said(answer: Answer, fact: Fact | None) -> dict[str, object]:
    """What an answer says that is not to be made examples of."""
    if isinstance(answer.reply, Pairs):
        return {"pairs": tuple(answer.reply.pairs)}
    if isinstance(answer.reply, Fields) and fact:
        read = proposal(fact, answer.reply)
        return {"read": read} if gains(fact, read) else {"reason": NOTHING_READ}
    if isinstance(answer.error, StudioError):
        reason = Reason.of(answer.error)
        return {"reason": reason.key, "reason_values": reason.values}
    return {}
