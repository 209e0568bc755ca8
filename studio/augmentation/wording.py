"""The wordings of the built-in rules, read from assets/prompts; it must not know how a question is understood."""

from functools import lru_cache
from typing import Literal

from pydantic import Field

from training.contract import PROJECT_ROOT, Frozen

PROMPT_VERSION = "rules.v1.ja"
SOURCE = PROJECT_ROOT / "assets" / "prompts" / f"{PROMPT_VERSION}.json"

SubjectKind = Literal["work", "person", "character", "place", "country", "event", "thing", "auto"]


class Family(Frozen):
    """Relations that are asked in the same words.

    Placeholders: {x} the subject, {y} the relation, {v} the value, {q} what the subject is asked with (誰, どの作品),
    {w} what the value is asked with, {act} {n} {topic} {clause} {past} {polite} what a relation brings along.
    A wording without 。 at its end gets a question mark.
    """

    nouns: list[str]
    subject: SubjectKind
    asks: str
    quote: bool = Field(default=False, description="Whether the value is written in 「」 in a question.")
    forward: list[str]
    reverse: list[str]
    plain: str = Field(
        "{x}の{y}は{v}です。", description="The shortest whole sentence that answers a forward question."
    )
    detailed: str = Field(description="Another whole sentence with the same content.")
    answer: str = Field(description="The sentence that answers a reversed question.")


class Event(Frozen):
    """Words of something that happened to a subject at a time."""

    nouns: list[str]
    topic: str
    clause: str
    past: str
    polite: str
    n: str


class Wordings(Frozen):
    """The whole file."""

    families: dict[str, Family]
    acts: dict[str, str]
    places: dict[str, str]
    events: dict[str, Event]
    subjects: dict[str, list[str]]

    def family_of(self, relation: str) -> str | None:
        """The family that a relation noun belongs to by name; None leaves it to the question word."""
        if self.event_of(relation):
            return "時"
        return next((name for name, family in self.families.items() if relation in family.nouns), None)

    def event_of(self, relation: str) -> Event | None:
        """The event whose time a relation noun names."""
        return next((event for event in self.events.values() if relation in event.nouns), None)

    def known_nouns(self) -> list[str]:
        """Every relation noun, longest first, so that 放送開始年 is not read as 年."""
        named = [noun for family in self.families.values() for noun in family.nouns]
        named += [noun for event in self.events.values() for noun in event.nouns]
        named += [noun for nouns in self.subjects.values() for noun in nouns]
        return sorted(named, key=len, reverse=True)


@lru_cache
def wordings() -> Wordings:
    """The wordings that ship with the project."""
    return Wordings.model_validate_json(SOURCE.read_bytes())
