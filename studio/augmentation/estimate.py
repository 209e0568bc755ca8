"""Says what a job will ask for before anything is sent: requests, tokens, cost; it must not know how it is asked."""

from collections.abc import Sequence

from pydantic import Field

from studio.augmentation.ledger import Entry, Ledger
from studio.augmentation.options import EndpointOptions
from studio.augmentation.plan import Plan
from studio.augmentation.prompts import FIELDS, Task
from training.contract import Frozen

# Japanese in the tokenizers of today's models: 0.7 to 1.0 tokens a character; the larger is the honest one.
TOKENS_PER_CHARACTER = 1.0
MESSAGE_TOKENS = 10
QUESTION_TOKENS, ANSWER_TOKENS, PAIR_TOKENS, FIELDS_TOKENS, JSON_TOKENS = 35, 50, 90, 60, 40


class Estimate(Frozen):
    """What is still to be paid for. Without a reply of the same model to go by, thinking is not in it."""

    requests: int
    reused: int = Field(description="Requests whose reply is there already.")
    prompt_tokens: int
    completion_tokens: int
    cost: float | None = Field(description="Dollars, where the endpoint has a price.")
    dearest: float | None = Field(description="Dollars of the dearest reply of the same model; None without one.")

    @property
    def measured(self) -> bool:
        """Whether replies of the same model to the same prompt were there to go by."""
        return self.dearest is not None

    @classmethod
    def of(cls, tasks: Sequence[Task], ledger: Ledger, options: EndpointOptions, plan: Plan) -> "Estimate":
        """The estimate for these tasks."""
        left = [task for task in tasks if ledger.find(task.key) is None]
        versions = {task.prompt_version for task in tasks}
        like = [
            entry
            for entry in ledger.usable()
            if entry.model == options.model and entry.prompt_version in versions and entry.completion_tokens
        ]
        prompt = sum(_prompt_tokens(task) for task in left)
        written = len(left) * _written_tokens(tasks, plan, like)
        dearest = max((options.cost(entry.prompt_tokens, entry.completion_tokens) for entry in like), default=None)
        return cls(
            requests=len(left),
            reused=len(tasks) - len(left),
            prompt_tokens=round(prompt),
            completion_tokens=round(written),
            cost=options.cost(round(prompt), round(written)) if options.is_priced else None,
            dearest=dearest,
        )


def _prompt_tokens(task: Task) -> float:
    return len(task.prompt) * TOKENS_PER_CHARACTER + MESSAGE_TOKENS


def _written_tokens(tasks: Sequence[Task], plan: Plan, like: Sequence[Entry]) -> float:
    """Tokens of one reply: as earlier ones had, else by what is asked for."""
    if like:
        return sum(entry.completion_tokens for entry in like) / len(like)
    if tasks and tasks[0].prompt_version == FIELDS:
        return FIELDS_TOKENS + JSON_TOKENS
    if tasks and tasks[0].fact_id:
        return (plan.forward - 1 + plan.reverse) * QUESTION_TOKENS + 3 * ANSWER_TOKENS + JSON_TOKENS
    return 6 * PAIR_TOKENS + JSON_TOKENS
