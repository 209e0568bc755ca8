"""Proposes to which fact a question that is asked but never trained belongs, and of which kind it is; no tables here.

A question is a rephrasing where it asks what a fact's question asks and its reference says what the fact's answer
says; reverse where it names the answer and its reference names what the fact's question is about. Any other question
about a subject of the dataset is one of an untrained fact. Whatever is proposed, a person confirms it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from studio.augmentation.reading import folded
from studio.datasets.crossing import Piece, piece_of
from studio.datasets.likeness import Units, Weights, name_others, units
from studio.datasets.text import excerpt

QuestionKind = Literal["trained", "heldout_phrasing", "reverse", "heldout_fact", "out_of_domain"]
ReasonCode = Literal["same_question", "same_content", "turned_around", "known_subject", "nothing_known"]

# Seen on the reports' own test questions: their rephrasings share 0.7 of both, other facts of one work 0 of the answer.
QUESTIONS_AGREE, ANSWERS_AGREE = 0.45, 0.4
BOTH_AGREE = 1.5
ANSWER_GIVEN, SUBJECT_ASKED = 0.35, 0.1
# A question without a reference has to say it all.
QUESTIONS_AGREE_ALONE, ANSWER_GIVEN_ALONE = 0.75, 0.4
SHORTEST_NAME = 2
# Facts are compared that hold one of the rarest units of a question, where few hold it.
RAREST, MOST_HOLDING, MOST_COMPARED = 8, 400, 12


@dataclass(frozen=True)
class Known:
    """A fact of the dataset: the pairs of each direction, the seed first, and the names it goes by."""

    id: int
    forward: Sequence[tuple[str, str]]
    reverse: Sequence[tuple[str, str]] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Link:
    """What is proposed for a question; `text` is what the reason quotes."""

    kind: QuestionKind
    reason: ReasonCode
    fact_id: int | None = None
    text: str = ""


@dataclass(frozen=True)
class _Fact:
    known: Known
    seed: Units
    forward: Piece
    reverse: Piece | None

    @cached_property
    def said(self) -> Units:
        """All that stands in the fact's pairs."""
        return self.forward.said | self.reverse.said if self.reverse else self.forward.said

    @cached_property
    def told(self) -> Units:
        """What the answers say beyond the questions."""
        return self.forward.said - self.forward.asked

    def link(self, kind: QuestionKind, reason: ReasonCode) -> Link:
        """A question of this fact; the reason quotes its seed question."""
        return Link(kind, reason, self.known.id, excerpt(self.known.forward[0][0]))


@dataclass(frozen=True)
class _Question:
    text: str
    reference: str
    asked: Units
    said: Units
    told: Units


class Linker:
    """Links questions to the facts of one dataset."""

    def __init__(self, facts: Iterable[Known]) -> None:
        self.facts = {known.id: _fact(known) for known in facts}
        self.weights = Weights(fact.said for fact in self.facts.values())
        self.asking: dict[str, list[int]] = defaultdict(list)
        self.holding: dict[str, list[int]] = defaultdict(list)
        self.names: dict[str, str] = {}
        for fact in self.facts.values():
            for question in {folded(question) for question, _ in (*fact.known.forward, *fact.known.reverse)}:
                self.asking[question].append(fact.known.id)
            for unit in fact.said:
                self.holding[unit].append(fact.known.id)
            self.names |= {folded(name): name for name in fact.known.names}
        self.names = {name: written for name, written in self.names.items() if len(name) >= SHORTEST_NAME}
        self.longest_name = max(map(len, self.names), default=0)

    def link(self, question: str, reference: str = "") -> Link:
        """What a question is to the dataset."""
        asked, said = units(question), units(reference)
        told = _Question(question, reference, asked, said, said - asked)
        if (verbatim := self._verbatim(told)) is not None:
            return Link("trained", "same_question", verbatim, excerpt(question))
        best = max(self._judged(told), key=lambda judged: judged[0], default=None)
        if best is not None:
            return best[1]
        if name := self._named(question) or self._named(reference):
            return Link("heldout_fact", "known_subject", text=name)
        return Link("out_of_domain", "nothing_known")

    def _verbatim(self, question: _Question) -> int | None:
        """The fact that asks this very question, by its answer where several do."""
        asking = self.asking.get(folded(question.text), [])
        agreed = [(self._answers_agree(question, self.facts[fact_id]), -fact_id) for fact_id in asking]
        if not agreed or (question.told and max(agreed)[0] < ANSWERS_AGREE):
            return None
        return -max(agreed)[1]

    def _answers_agree(self, question: _Question, fact: _Fact) -> float:
        pieces = (fact.forward, fact.reverse) if fact.reverse else (fact.forward,)
        return max(self.weights.shared(question.told, piece.said - question.asked) for piece in pieces)

    def _judged(self, question: _Question) -> Iterator[tuple[float, Link]]:
        """How surely each fact that comes near is the question's, and as what."""
        for fact in self._near(question.asked | question.said):
            yield from self._as_rephrasing(question, fact)
            yield from self._as_reverse(question, fact)

    def _near(self, said: Units) -> list[_Fact]:
        found: dict[int, float] = defaultdict(float)
        for unit in self.weights.rarest(said & self.holding.keys(), RAREST):
            if len(self.holding[unit]) <= MOST_HOLDING:
                for fact_id in self.holding[unit]:
                    found[fact_id] += self.weights[unit]
        near = sorted(found, key=lambda fact_id: (-found[fact_id], fact_id))
        return [self.facts[fact_id] for fact_id in near[:MOST_COMPARED]]

    def _as_rephrasing(self, question: _Question, fact: _Fact) -> Iterator[tuple[float, Link]]:
        """Of either direction: the question asks as the fact's do, and is answered so."""
        if name_others((question.text, question.reference), fact.known.forward[0]):
            return
        for piece in filter(None, (fact.forward, fact.reverse)):
            asked = self.weights.shared(question.asked, piece.asked)
            answered = self.weights.shared(question.told, piece.said - piece.asked) if question.told else 0.0
            agree = asked >= QUESTIONS_AGREE and answered >= ANSWERS_AGREE
            if agree or (not question.told and asked >= QUESTIONS_AGREE_ALONE):
                kind: QuestionKind = "heldout_phrasing" if piece is fact.forward else "reverse"
                yield asked + answered, fact.link(kind, "same_content")

    def _as_reverse(self, question: _Question, fact: _Fact) -> Iterator[tuple[float, Link]]:
        """What the fact's answer says is given, and what its question is about is asked for."""
        given = self._part(question.asked - fact.forward.asked, fact.told)
        wanted = self._part(fact.seed - question.asked, question.told)
        if given >= ANSWER_GIVEN and wanted >= SUBJECT_ASKED:
            # Where both readings fit, this one explains why the question gives what the fact was asked for.
            yield BOTH_AGREE + (given + wanted) / 10, fact.link("reverse", "turned_around")
        elif not question.told and given >= ANSWER_GIVEN_ALONE:
            yield given, fact.link("reverse", "turned_around")

    def _part(self, of: Units, held: Units) -> float:
        whole = self.weights.sum(of)
        return self.weights.sum(of & held) / whole if whole else 0.0

    def _named(self, text: str) -> str:
        """The longest name of the dataset that stands in a text."""
        letters = folded(text)
        for length in range(min(self.longest_name, len(letters)), SHORTEST_NAME - 1, -1):
            for start in range(len(letters) - length + 1):
                if name := self.names.get(letters[start : start + length]):
                    return name
        return ""


def _fact(known: Known) -> _Fact:
    forward, reverse = _piece(known.forward), _piece(known.reverse) if known.reverse else None
    return _Fact(known, units(known.forward[0][0]), forward, reverse)


def _piece(pairs: Sequence[tuple[str, str]]) -> Piece:
    return piece_of([units(q) for q in {q for q, _ in pairs}], [units(a) for a in {a for _, a in pairs}])
