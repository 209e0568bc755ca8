"""The demo's two invented anime worlds: names, facts and the questions about them.

World A is what the demo's base model knows; world B, which no model can know, is the demo dataset. Knows nothing
about models or tokens.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import chain

from training.contract import PROJECT_ROOT

WORLD_A_SEED = 1
WORLD_A_WORKS = 100
WORLD_B_WORKS = 6
# Years that end in 4 or 9 belong to world B, so a base model that guesses years never guesses one of world B's.
_WORLD_B_YEAR_ENDINGS = "49"
# Each of these years starts one work of world A only, so that "which work started in ...?" has one answer.
_YEARS_OF_ONE_WORK = 36

_KANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロ"
_ENDINGS = ("", "", "", "ン", "ー", "ス", "ア")
_TITLE_KANJI = "星月花風海空夢影光剣竜姫森雪炎雷鏡時砂霧虹鈴羽塔"
_FAMILY_FIRST = "雨朝久真白黒天水高神冬夏秋桜青深"
_FAMILY_LAST = "宮川野原瀬沢崎井島見城坂木谷森村"
_GIVEN_FIRST = "直千真有理和文史冬夏秋春雪光航遥"
_GIVEN_LAST = "人馬子紀也美香樹斗太乃介衣帆平音"
_PLACES = ("学園", "町", "島", "王国", "港", "村", "駅", "高校", "谷", "城")
_NICKNAME_WORDS = (
    "銀の 青い 赤い 眠れる 小さな 静かな 走る 笑う 無口な 迷子の 黒い 白い 最後の 片目の 真夜中の 泣き虫の"
)
_NICKNAME_THINGS = "歯車 燕 狐 王様 灯台 鯨 司書 時計 狼 鈴 梟 羊 船長 魔女 稲妻 案山子 郵便屋 風車 金魚 提灯"


@dataclass(frozen=True)
class Work:
    """One invented work; every value but `year` of world A is unique across both worlds."""

    title: str
    hero: str
    author: str
    place: str
    year: str
    nickname: str
    studio: str


RELATIONS = tuple(field.name for field in fields(Work) if field.name != "title")


@dataclass(frozen=True)
class Fact:
    """One relation of one work, with its seed question and answer as the dataset's file holds them."""

    fact_id: int
    relation: str
    title: str
    value: str

    @property
    def question(self) -> str:
        """The seed question."""
        return wordings()[self.relation]["forward"][0].format(t=self.title)

    @property
    def answer(self) -> str:
        """The seed answer."""
        return wordings()[self.relation]["answers"][0].format(t=self.title, v=self.value)

    def unseen_questions(self) -> list[str]:
        """Hand-written phrasings that neither pre-training nor the built-in rules contain."""
        return [wording.format(t=self.title) for wording in wordings()[self.relation]["unseen"]]


@cache
def wordings() -> dict[str, dict]:
    """Per relation: noun, forward and reverse questions, their answers and the unseen phrasings."""
    return json.loads((PROJECT_ROOT / "assets/demo/wordings.json").read_text(encoding="utf-8"))


@cache
def world_a() -> tuple[Work, ...]:
    """The world that every demo base model is pre-trained on; it does not depend on the seed of a build."""
    chance = random.Random(WORLD_A_SEED)
    years = _years_of_world_a()
    chance.shuffle(years)
    once, shared = years[:_YEARS_OF_ONE_WORK], years[_YEARS_OF_ONE_WORK:]
    repeated = [shared[i % len(shared)] for i in range(WORLD_A_WORKS - len(once))]
    return tuple(_works(chance, once + repeated, taken=()))


def world_b(seed: int) -> list[Work]:
    """World B of one seed: no name of it is in world A, whatever the seed."""
    chance = random.Random(f"world B {seed}")
    years = [str(year) for year in range(1960, 2026) if str(year)[-1] in _WORLD_B_YEAR_ENDINGS]
    taken = chain.from_iterable(asdict(work).values() for work in world_a())
    return _works(chance, chance.sample(years, WORLD_B_WORKS), taken)


def passing_work(chance: random.Random) -> Work:
    """A work that exists for one example only: asked about it, nobody can do better than invent."""
    return _works(chance, [chance.choice(_years_of_world_a())], taken=())[0]


def facts(works: Iterable[Work]) -> list[Fact]:
    """Every relation of every work, numbered from 1 in reading order."""
    pairs = [(work, relation) for work in works for relation in RELATIONS]
    return [_fact(number, work, relation) for number, (work, relation) in enumerate(pairs, start=1)]


def reversible(works: Iterable[Work]) -> Iterator[Fact]:
    """The facts whose value names one work only, so that the question can be asked from its end."""
    every = facts(works)
    values = [fact.value for fact in every]
    return (fact for fact in every if values.count(fact.value) == 1)


def _years_of_world_a() -> list[str]:
    return [str(year) for year in range(1960, 2026) if str(year)[-1] not in _WORLD_B_YEAR_ENDINGS]


def _fact(number: int, work: Work, relation: str) -> Fact:
    value = getattr(work, relation)
    return Fact(number, relation, work.title, f"{value}年" if relation == "year" else value)


def _works(chance: random.Random, years: list[str], taken: Iterable[str]) -> list[Work]:
    used = set(taken)

    def new(make) -> str:
        while (name := make(chance)) in used:
            pass
        used.add(name)
        return name

    return [
        Work(new(_title), new(_hero), new(_author), new(_place), year, new(_nickname), new(_studio)) for year in years
    ]


def _word(chance: random.Random) -> str:
    return "".join(chance.sample(_KANA, chance.choice((2, 2, 3)))) + chance.choice(_ENDINGS)


def _title(chance: random.Random) -> str:
    kanji = "".join(chance.sample(_TITLE_KANJI, 2))
    return chance.choice(("{k}の{w}", "{w}の{k}", "{w}と{k}", "{k}{w}")).format(k=kanji, w=_word(chance))


def _family(chance: random.Random) -> str:
    return chance.choice(_FAMILY_FIRST) + chance.choice(_FAMILY_LAST)


def _hero(chance: random.Random) -> str:
    return _family(chance) + "".join(chance.sample(_KANA, 2))


def _author(chance: random.Random) -> str:
    return _family(chance) + chance.choice(_GIVEN_FIRST) + chance.choice(_GIVEN_LAST)


def _place(chance: random.Random) -> str:
    return _word(chance) + chance.choice(_PLACES)


def _nickname(chance: random.Random) -> str:
    return chance.choice(_NICKNAME_WORDS.split()) + chance.choice(_NICKNAME_THINGS.split())


def _studio(chance: random.Random) -> str:
    return chance.choice(("スタジオ{w}", "{w}動画", "{w}映像", "アトリエ{w}")).format(w=_word(chance))
