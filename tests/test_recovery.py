"""Flat files of augmented pairs become facts again, and different facts that share an answer stay apart."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.augmentation.plan import Plan
from studio.datasets.recovery import Group, blocks, propose
from tests.made_facts import flat_file, made_facts

PONI = "ぽにぽにだっしゅ!"
STATED = f"{PONI} の主人公はレベッカ宮本です。"
DETAILED = f"{PONI} の主人公は、10 歳で MIT を卒業した天才少女、レベッカ宮本です。"
BACK = f"レベッカ宮本が主人公を務める作品は「{PONI}」です。"
BACK_DETAILED = f"彼女が主人公の作品は「{PONI}」です。この作品で彼女は天才少女教師として描かれています。"
FORWARD = (
    f"{PONI} の主人公は誰ですか?",
    f"「{PONI}」で主人公として描かれているキャラクターは誰ですか?",
)
REVERSE = (
    "レベッカ宮本が主人公を務める作品は何ですか?",
    "レベッカ宮本は、どの作品で主人公として登場しますか?",
)


class Pair(NamedTuple):
    question: str
    answer: str


TABLE_1 = [
    *(Pair(question, answer) for question in FORWARD for answer in (STATED, DETAILED)),
    *(Pair(question, answer) for question in REVERSE for answer in (BACK, BACK_DETAILED)),
]


def together(*pairs: tuple[str, str]) -> list[int]:
    """The sizes of the groups that are proposed for some pairs."""
    return sorted(len(group.members) for group in propose([Pair(*pair) for pair in pairs]))


def f1(groups: Sequence[Group], facts: Sequence[int]) -> float:
    """Pairwise F1: of the pairs that are in one group, how many are of one fact, and the other way about."""
    right = proposed = 0
    for group in groups:
        proposed += _choose_2(len(group.members))
        right += sum(map(_choose_2, Counter(facts[at] for at in group.members).values()))
    there = sum(map(_choose_2, Counter(facts).values()))
    return 2 * right / (proposed + there)


def _choose_2(number: int) -> int:
    return number * (number - 1) // 2


def test_table_1_is_one_fact_with_two_questions_and_two_answers_a_direction() -> None:
    (group,) = propose(TABLE_1)
    assert (group.members, group.reverse) == (tuple(range(8)), {4, 5, 6, 7})
    for direction, questions in (({0, 1, 2, 3}, FORWARD), ({4, 5, 6, 7}, REVERSE)):
        assert {TABLE_1[at].question for at in direction} == set(questions)
        assert len({TABLE_1[at].answer for at in direction}) == 2
    assert [reason.code for reason in group.reasons] == ["shared_question", "shared_answer", "key_term"]
    assert group.reasons[-1].text == "レベッカ宮本"


@pytest.mark.parametrize("seed", [1, 2])
def test_300_facts_of_32_are_recovered_from_a_shuffled_file_without_ids(seed: int) -> None:
    rows = flat_file(made_facts(300, seed), Plan(), seed)
    groups = propose(rows)
    assert f1(groups, [row.fact for row in rows]) >= 0.98
    told_reverse = {at for group in groups for at in group.reverse}
    right = sum((row.kind == "reverse") == (at in told_reverse) for at, row in enumerate(rows))
    assert right >= 0.98 * len(rows)


def test_a_shared_year_a_shared_name_and_a_yes_join_no_facts() -> None:
    assert together(
        ("銀魂の放送開始年はいつですか？", "2006年"),
        ("コードギアスの放送開始年はいつですか？", "2006年"),
        ("銀魂の放送が始まったのは何年ですか？", "2006年"),
    ) == [1, 2]
    assert together(
        ("銀魂の監督は誰ですか？", "山田太郎"),
        ("銀魂の脚本は誰ですか？", "山田太郎"),
        ("進撃の巨人の監督は誰ですか？", "山田太郎"),
    ) == [1, 1, 1]
    assert together(("猫は動物ですか？", "はい。"), ("銀魂は漫画ですか？", "はい。")) == [1, 1]


def test_the_same_choice_among_the_same_things_joins_no_facts() -> None:
    asked = "第一発電所と第二発電所は、どちらが早く{}しましたか？"
    assert together((asked.format("稼働を開始"), "第一発電所"), (asked.format("工事が完成"), "第一発電所")) == [1, 1]


def test_a_sentence_without_its_subject_joins_no_facts() -> None:
    said = "2006年に放送が開始されました。"
    assert together(("銀魂の放送開始はいつですか？", said), ("コードギアスの放送開始はいつですか？", said)) == [1, 1]


def test_one_question_with_two_answers_that_contradict_each_other_stays_two_facts() -> None:
    assert together(("銀魂の主人公は誰ですか？", "坂田銀時です。"), ("銀魂の主人公は誰ですか？", "志村新八です。")) == [
        1,
        1,
    ]


def test_a_reversed_question_joins_the_fact_whose_relation_it_asks_for() -> None:
    pairs = [
        Pair("星の谷の監督は誰ですか？", "星の谷の監督は久森春香です。"),
        Pair("久森春香が脚本を担当した作品は何ですか？", "久森春香が脚本を担当した作品は星の谷です。"),
        Pair("星の谷の脚本は誰ですか？", "星の谷の脚本を担当したのは久森春香です。"),
        Pair("久森春香が監督を務めた作品は何ですか？", "久森春香が監督を務めた作品は星の谷です。"),
    ]
    assert {frozenset(group.members) for group in propose(pairs)} == {frozenset({0, 3}), frozenset({1, 2})}


def test_an_explanation_and_its_reverse_are_one_fact() -> None:
    pairs = [
        Pair(
            "鬼滅の刃で、鬼殺隊の剣士たちが使う「全集中の呼吸」とは何ですか？",
            "「全集中の呼吸」とは、鬼滅の刃で鬼殺隊士が使う特殊な呼吸法です。大量の酸素を血中に取り込む身体強化技術です。",
        ),
        Pair(
            "鬼殺隊士が使う、大量の酸素を血中に取り込む特殊な呼吸法は何と呼ばれていますか？",
            "鬼滅の刃の鬼殺隊の剣士たちが使う身体強化技術は「全集中の呼吸」と呼ばれています。",
        ),
    ]
    (group,) = propose(pairs)
    assert group.reverse == {1}


def test_every_number_of_lines_can_be_one_fact() -> None:
    first, second = blocks([*TABLE_1, *TABLE_1[:3]], 8)
    assert (first.members, first.reverse) == (tuple(range(8)), {4, 5, 6, 7})
    assert (second.members, second.reverse) == ((8, 9, 10), frozenset())
    assert first.reasons[0].code == "every_n_lines"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=12))
def test_every_pair_is_in_one_group_and_no_seed_is_reversed(texts: list[tuple[str, str]]) -> None:
    groups = propose([Pair(*pair) for pair in texts])
    assert sorted(at for group in groups for at in group.members) == list(range(len(texts)))
    assert all(group.members[0] not in group.reverse <= set(group.members) for group in groups)
    assert all(bool(group.reasons) == (len(group.members) > 1) for group in groups)
