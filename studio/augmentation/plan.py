"""How many examples a fact shall have; it must not know who writes them."""

from typing import Literal

from pydantic import Field

from training.contract import Frozen

# What becomes of a reversed question whose answer several facts would give.
SharedReverse = Literal["leave_out", "ask_for_one"]


class Plan(Frozen):
    """Examples of one fact: every question of a direction with every answer of that direction.

    The seed question is one of `forward`, the seed answer one of `answers`. The reports' table 1 is (2 + 2) x 2.
    """

    forward: int = Field(default=8, ge=1, le=64, description="Phrasings of the question, the seed included.")
    reverse: int = Field(default=8, ge=0, le=64, description="Reversed questions, whose answer is the subject.")
    answers: int = Field(2, ge=1, le=2, description="Answers of each question: short, and detailed.")
    shared_reverse: SharedReverse = Field(
        "leave_out", description="Where several facts share an answer: no reversed question, or one that asks for one."
    )

    @property
    def per_fact(self) -> int:
        """Examples of one fact, its seed pair included."""
        return (self.forward + self.reverse) * self.answers

    def total(self, facts: int) -> int:
        """Examples of a dataset with this many facts, seed pairs included."""
        return self.per_fact * facts
