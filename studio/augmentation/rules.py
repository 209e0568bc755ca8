"""Rewords and reverses the usual Japanese question by rules, without a model; it must not know datasets or jobs."""

from collections.abc import Iterable

from studio.augmentation.plan import Plan
from studio.datasets.model import Fact, MadeExample

GENERATOR = "rules"
PROMPT_VERSION = "rules.v1.ja"

# (relation, value): two facts with the same one cannot both be the answer of a reversed question.
ReverseKey = tuple[str, str]


class NeedsModel(Exception):
    """The rules cannot reword this fact honestly; `reason` is an i18n key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def make(fact: Fact, plan: Plan, ambiguous: frozenset[ReverseKey] = frozenset()) -> list[MadeExample]:
    """The examples the rules make beside the fact's seed pair; fewer than planned where wordings run out.

    Raises:
        NeedsModel: the question or the answer has none of the forms that the rules know.
    """
    raise NotImplementedError


def questions(fact: Fact) -> set[str]:
    """Every forward and reversed question that the rules could make of a fact; empty where they need a model."""
    raise NotImplementedError


def ambiguous_values(facts: Iterable[Fact]) -> frozenset[ReverseKey]:
    """Relations and values that several facts share: asked in reverse, they would have several answers."""
    raise NotImplementedError
