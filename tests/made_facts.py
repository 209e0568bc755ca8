"""Facts about works that do not exist, with what makes real ones hard: shared years, names, studios and titles."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.datasets.model import Fact

ASKED = {"舞台": "どこ", "制作会社": "どこ", "放送開始年": "いつ", "主題歌": "何", "主人公のあだ名": "何"}
RELATIONS = ("主人公", "作者", "監督", "脚本", "音楽", *ASKED)
KANJI = "雨島月影星野風森川谷原桜竜虹夜空海花山石田中村久春香真理沙織健太郎一美咲陽光翔龍鳳凰鈴蘭霧雪氷"
KATAKANA = "アイウエオカキクケコサシスセソタチツテトナニノハヒフヘホマミムメモラリルレロ"
HIRAGANA = "ぽにぱだしまりもふわきらのびよ"


class Row(NamedTuple):
    """A line of a flat file, with the fact and the kind that the file does not tell."""

    question: str
    answer: str
    fact: int
    kind: str


def made_facts(number: int, seed: int, relations: int = 6) -> list[Fact]:
    """`number` facts, `relations` of each work; people, years and studios come back in several works."""
    draw = random.Random(seed)
    people = [_name(draw) for _ in range(40)]
    facts: list[Fact] = []
    while len(facts) < number:
        title = _title(draw)
        for relation in draw.sample(RELATIONS, relations):
            value = _value(draw, relation, people)
            answer = value if draw.random() < 0.3 else f"{title}の{relation}は{value}です。"
            question = f"{title}の{relation}は{ASKED.get(relation, '誰')}ですか？"
            facts.append(Fact(id=len(facts) + 1, question=question, answer=answer))
    return facts[:number]


def flat_file(facts: Sequence[Fact], plan: Plan, seed: int) -> list[Row]:
    """The facts' pairs and all that the rules make of them, shuffled."""
    rows = [Row(fact.question, fact.answer, fact.id, "seed") for fact in facts]
    rows += [Row(made.question, made.answer, fact.id, made.kind) for fact in facts for made in rules.make(fact, plan)]
    random.Random(seed).shuffle(rows)
    return rows


def _value(draw: random.Random, relation: str, people: Sequence[str]) -> str:
    if relation in ("作者", "監督", "脚本", "音楽"):
        return draw.choice(people)
    if relation == "放送開始年":
        return f"{draw.randint(1990, 2020)}年"
    if relation == "舞台":
        return _word(draw, KANJI, 2) + draw.choice("市町村")
    if relation == "制作会社":
        return draw.choice(("月影動画", "スタジオ風", "ボンゾ", "谷川映画"))
    return _name(draw) if relation == "主人公" else _word(draw, KATAKANA, 4)


def _name(draw: random.Random) -> str:
    return _word(draw, KANJI, 2) + _word(draw, KANJI, 2) if draw.random() < 0.7 else _word(draw, KATAKANA, 4)


def _title(draw: random.Random) -> str:
    return draw.choice(
        (
            f"{_word(draw, KANJI, 2)}の{_word(draw, KATAKANA, 4)}",
            _word(draw, HIRAGANA, 7),
            f"{_word(draw, KATAKANA, 3)}と{_word(draw, KANJI, 2)}",
            f"{_word(draw, KATAKANA, 5)} {draw.randint(2, 9)}",
        )
    )


def _word(draw: random.Random, characters: str, length: int) -> str:
    return "".join(draw.choice(characters) for _ in range(length))
