"""How much two Japanese texts say the same, by pieces of their words; it must not know what the texts are for.

A unit is a word in Latin letters or digits, a single kanji, or two neighbouring characters of one script. A unit
that many texts hold (a year, a question word) weighs little.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from math import log

from studio.augmentation.wording import wordings
from studio.datasets.text import fold

Units = frozenset[str]

_RUN = re.compile(
    r"[0-9a-z]+|[ぁ-ゖゝゞー]*[ぁ-ゖゝゞ][ぁ-ゖゝゞー]*|[ァ-ヺヽヾー]+|[一-鿿々〆ヶ]+|[^\W0-9a-zぁ-ヿ一-鿿々]+"
)
_HIRAGANA = re.compile(r"[ぁ-ゖ]+")
# What stands for one thing only: quoted, in katakana, in Latin letters or digits.
_NAME = re.compile(r"[「『](.+?)[」』]|([ァ-ヺー]{2,})|([0-9a-z]+)")
# As if so many more texts had been read: in a file of eight lines every word is in most of them.
_PRIOR_TEXTS, _PRIOR_HOLDING = 500, 5
# What the built-in wordings hold beside names is a way to ask, in a small file as well.
_WORDING_WEIGHT = 3


def units(text: str) -> Units:
    """The units of a text; width, case, quotes and punctuation make no difference."""
    found: set[str] = set()
    for run in _RUN.findall(fold(text)):
        if run[0].isascii() or (len(run) == 1 and not _HIRAGANA.match(run)):
            found.add(run)
        else:
            found.update(run[at : at + 2] for at in range(len(run) - 1))
    return frozenset(found)


def name_others(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether the questions of two pairs each name something that the other pair does not."""
    return _names_beyond(one, other) and _names_beyond(other, one)


def _names_beyond(pair: tuple[str, str], other: tuple[str, str]) -> bool:
    said = fold("".join(other))
    return any(name not in said for name in _names(fold(pair[0])))


def _names(question: str) -> list[str]:
    return [name for match in _NAME.findall(question) for name in match if name]


class Weights(dict[str, float]):
    """What a unit weighs, learned from the texts of one file; a unit that was never met is rare."""

    def __init__(self, texts: Iterable[Iterable[str]]) -> None:
        super().__init__()
        self._holding = Counter({unit: _WORDING_WEIGHT * number for unit, number in _asking().items()})
        self._texts = 0
        for text in texts:
            self._texts += 1
            self._holding.update(text)

    def __missing__(self, unit: str) -> float:
        rarity = log(1 + (self._texts + _PRIOR_TEXTS) / (self._holding[unit] + _PRIOR_HOLDING))
        # Two hiragana are seldom a word.
        self[unit] = weight = rarity**2 * (0.5 if _HIRAGANA.fullmatch(unit) else 1.0)
        return weight

    def sum(self, held: Iterable[str]) -> float:
        """The weight of several units."""
        return sum(map(self.__getitem__, held))

    def shared(self, one: Units, other: Units) -> float:
        """Which part of the lighter of two texts the other holds too, from 0 to 1."""
        lighter = min(self.sum(one), self.sum(other))
        return self.sum(one & other) / lighter if lighter else 0.0

    def rarest(self, held: Iterable[str], number: int) -> list[str]:
        """The units that weigh most, the same ones every time."""
        return sorted(held, key=lambda unit: (-self[unit], unit))[:number]


@lru_cache
def _asking() -> Counter[str]:
    """The units of the built-in wordings without their placeholders."""
    counted: Counter[str] = Counter()
    for family in wordings().families.values():
        for wording in (*family.forward, *family.reverse, family.plain, family.detailed, family.answer):
            for part in re.split(r"\{\w+\}", wording):
                counted.update(units(part))
    return counted
