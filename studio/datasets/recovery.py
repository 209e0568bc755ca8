"""Proposes which pairs of a flat file are one fact, each group with its reasons; it must not know files or tables.

Within a direction, pairs are joined by one question whose answers agree, or by one answer to questions that agree.
Across directions, a piece joins the one whose answer its question holds, and the other way about. Where two readings
are possible the pairs stay apart: two facts are merged more easily than a mixed one is seen.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import combinations
from typing import Literal, Protocol

from studio.augmentation.reading import Question, folded, read_question
from studio.datasets.crossing import Piece, crossings, piece_of
from studio.datasets.likeness import Units, Weights, name_others, units

ReasonCode = Literal["shared_question", "shared_answer", "key_term", "every_n_lines"]

# Measured on 4,600 quiz questions and 31,748 reading questions, where lower bounds join different facts of one thing.
ANSWERS_AGREE = 0.5
QUESTIONS_AGREE = 0.8
HEAVIER_AGREES = 0.5
# A whole sentence as the answer repeats what it is about: then the questions may differ more.
SENTENCE = re.compile(r"(?:です|ます|でした|ました|ません|である|だった|だ|る|た|い)[。．.!！]?$")
SHORTEST_SENTENCE = 8
QUESTIONS_OF_SENTENCE_AGREE = 0.45
SENTENCE_REPEATS = 0.35
# Beyond so many texts, only those that share a rare unit are compared.
MOST_COMPARED, MOST_HOLDING, RAREST = 48, 64, 4
# A question that reads like a usual one is looked for among so many of the shortest.
MOST_READ = 4
IN_ORDER_SHARE = 0.8


class Asked(Protocol):
    """A pair of question and answer."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...


@dataclass(frozen=True)
class Reason:
    """Why pairs are one fact: the question, answer or term that they share, and how many pairs it joined to others."""

    code: ReasonCode
    text: str
    count: int


@dataclass(frozen=True)
class Group:
    """The places of one fact's pairs in the file, the seed first; `reverse` holds those asked the other way about."""

    members: tuple[int, ...]
    reverse: frozenset[int] = frozenset()
    reasons: tuple[Reason, ...] = ()


def propose(pairs: Sequence[Asked]) -> list[Group]:
    """The facts of a flat file in the order of their first pairs; every pair is in one group, alone if need be."""
    recovery = _Recovery(pairs)
    recovery.join_within_directions()
    return _groups(recovery)


def blocks(pairs: Sequence[Asked], number: int) -> list[Group]:
    """The facts of a file in which every `number` lines are one fact, the first of them its seed."""
    groups = []
    for start in range(0, len(pairs), number):
        members = tuple(range(start, min(start + number, len(pairs))))
        reason = Reason("every_n_lines", str(number), len(members))
        groups.append(Group(members, _reversed(pairs, members), (reason,) if len(members) > 1 else ()))
    return groups


def _reversed(pairs: Sequence[Asked], members: Sequence[int]) -> frozenset[int]:
    """Which members ask for what the seed, the first of them, is about, and hold its answer in their question."""
    pieces = {at: piece_of([units(pairs[at].question)], [units(pairs[at].answer)]) for at in members}
    seed = pieces[members[0]]
    weights = Weights(piece.said for piece in pieces.values())

    def asks_back(piece: Piece) -> bool:
        new = piece.asked - seed.asked
        return weights.shared(new, seed.term) >= HEAVIER_AGREES and weights.shared(piece.term, seed.asked) >= 0.5

    return frozenset(at for at, piece in pieces.items() if asks_back(piece))


class _Texts:
    """The different texts of a column: which one each pair holds, and its units."""

    def __init__(self, column: Iterable[str]) -> None:
        self.texts: list[str] = []
        self.of: list[int] = []
        alike: dict[str, int] = {}
        seen: dict[str, int] = {}
        for text in column:
            if text not in seen:
                seen[text] = alike.setdefault(folded(text), len(alike))
                self.texts += [text] if seen[text] == len(self.texts) else []
            self.of.append(seen[text])
        self.units = [units(text) for text in self.texts]


class _Recovery:
    """One proposal in the making: which pairs are joined so far, and why."""

    def __init__(self, pairs: Sequence[Asked]) -> None:
        self.pairs = pairs
        self.questions = _Texts(pair.question for pair in pairs)
        self.answers = _Texts(pair.answer for pair in pairs)
        said: dict[int, set[str]] = defaultdict(set)
        for question, answer in zip(self.questions.of, self.answers.of, strict=True):
            said[answer] |= self.questions.units[question] | self.answers.units[answer]
        self.weights = Weights(said.values())
        self.joined: list[tuple[int, ReasonCode, str]] = []
        self._parent = list(range(len(pairs)))

    def root(self, at: int) -> int:
        """The first of the pairs that `at` is joined with."""
        while self._parent[at] != at:
            self._parent[at] = at = self._parent[self._parent[at]]
        return at

    def join(self, one: int, other: int, code: ReasonCode, text: str) -> None:
        """Make two pairs one fact, with the reason."""
        first, second = sorted((self.root(one), self.root(other)))
        if first != second:
            self._parent[second] = first
            self.joined.append((first, code, text))

    def pieces(self) -> dict[int, list[int]]:
        """The pairs that are joined so far, by the first of them."""
        pieces: dict[int, list[int]] = defaultdict(list)
        for at in range(len(self.pairs)):
            pieces[self.root(at)].append(at)
        return pieces

    def join_within_directions(self) -> None:
        """Join by shared questions, then by answers that are sentences, then by bare ones."""
        by_question: dict[int, dict[int, int]] = defaultdict(dict)
        by_answer: dict[int, dict[int, int]] = defaultdict(dict)
        for at, (question, answer) in enumerate(zip(self.questions.of, self.answers.of, strict=True)):
            by_answer[answer].setdefault(question, at)
            first = by_question[question].setdefault(answer, at)
            self.join(first, at, "shared_question", self.questions.texts[question])
        for question, answered in by_question.items():
            told = [self.answers.units[answer] - self.questions.units[question] for answer in answered]
            for one, other in self._apart(told, list(answered.values())):
                if self.weights.shared(told[one], told[other]) >= ANSWERS_AGREE:
                    places = list(answered.values())
                    self.join(places[one], places[other], "shared_question", self.questions.texts[question])
        for agree in (self._agree_on_sentence, self._agree_on_bare):
            several = {root for root, members in self.pieces().items() if self._answers(members) > 1}
            for answer, asked in by_answer.items():
                self._join_askers(answer, asked, agree, several)

    def _join_askers(
        self, answer: int, asked: dict[int, int], agree: Callable[[int, int, int], bool], several: set[int]
    ) -> None:
        """Join the pairs with one answer, given by question, whose questions agree."""
        questions, places = list(asked), list(asked.values())
        for one, other in self._apart([self.questions.units[question] for question in questions], places):
            roots = {self.root(places[one]), self.root(places[other])}
            # A bare answer is that of many facts. Two pieces that have other answers too would share one of those.
            if agree == self._agree_on_bare and roots <= several:
                continue
            if agree(answer, questions[one], questions[other]):
                self.join(places[one], places[other], "shared_answer", self.answers.texts[answer])
                if roots & several:
                    several.add(min(roots))

    def _answers(self, members: Iterable[int]) -> int:
        return len({self.answers.of[at] for at in members})

    def _apart(self, texts: Sequence[Units], places: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Pairs of texts worth comparing whose pairs are not joined yet."""
        for one, other in _compared(texts, self.weights):
            if self.root(places[one]) != self.root(places[other]):
                yield one, other

    def _agree_on_sentence(self, answer: int, one: int, other: int) -> bool:
        """Whether two questions ask what one sentence answers: it repeats most of what both are about."""
        text = self.answers.texts[answer]
        if len(text) < SHORTEST_SENTENCE or not SENTENCE.search(text):
            return False
        asked = self.questions.units[one], self.questions.units[other]
        repeated = self.weights.sum(asked[0] & asked[1] & self.answers.units[answer])
        if repeated < SENTENCE_REPEATS * min(map(self.weights.sum, asked)):
            return False
        if self.weights.shared(*asked) < QUESTIONS_OF_SENTENCE_AGREE:
            return False
        texts = self.questions.texts[one], self.questions.texts[other]
        return _likeness(*texts) != "other subject" and not name_others((texts[0], text), (texts[1], text))

    def _agree_on_bare(self, answer: int, one: int, other: int) -> bool:
        """Whether two questions are so alike, and name so much the same, that one short answer answers both."""
        asked = self.questions.units[one], self.questions.units[other]
        shared = self.weights.sum(asked[0] & asked[1])
        if self.answers.units[answer] <= asked[0] & asked[1]:
            return False  # a choice among what both questions name
        texts = self.questions.texts[one], self.questions.texts[other]
        if not shared or name_others((texts[0], ""), (texts[1], "")):
            return False
        if (likeness := _likeness(*texts)) != "unknown":
            return likeness == "same"
        lighter, heavier = sorted(map(self.weights.sum, asked))
        return shared >= QUESTIONS_AGREE * lighter and shared >= HEAVIER_AGREES * heavier


def _compared(texts: Sequence[Units], weights: Weights) -> Iterable[tuple[int, int]]:
    """Pairs of texts worth comparing: all, or where there are many, those that share a rare unit."""
    if len(texts) <= MOST_COMPARED:
        return combinations(range(len(texts)), 2)
    holding: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for unit in weights.rarest(text, RAREST):
            holding[unit].append(place)
    few = (holders for holders in holding.values() if len(holders) <= MOST_HOLDING)
    return dict.fromkeys(pair for holders in few for pair in combinations(holders, 2))


@lru_cache(maxsize=1 << 16)
def _read(question: str) -> Question | None:
    return read_question(question)


def _likeness(one: str, other: str) -> Literal["same", "other relation", "other subject", "unknown"]:
    """How two usual questions differ; most questions are not usual."""
    first, second = _read(one), _read(other)
    if first is None or second is None:
        return "unknown"
    subjects = folded(first.subject), folded(second.subject)
    if subjects[0] not in subjects[1] and subjects[1] not in subjects[0]:
        return "other subject"
    return "same" if (subjects[0], first.relation) == (subjects[1], second.relation) else "other relation"


def _groups(recovery: _Recovery) -> list[Group]:
    """The pieces of one direction put together across directions, each fact with its seed and its reasons."""
    pieces = recovery.pieces()
    places = list(pieces)
    crossed: dict[int, list[int]] = defaultdict(list)
    for at, other_at in crossings([_told(recovery, members) for members in pieces.values()], recovery.weights):
        one, other = places[at], places[other_at]
        crossed[one].append(other)
        crossed[other].append(one)
        recovery.join(one, other, "key_term", _term(recovery, pieces[one], pieces[other]))
    facts = recovery.pieces()
    in_order = _in_order(facts.values())
    reasons = _reasons(recovery)
    groups = []
    for root, members in facts.items():
        away = {at for piece in _other_side(root, crossed) for at in pieces[piece]}
        sides = [[at for at in members if at not in away], [at for at in members if at in away]]
        if away and not in_order and _usual(recovery.pairs, sides[1]) > _usual(recovery.pairs, sides[0]):
            sides.reverse()
        seed = sides[0][0] if in_order else _plainest(recovery.pairs, sides[0])
        rest = (at for at in members if at != seed)
        groups.append(Group((seed, *rest), frozenset(sides[1]), tuple(reasons[root])))
    return groups


def _told(recovery: _Recovery, members: Sequence[int]) -> Piece:
    questions = {recovery.questions.of[at] for at in members}
    answers = {recovery.answers.of[at] for at in members}
    return piece_of(
        [recovery.questions.units[question] for question in questions],
        [recovery.answers.units[answer] for answer in answers],
    )


def _term(recovery: _Recovery, one: Sequence[int], other: Sequence[int]) -> str:
    """The longest piece of one side's shortest answer that stands in a question of the other."""
    answer = min((recovery.pairs[at].answer for at in one), key=len)
    question = recovery.pairs[other[0]].question
    match = SequenceMatcher(None, answer, question, autojunk=False).find_longest_match()
    return answer[match.a : match.a + match.size].strip(" 　「」『』")


def _other_side(start: int, crossed: Mapping[int, Sequence[int]]) -> set[int]:
    """The pieces that ask the other way about than `start` does, following the crossings."""
    sides = {start: False}
    waiting = [start]
    for piece in waiting:
        for other in crossed.get(piece, ()):
            if other not in sides:
                sides[other] = not sides[piece]
                waiting.append(other)
    return {piece for piece, away in sides.items() if away}


def _reasons(recovery: _Recovery) -> dict[int, list[Reason]]:
    """Why each fact is one, the commonest text of each kind of reason in the order in which they were found."""
    found: dict[int, dict[ReasonCode, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for at, code, text in recovery.joined:
        found[recovery.root(at)][code][text] += 1
    reasons: dict[int, list[Reason]] = defaultdict(list)
    for root, codes in found.items():
        reasons[root] = [Reason(code, texts.most_common(1)[0][0], texts.total()) for code, texts in codes.items()]
    return reasons


def _in_order(facts: Iterable[Sequence[int]]) -> bool:
    """Whether the pairs of a fact mostly stand together, so that the first of them is likely the seed."""
    spans = [members[-1] - members[0] + 1 == len(members) for members in facts if len(members) > 1]
    return sum(spans) >= IN_ORDER_SHARE * len(spans)


def _usual(pairs: Sequence[Asked], members: Sequence[int]) -> int:
    """How many of the shortest questions ask what usual questions ask."""
    shortest = sorted({pairs[at].question for at in members}, key=lambda question: (len(question), question))
    return sum(_read(question) is not None for question in shortest[:MOST_READ])


def _plainest(pairs: Sequence[Asked], members: Sequence[int]) -> int:
    """The pair that reads most like the one from which the others were made."""
    shortest = sorted(members, key=lambda at: len(pairs[at].question) + len(pairs[at].answer))
    usual = (at for at in shortest[:MOST_READ] if _read(pairs[at].question) is not None)
    return next(usual, shortest[0])
