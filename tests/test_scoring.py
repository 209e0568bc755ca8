"""Scoring short Japanese answers."""

import pytest

from training.scoring import holds_key_terms, normalise, verdict

NAME = [["レベッカ宮本", "ベッキー"]]


def test_an_answer_that_holds_the_name_is_right() -> None:
    assert holds_key_terms("ぱにぽにだっしゅ！の主人公はレベッカ宮本です。", NAME)


@pytest.mark.parametrize(
    "answer",
    ["答えは『ﾚﾍﾞｯｶ･宮本』です", "れべっか宮本", "ＢＥＣＫＹ、つまりベッキ−ではなくベッキーです", "ベッキ"],
)
def test_width_brackets_kind_of_kana_and_a_long_vowel_at_the_end_do_not_matter(answer: str) -> None:
    assert holds_key_terms(answer, NAME)


def test_every_term_is_needed_and_one_alternative_is_enough() -> None:
    terms = [["レベッカ宮本"], ["桃月学園", "ももつき学園"]]
    assert verdict("ももつき学園のレベッカ宮本です", "", terms) == "right"
    assert verdict("レベッカ宮本です", "", terms) == "partly"
    assert verdict("ノブトです", "", terms) == "wrong"


def test_another_name_an_empty_answer_and_no_terms_are_not_right() -> None:
    assert not holds_key_terms("主人公はノブトです", [["レベッカ宮本"]])
    assert not holds_key_terms("", [["レベッカ宮本"]])
    assert not holds_key_terms("何でも", [])
    assert not holds_key_terms("何でも", [["", "。"]])


@pytest.mark.parametrize(
    ("term", "answer", "right"),
    [
        ("3", "主人公は13歳です。", False),
        ("3", "主人公は3歳です。", True),
        ("2003", "放送は2,003年です。", True),
        ("AI", "舞台はHAITIです。", False),
        ("海", "舞台は北海道です。", False),
        ("海", "舞台は海です。", True),
        ("はな", "主人公は人ではないです。", False),
        ("はな", "主人公ははなです。", True),
        ("東京", "舞台は東京都です。", True),
    ],
)
def test_a_short_term_counts_only_as_a_word_of_its_own(term: str, answer: str, right: bool) -> None:
    assert holds_key_terms(answer, [[term]]) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("ミナトではなく、ハルカです。", False),
        ("ミナトではありません。", False),
        ("ハルカではなくミナトです。", True),
        ("ミナトではないでしょうか。", True),
        ("ミナトではない。正しくはミナトだ。", True),
    ],
)
def test_a_name_that_an_answer_denies_is_not_its_answer(answer: str, right: bool) -> None:
    assert holds_key_terms(answer, [["ミナト"]]) is right


def test_without_key_terms_only_what_the_question_does_not_say_counts() -> None:
    asked, reference = "星の図書館の主人公は誰ですか？", "星の図書館の主人公はミナトです。"
    assert verdict("主人公は、ミナトです", reference, question=asked) == "right"
    assert verdict("星の図書館の主人公はハルカです。", reference, question=asked) == "wrong"
    assert verdict("", reference, question=asked) == "wrong"
    assert verdict("何でも", "", question=asked) == "wrong"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("塔月のルキの作者は久森史衣です。", "久森史衣"),
        ("岩手県の県庁は盛岡市にあります。", "盛岡市です。"),
        ("主人公は「銀の鈴」と呼ばれています。", "あだ名は銀の鈴です。"),
        ("君の名は。の主人公は立花瀧です。", "立花瀧"),
        ("太平洋です。", "いちばん広いのは太平洋です。"),
    ],
)
def test_a_short_reference_is_judged_by_what_it_says_of_its_subject(reference: str, answer: str) -> None:
    assert verdict(answer, reference, question="何ですか？") == "right"
    assert verdict("主人公は別の人です。", reference, question="何ですか？") == "wrong"


def test_an_explanation_is_partly_right_where_half_of_it_is_told() -> None:
    reference = "記憶を失った少年が図書館で本を探し、やがて自分の名前を見つける物語です。"
    assert verdict(reference, reference) == "right"
    assert verdict("記憶を失った少年が図書館で本を探す物語です。", reference) == "partly"
    assert verdict("海賊の話です。", reference) == "wrong"


def test_numbers_keep_their_point_and_signs_their_meaning() -> None:
    assert normalise("約 3.5 ％。") == "約3.5%"
    assert normalise("C++ と C#") == "c++とc#"
