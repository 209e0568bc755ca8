"""What crosses the boundary of the datasets: facts, examples, pages and reports; it must not know the tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self, TypedDict

from pydantic import Field

from studio.errors import DatasetError, StudioError
from studio.i18n import text
from training.contract import AnswerStyle, ExampleKind, Frozen

ExampleStatus = Literal["pending", "accepted", "rejected"]


class Fact(Frozen):
    """One curated question and answer; `question` and `answer` are those of its seed example."""

    id: int
    question: str
    answer: str
    subject: str = ""
    spellings: tuple[str, ...] = Field((), description="Other ways to write the subject.")
    tags: tuple[str, ...] = ()
    key_terms: tuple[tuple[str, ...], ...] = Field((), description="Terms a right answer holds, with alternatives.")
    short_answer: bool = Field(True, description="Whether the answer is a short one rather than an explanation.")

    @property
    def said(self) -> str:
        """What a person may change of it, to be compared: the same text as long as nobody has changed it."""
        return self.model_dump_json(include={"subject", "spellings", "tags", "key_terms", "short_answer"})


class Example(Frozen):
    """One question and answer of a fact, as stored."""

    id: int
    fact_id: int
    kind: ExampleKind
    answer_style: AnswerStyle
    status: ExampleStatus
    question: str
    answer: str
    generator: str = Field("", description="Who made it: empty for a person or a file, else rules or a model.")
    prompt_version: str = ""
    flags: tuple[str, ...] = Field((), description="Codes of the gates that a made example failed.")
    created_at: datetime
    updated_at: datetime


class EditConflict(DatasetError):
    """An example was changed since a person saw it; `current` is what it is now."""

    def __init__(self, current: Example, author: str) -> None:
        super().__init__("dataset.error_conflict", example=current.id, author=author or "–")
        self.current = current


class FactConflict(DatasetError):
    """What a fact says of itself was changed since a person saw it; `current` is the fact now."""

    def __init__(self, current: Fact, author: str) -> None:
        super().__init__("dataset.error_fact_conflict", fact=current.id, author=author or "–")
        self.current = current


class NewExampleFields(TypedDict, total=False):
    """What an edit of an example may say; None leaves a field as it is.

    `expected` is `updated_at` as it was shown. With `everywhere`, a text changes wherever the fact holds the same one.
    """

    question: str | None
    answer: str | None
    kind: Literal["paraphrase", "reverse"] | None
    answer_style: AnswerStyle | None
    expected: str | None
    everywhere: bool


class NewFactFields(TypedDict, total=False):
    """What an edit of a fact may say; what is left out stays. `expected` is `Fact.said` as it was shown."""

    subject: str
    spellings: Sequence[str]
    tags: Sequence[str]
    key_terms: Sequence[Sequence[str]]
    short_answer: bool | None
    expected: str


class MadeExample(Frozen):
    """An example that a generator made of a fact, not stored yet."""

    fact_id: int
    kind: Literal["paraphrase", "reverse"]
    answer_style: AnswerStyle
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    generator: str = Field(min_length=1, max_length=200)
    prompt_version: str = ""
    status: ExampleStatus = "accepted"
    flags: tuple[str, ...] = ()


class Page(Frozen):
    """One page of a dataset's examples; `number` counts from 1 and is the page really shown."""

    examples: list[Example]
    total: int = Field(description="Examples that match, over all pages.")
    more: bool = Field(False, description="Whether more match than were counted.")
    number: int
    pages: int


class Counts(Frozen):
    """How much a dataset holds."""

    facts: int
    examples: int
    pending: int
    by_kind: dict[ExampleKind, int]


class Facets(Frozen):
    """What there is to filter a dataset by."""

    tags: tuple[str, ...]
    generators: tuple[str, ...]
    checks: tuple[str, ...] = Field(description="Codes of findings and of gates' flags.")


class RejectedLine(Frozen):
    """A line of an imported file that did not come in, and why; `reason` is the English sentence."""

    file: str = ""
    line: int = Field(description="Line of the file, or position in a JSON list or a Parquet table, from 1.")
    reason: str
    key: str
    values: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def because(cls, line: int, error: StudioError, file: str = "") -> Self:
        """The report of a line that raised `error`."""
        values = {name: str(value) for name, value in error.values.items()}
        return cls(file=file, line=line, reason=str(error), key=error.key, values=values)

    def text(self, locale: str = "en") -> str:
        """The reason in "ja" or "en"."""
        return text(self.key, locale, **self.values)


class ImportReport(Frozen):
    """What an import brought in and what it left out."""

    imported: int = Field(description="Examples that came in.")
    rejected: list[RejectedLine]
    facts: int = Field(description="Facts of the dataset after the import.")
    examples: int = Field(description="Examples of the dataset after the import.")
    unused_columns: list[str] = Field(default_factory=list, description="Columns of the files that were not read.")
    proposed: int = Field(0, description="Facts made of several lines because of what these share.")


class Undone(Frozen):
    """Which change was taken back; `str()` is the English sentence."""

    key: str
    values: dict[str, str | int]

    def text(self, locale: str = "en") -> str:
        """The sentence in "ja" or "en"."""
        return text(self.key, locale, **self.values)

    def __str__(self) -> str:
        return self.text("en")
