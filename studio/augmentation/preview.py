"""Shows what a generator would make of a few facts before a whole dataset is sent; it stores nothing."""

import threading
from collections.abc import Sequence

from pydantic import Field, JsonValue

from studio.augmentation import rules
from studio.augmentation.endpoint import Endpoint, FactFailed, examples, read_options
from studio.augmentation.ledger import Ledger, paid_once
from studio.augmentation.plan import Plan
from studio.datasets import Fact, MadeExample
from studio.i18n import text
from training.contract import Frozen


class Previewed(Frozen):
    """What would be made of one fact, or why nothing would; `reason` is an i18n key."""

    fact: Fact
    made: tuple[MadeExample, ...] = ()
    reason: str = ""
    reason_values: dict[str, str] = Field(default_factory=dict)

    def reason_text(self, locale: str) -> str:
        """The reason in "ja" or "en", empty where there is none."""
        return text(self.reason, locale, **self.reason_values) if self.reason else ""


def by_rules(facts: Sequence[Fact], plan: Plan, *, number: int = 3) -> list[Previewed]:
    """The first facts as the rules would augment them among all of `facts`."""
    ambiguous = rules.ambiguous_values(facts) if plan.reverse else frozenset()
    found = []
    for fact in facts[:number]:
        try:
            found.append(Previewed(fact=fact, made=tuple(rules.make(fact, plan, ambiguous))))
        except rules.NeedsModel as need:
            found.append(Previewed(fact=fact, reason=need.reason))
    return found


def by_endpoint(
    facts: Sequence[Fact], plan: Plan, options: dict[str, JsonValue] | None, ledger: Ledger, *, number: int = 3
) -> list[Previewed]:
    """The first facts as a model words them: one paid request each, kept in the ledger for the job that follows.

    Raises AugmentError where it cannot be asked.
    """
    settings = read_options(options)
    endpoint = Endpoint(settings, threading.Event())
    ambiguous = rules.ambiguous_values(facts)
    found = []
    for fact in facts[:number]:
        try:
            asked = rules.plan_for(fact, plan, ambiguous)
            reply, _ = paid_once(ledger, endpoint, fact, asked)
        except FactFailed as error:
            values = {name: str(value) for name, value in error.values.items()}
            found.append(Previewed(fact=fact, reason=error.key, reason_values=values))
        else:
            found.append(Previewed(fact=fact, made=tuple(examples(fact, asked, reply, settings.model))))
    return found
