"""Finds one name in two spellings (ぽにぽに… and ぱにぽに…); it must not know how facts are stored or mended.

A model learns two works from two spellings. Two names that are said alike are one name. Two that are one kana apart
are one only where something else speaks for it, for オーストリア is not オーストラリア. Names that differ by a kanji,
a digit or a letter are two names.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations

from studio.datasets.checks.comparing import AGREES, agreement, topic
from studio.datasets.checks.corpus import Corpus, Example, bare
from studio.datasets.checks.found import Found, components

QUOTED = re.compile(r"[「『]([^「」『』]{4,30})[」』]")
KATAKANA = re.compile(r"[ァ-ヺ][ァ-ヺー・=]{3,}")
# A title in hiragana that opens a question, up to the particle behind it.
OPENING = re.compile(r"^([ぁ-んー!?☆★♪]{5,20}?)\s?(?=[のはで])")

# Spellings of one sound: what is left after these is how a name is said.
_SOUNDS = (("ヴァ", "バ"), ("ヴィ", "ビ"), ("ヴェ", "ベ"), ("ヴォ", "ボ"), ("ヴ", "ブ"), ("ヂ", "ジ"), ("ヅ", "ズ"))
_SMALL = str.maketrans("ァィゥェォャュョヮヵヶ", "アイウエオヤユヨワカケ", "ーッ")
SHORTEST_SAID = 4
SHORTEST_MISSPELT = 6
# A spelling so much rarer than the other one is a slip.
SLIP = 25
# A misspelt name stands in few examples, and these are what a person wants to see; of the right one, so many.
SHOWN = 3


def spellings(corpus: Corpus) -> Iterator[Found]:
    """Names that stand in the dataset in more than one spelling, with the examples of the rarer ones."""
    names = _Names(corpus)
    for group in names.groups():
        *rare, common = sorted(group, key=lambda name: (names.count(name), name))
        members = [example for name in rare for example in names.examples(name)] + names.examples(common)[:SHOWN]
        told = " / ".join(f"{names.written(name)} ({names.count(name)})" for name in (common, *reversed(rare)))
        unique = {example.id: (example.id, example.fact_id) for example in members}
        yield Found("spelling", tuple(unique.values()), {"names": told})


@lru_cache(maxsize=200_000)
def said(name: str) -> str:
    """How a bare name sounds: without long vowels and small kana."""
    for written, sound in _SOUNDS:
        name = name.replace(written, sound)
    return name.translate(_SMALL)


def one_kana_apart(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names of which one becomes the other by changing, adding or dropping one kana."""
    shortened: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name in names:
        shortened[name].append((name, -1))
        for at, letter in enumerate(name):
            if "ぁ" <= letter <= "ー":
                shortened[name[:at] + name[at + 1 :]].append((name, at))
    pairs = set()
    for alike in shortened.values():
        for (one, at), (other, there) in combinations(alike, 2):
            if one != other and (at == there or -1 in (at, there)):
                pairs.add((min(one, other), max(one, other)))
    yield from sorted(pairs)


class _Names:
    """The names of a dataset by their bare spelling, and where each stands."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.texts: dict[str, set[int]] = defaultdict(set)
        self.titles: set[str] = set()
        self._written: dict[str, Counter[str]] = defaultdict(Counter)
        for number, text in enumerate(corpus.texts.written):
            self._read(number, unicodedata.normalize("NFKC", text))
        self.known_together = self._fact_names()
        self.of_text: dict[int, list[Example]] = defaultdict(list)
        for example in corpus.examples:
            self.of_text[example.question].append(example)
            self.of_text[example.answer].append(example)

    def groups(self) -> Iterator[list[str]]:
        """Names that are one name."""
        names = sorted(self.texts)
        alike: dict[str, list[str]] = defaultdict(list)
        for name in names:
            if len(said(name)) >= SHORTEST_SAID:
                alike[said(name)].append(name)
        pairs = [(same[0], name) for same in alike.values() for name in same[1:]]
        pairs += filter(self._one_name, one_kana_apart(name for name in names if len(name) >= SHORTEST_MISSPELT))
        numbers = {name: number for number, name in enumerate(names)}
        known = (tuple(sorted(pair)) in self.known_together for pair in pairs)
        numbered = [(numbers[one], numbers[other]) for (one, other), told in zip(pairs, known, strict=True) if not told]
        for group in components(numbered):
            yield [names[number] for number in group]

    def examples(self, name: str) -> list[Example]:
        """The examples that hold a name, by id."""
        found = {example.id: example for text in self.texts[name] for example in self.of_text[text]}
        return [found[example_id] for example_id in sorted(found)]

    def count(self, name: str) -> int:
        """In how many distinct texts a name stands."""
        return len(self.texts[name])

    def written(self, name: str) -> str:
        """A name as it is written most often."""
        return max(self._written[name].items(), key=lambda item: (item[1], item[0]))[0]

    def _read(self, number: int, text: str) -> None:
        quoted, openings = QUOTED.findall(text), OPENING.findall(text)
        for name in (*quoted, *openings, *KATAKANA.findall(text)):
            key = bare(name)
            if len(key) >= SHORTEST_SAID:
                self.texts[key].add(number)
                self._written[key][name.strip()] += 1
        self.titles.update(bare(name) for name in (*quoted, *openings))

    def _fact_names(self) -> set[tuple[str, ...]]:
        """Take the facts' own names in, and return pairs of spellings that a person has named as one."""
        together = set()
        seeds = {example.fact_id: example.question for example in self.corpus.examples if example.seed}
        for fact_id, fact in self.corpus.facts.items():
            own = {bare(name): name for name in (*fact.subject, *fact.tags)}
            for key, name in own.items():
                if len(key) >= SHORTEST_SAID and fact_id in seeds:
                    self.titles.add(key)
                    self.texts[key].add(seeds[fact_id])
                    self._written[key][name] += 1
            together |= {tuple(sorted(pair)) for pair in combinations({bare(name) for name in fact.subject}, 2)}
        return together

    def _one_name(self, pair: tuple[str, str]) -> bool:
        """Whether something speaks for two names one kana apart being one."""
        rare, common = sorted(pair, key=self.count)
        if self.texts[rare] & self.texts[common]:
            return False
        if {rare, common} <= self.titles and _hiragana_apart(rare, common):
            return True
        slip = self.count(common) >= SLIP * self.count(rare)
        return slip or any(self._same(one, other, rare, common) for one, other in self._beside(rare, common))

    def _beside(self, rare: str, common: str) -> Iterator[tuple[Example, Example]]:
        """Examples of two names that may be about one thing: of one fact, or asking the same."""
        by_fact = {example.fact_id: example for example in self.examples(common)}
        by_topic = {self._asked(example, common): example for example in self.examples(common)}
        for example in self.examples(rare):
            for found in (by_fact.get(example.fact_id), by_topic.get(self._asked(example, rare))):
                if found is not None:
                    yield example, found

    def _same(self, one: Example, other: Example, rare: str, common: str) -> bool:
        if one.fact_id == other.fact_id:
            return True
        answers = (self.corpus.texts.bare[one.answer], self.corpus.texts.bare[other.answer])
        return agreement(answers[0].replace(rare, ""), answers[1].replace(common, ""), "") >= AGREES

    def _asked(self, example: Example, name: str) -> str:
        """What an example asks, whatever the name."""
        return topic(self.corpus.texts.bare[example.question].replace(name, "※"))


def _hiragana_apart(one: str, other: str) -> bool:
    """Whether what differs is a hiragana inside the name; at the end it would be an inflection."""
    at = next((at for at, (letter, there) in enumerate(zip(one, other, strict=False)) if letter != there), -1)
    longest = max(one, other, key=len)
    return 0 <= at < len(longest) - 1 and all("ぁ" <= name[at] <= "ゖ" for name in (one, other) if at < len(name))
