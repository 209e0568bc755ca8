"""The files of an augmentation job: what it was asked to do and where it stands; it must not know how it is done."""

from typing import Literal

from pydantic import Field

from studio.augmentation.options import EndpointOptions
from studio.augmentation.plan import Plan
from studio.augmentation.prompts import DOCUMENTS, FIELDS, TITLES, WORDINGS, FewShot
from studio.augmentation.reversal import SharedAnswer
from studio.errors import StudioError
from studio.i18n import text
from training.contract import Frozen

Generator = Literal["rules", "endpoint"]
# What is multiplied: the facts that are there; what new facts are made from; or that facts are asked about.
Source = Literal["facts", "documents", "titles", "fields"]
NEW_FACTS: frozenset[Source] = frozenset({"documents", "titles"})
AugmentState = Literal["running", "paused", "finished", "cancelled", "failed", "interrupted"]
RESUMABLE: frozenset[AugmentState] = frozenset({"paused", "cancelled", "failed", "interrupted"})


class Reason(Frozen):
    """Why something did not work, as a key and its values, so that each reader gets it in their language."""

    key: str
    values: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: StudioError) -> "Reason":
        """The reason that an error for people gives."""
        return cls(key=error.key, values={name: str(value) for name, value in error.values.items()})

    def text(self, locale: str = "en") -> str:
        """The sentence in "ja" or "en"."""
        return text(self.key, locale, **self.values)

    def __str__(self) -> str:
        return self.text()


class FailedFact(Frozen):
    """A fact, document or title that got nothing, and why."""

    fact_id: int = Field(description="0 where new facts were to be made.")
    question: str = Field(description="The fact's question, or the title.")
    reason: Reason


class Seeds(Frozen):
    """What new facts are made from."""

    titles: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    pairs: int = Field(5, ge=1, le=30, description="Seed pairs to ask for from each part of a document.")
    documents: int = Field(100, ge=1, le=100_000, description="Documents to read, in the order of import.")


class JobPlan(Frozen):
    """`plan.json`: what a job was asked to do; a resumed one reads it again."""

    dataset: str
    generator: Generator
    plan: Plan
    source: Source = "facts"
    seeds: Seeds = Field(default_factory=Seeds)
    options: EndpointOptions | None = None
    few_shots: tuple[FewShot, ...] = ()
    author: str = ""
    only: tuple[str, ...] = Field((), description="Titles to ask again; empty is all.")

    @property
    def prompt_version(self) -> str:
        """The prompt file that its requests are worded by."""
        return {"facts": WORDINGS, "documents": DOCUMENTS, "titles": TITLES, "fields": FIELDS}[self.source]


class AugmentStatus(Frozen):
    """`status.json`: where a job stands.

    `planned`, `made` and `added` count examples beside the seed pairs, or new facts, or facts that gain a field.
    """

    state: AugmentState
    dataset: str
    generator: Generator
    source: Source = "facts"
    reason: Reason | None = None
    done: int = Field(default=0, description="Facts looked at.")
    total: int = Field(default=0, description="Facts of the dataset.")
    planned: int = 0
    made: int = 0
    flagged: int = Field(default=0, description="Examples that a gate holds back for a person.")
    added: int = Field(default=0, description="Examples that the dataset did not hold yet.")
    needs_model: int = Field(
        default=0, description="Facts that the rules cannot reword; they are in `failed` with the reason."
    )
    reverse_left_out: int = Field(
        default=0, description="Facts whose answer is not theirs alone, so not asked in reverse."
    )
    reverse_for_one: int = Field(default=0, description="Such facts whose reversed questions ask for one of several.")
    shared: tuple[SharedAnswer, ...] = Field((), description="Some of the facts that share their answer.")
    tokens: int = Field(default=0, description="Tokens paid for in this job.")
    cost: float | None = Field(default=None, description="Dollars, where the endpoint has a price.")
    reused: int = Field(default=0, description="Facts whose reply was read from an earlier job's ledger.")
    under_way: int = Field(default=0, description="Requests that may be under way at once by now.")
    seconds: float = Field(default=0.0, description="Since the job was started or resumed.")
    eta_s: float | None = None
    failures: dict[str, int] = Field(default_factory=dict, description="Attempts that gave nothing, by reason.")
    flags: dict[str, int] = Field(default_factory=dict, description="Flagged examples by gate.")
    failed_facts: int = 0
    failed: list[FailedFact] = Field(default_factory=list, description="While the job runs, the latest ones only.")
