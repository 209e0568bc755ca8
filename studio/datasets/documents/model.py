"""What crosses the boundary of the documents: articles, pages, selections and how far a job is; no tables, no pages."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from studio.errors import StudioError
from studio.i18n import text
from training.contract import Frozen

DocumentState = Literal["all", "included", "excluded", "cleaned"]
DocumentOrder = Literal["added", "longest", "shortest"]
JobKind = Literal["import", "near"]
JobState = Literal["running", "finished", "cancelled", "failed"]


class Document(Frozen):
    """An article as a list shows it; its text is fetched apart."""

    id: int
    title: str
    path: str = Field(description="Where it lay in its folder or archive.")
    characters: int
    excluded: str = Field(description="Why it is left out, `<code>:<detail>`; empty where it is in.")
    cleaned: bool = Field(description="Whether cleaning changed its text.")

    def reason(self, locale: str = "en") -> str:
        """Why it is left out, in "ja" or "en"; empty where it is in."""
        code, _, detail = self.excluded.partition(":")
        return text(f"documents.excluded_{code}", locale, detail=detail) if code else ""


class DocumentText(Document):
    """An article with its text, and the text as it was before cleaning."""

    text: str
    original: str


class DocumentFilter(Frozen):
    """Which articles a list shows, and in which order."""

    state: DocumentState = "all"
    search: str = Field("", description="Part of the title; width and case do not matter.")
    order: DocumentOrder = "added"


class DocumentPage(Frozen):
    """One page of articles; `number` counts from 1 and is the page really shown."""

    documents: list[Document]
    total: int
    number: int
    pages: int


class DocumentCounts(Frozen):
    """How many articles a dataset holds; characters are those of the included ones."""

    documents: int
    included: int
    cleaned: int
    characters: int
    excluded: dict[str, int] = Field(description="By the code of the reason.")


class Selection(Frozen):
    """Articles by words: keep those that hold any of them, or leave those out."""

    words: tuple[str, ...] = Field(min_length=1)
    action: Literal["keep", "leave_out"] = "keep"
    where: Literal["title", "text"] = Field("text", description="The title alone, or the title and the text.")
    times: int = Field(1, ge=1, description="How often the words stand there at least, taken together.")

    @property
    def excluded(self) -> str:
        """What stands in `Document.excluded` of the articles that this selection leaves out."""
        return ("words_missing:" if self.action == "keep" else "words_found:") + "、".join(self.words)


class Selected(Frozen):
    """What a selection would do: `ids` are the included articles that it leaves out."""

    ids: tuple[int, ...]
    remaining: int
    examples: tuple[str, ...] = Field(description="Titles of some of those that remain.")

    @property
    def number(self) -> int:
        """How many articles it leaves out."""
        return len(self.ids)


@dataclass(frozen=True)
class Alike:
    """Articles that are nearly the same: the longest one, and the others with how alike they are (0 to 1)."""

    kept: int
    others: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class DocumentJob:
    """How far an import or a search for near duplicates is, and afterwards what came of it."""

    kind: JobKind
    state: JobState = "running"
    source: str = ""
    share: float | None = None
    done: int = 0  # files or articles looked at
    imported: int = 0
    known: int = 0  # were there already, with the same path and text
    duplicates: int = 0  # came in, but are left out: the same text as another
    cleaned: int = 0
    skipped: int = 0  # files that are neither .md nor .txt
    rejected: tuple[tuple[str, StudioError], ...] = ()
    alike: tuple[Alike, ...] = field(default=())
    reason: StudioError | None = None
