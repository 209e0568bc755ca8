"""What the rules read out of a fact: the report's own pairs, short ones and explanations."""

import pytest

from studio.datasets.model import Fact
from studio.datasets.proposals import propose_fields, works_of

PANI = "ぱにぽにだっしゅ！"
SEASON = "進撃の巨人 Season 3"
REPORT = [
    Fact(id=number, question=question, answer=answer)
    for number, (question, answer) in enumerate(
        [
            (
                f"{PANI}の主人公は誰ですか？",
                f"{PANI}の主人公は、10 歳で MIT を卒業した天才少女で、桃月学園の担任教師になった"
                "レベッカ宮本です。愛称は「ベッキー」です。",
            ),
            (
                f"{PANI}のキャラクター「ベホイミ」の外見的特徴を教えてください。",
                "ベホイミは魔法少女風の衣装を着ており、“魔法少女”のイメージを演じているキャラクターです。",
            ),
            (
                "銀魂の「ヅラ」というあだ名のキャラクターの本名を教えてください。",
                "銀魂で「ヅラ」と呼ばれているキャラクターの本名は、桂小太郎です。"
                "本人は「ヅラじゃない、桂だ！」と訂正するのがお決まりのギャグです。",
            ),
            (
                "鬼滅の刃の主人公は誰ですか？",
                "鬼滅の刃の主人公は、鬼に家族を殺された心優しい少年、竈門炭治郎（かまど たんじろう）です。",
            ),
            (
                "鬼滅の刃で、鬼殺隊の剣士たちが使う「全集中の呼吸」とは何ですか？",
                "「全集中の呼吸」とは、鬼滅の刃で鬼殺隊士が使う特殊な呼吸法です。身体能力を飛躍的に向上させる技術です。",
            ),
            (
                f"{SEASON} は、物語の中でどのような位置づけですか？",
                f"『{SEASON}』は、「人類対巨人」という構図から、「人類対人類」の戦いへとシフトするシーズンです。",
            ),
            (
                f"{SEASON} の後半で描かれる「ウォール・マリア最終奪還作戦」とは何ですか？",
                "「ウォール・マリア最終奪還作戦」は、『Season 3』後半で地下室を目指す大規模な作戦です。",
            ),
            ("銀魂の作者は誰ですか？", "空知英秋"),
        ]
    )
]


@pytest.mark.parametrize(
    ("number", "subject", "tag", "terms", "short"),
    [
        (0, PANI, PANI, [("レベッカ宮本",)], False),
        (1, "ベホイミ", PANI, [], False),
        (2, "銀魂の「ヅラ」というあだ名のキャラクター", "銀魂", [("桂小太郎",)], False),
        (3, "鬼滅の刃", "鬼滅の刃", [("竈門炭治郎", "かまどたんじろう")], False),
        (4, "全集中の呼吸", "鬼滅の刃", [], False),
        (5, SEASON, SEASON, [("人類対巨人",), ("人類対人類",)], False),
        (6, "ウォール・マリア最終奪還作戦", SEASON, [], False),
        (7, "銀魂", "銀魂", [("空知英秋",)], True),
    ],
)
def test_the_facts_of_the_report_say_what_a_person_would_say_of_them(
    number: int, subject: str, tag: str, terms: list[tuple[str, ...]], short: bool
) -> None:
    proposal = propose_fields(REPORT[number], works=works_of(REPORT))
    assert (proposal.subject, proposal.tags, list(proposal.key_terms)) == (subject, (tag,), terms)
    assert proposal.short_answer == short


def test_the_spellings_are_those_that_the_examples_use() -> None:
    fact = Fact(id=1, question="ぽにぽにだっしゅ! の主人公は誰ですか?", answer="レベッカ宮本です。")
    proposal = propose_fields(fact, ["「ぽにぽにだっしゅ！」の主人公は誰？", "ぽにぽに だっしゅの主人公"])
    assert proposal.subject == "ぽにぽにだっしゅ!"
    assert set(proposal.spellings) == {"ぽにぽにだっしゅ！", "ぽにぽに だっしゅ"}


def test_a_beginning_that_questions_share_by_chance_is_no_work() -> None:
    questions = ["1968年にノーベル文学賞を受賞した作家は誰？", "1968年に始まった連載は何？", "女声の最高音域は何？"]
    facts = [Fact(id=at, question=question, answer="答え") for at, question in enumerate([*questions, questions[2]])]
    assert works_of(facts) == frozenset()


def test_nothing_is_proposed_where_nothing_can_be_told() -> None:
    odd = Fact(id=1, question="「白石」なの、「赤石」なの？", answer="「白石」")
    assert propose_fields(odd).subject == ""
    assert propose_fields(Fact(id=1, question="?", answer="…")).key_terms == ()
