"""Finds the pieces of a file that ask one statement from both ends: who is in what, and what has whom in it.

Knows units and weights, not files, tables or how the pieces were made.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from studio.datasets.likeness import Units, Weights

# Which part of the answer's term must stand in the other's question, and of what else is said, in what else it says.
# Measured on quiz questions: with less, questions about one another's answers are joined whatever they ask.
TERM_FOUND = 0.6
RELATION_FOUND = 0.3
# Of two pairs alone more must agree: a quiz question says more of its answer than is one fact.
HEAVIER_FOUND = {False: 0.2, True: 0.4}
# A shared year or a shared 「人」 is no term.
LEAST_WEIGHT = 15.0
# Pieces are compared where the rarest units of an answer stand in the other's question; too common ones say nothing.
RAREST = 3
MOST_HOLDING = 200
# Scores so near to the best are as good as it.
TIE = 0.02


@dataclass(frozen=True)
class Piece:
    """Pairs of one fact and direction: what the questions ask, what the answers say beyond, and all that is said."""

    asked: Units
    term: Units
    said: Units
    alone: bool


def piece_of(questions: Collection[Units], answers: Collection[Units]) -> Piece:
    """The piece of some pairs; its term is what every answer says beyond the questions, or the shortest of them."""
    asked = frozenset[str]().union(*questions)
    told = [answer - asked for answer in answers]
    term = frozenset.intersection(*told) or min(told, key=len)
    return Piece(asked, term, asked.union(*answers), alone=len(questions) == len(answers) == 1)


def crossings(pieces: Sequence[Piece], weights: Weights) -> list[tuple[int, int]]:
    """Places of pieces whose answers stand in each other's questions, each with none but its best partners."""
    scores = dict(_scores(pieces, weights))
    best: dict[int, float] = defaultdict(float)
    for (one, other), score in scores.items():
        best[one], best[other] = max(best[one], score), max(best[other], score)
    return [
        (one, other) for (one, other), score in sorted(scores.items()) if score >= max(best[one], best[other]) - TIE
    ]


def _scores(pieces: Sequence[Piece], weights: Weights) -> Iterator[tuple[tuple[int, int], float]]:
    for one, other in _candidates(pieces, weights):
        score = _score(pieces[one], pieces[other], weights)
        if score:
            yield (one, other), score


def _score(one: Piece, other: Piece, weights: Weights) -> float:
    """How surely two pieces are one statement; 0 where they are not."""
    # What both ask says nothing of either's answer.
    found = weights.shared(one.term, other.asked - one.asked)
    if found < TERM_FOUND:
        return 0.0
    found = min(found, weights.shared(other.term, one.asked - other.asked))
    if found < TERM_FOUND:
        return 0.0
    terms = one.term & other.asked, other.term & one.asked
    if min(map(weights.sum, terms)) < LEAST_WEIGHT:
        return 0.0
    named = terms[0] | terms[1]
    # Whoever directed a film and wrote it too has two facts with it: what else is said must agree.
    said = one.said - named, other.said - named
    relation = weights.shared(*said)
    told = weights.sum(said[0] & said[1]) >= HEAVIER_FOUND[one.alone and other.alone] * max(map(weights.sum, said))
    return found + relation if told and relation >= RELATION_FOUND else 0.0


def _candidates(pieces: Sequence[Piece], weights: Weights) -> Iterator[tuple[int, int]]:
    """Pairs of pieces, each of which has a rare unit of its term in the other's question."""
    rare = [weights.rarest(piece.term, RAREST) for piece in pieces]
    telling: dict[str, list[int]] = defaultdict(list)
    for place, found in enumerate(rare):
        for unit in found:
            telling[unit].append(place)
    asking: dict[str, list[int]] = defaultdict(list)
    for place, piece in enumerate(pieces):
        for unit in piece.asked & telling.keys():
            asking[unit].append(place)
    for place, piece in enumerate(pieces):
        askers = _holders(asking, rare[place])
        for other in askers and askers & _holders(telling, piece.asked & telling.keys()):
            if place < other:
                yield place, other


def _holders(index: dict[str, list[int]], wanted: Iterable[str]) -> set[int]:
    found: set[int] = set()
    for unit in wanted:
        if len(holders := index.get(unit, [])) <= MOST_HOLDING:
            found.update(holders)
    return found
