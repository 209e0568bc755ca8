"""Scoring short Japanese answers."""

from studio.evaluation.scoring import holds_key_terms


def test_an_answer_that_holds_the_name_is_right() -> None:
    assert holds_key_terms("ぱにぽにだっしゅ！の主人公はレベッカ宮本です。", [["レベッカ宮本", "ベッキー"]])


def test_width_brackets_and_middle_dots_do_not_matter() -> None:
    assert holds_key_terms("答えは『ﾚﾍﾞｯｶ･宮本』です", [["レベッカ宮本"]])


def test_every_term_is_needed_and_one_alternative_is_enough() -> None:
    terms = [["レベッカ宮本"], ["桃月学園", "ももつき学園"]]
    assert holds_key_terms("ももつき学園のレベッカ宮本です", terms)
    assert not holds_key_terms("レベッカ宮本です", terms)


def test_another_name_an_empty_answer_and_no_terms_are_not_right() -> None:
    assert not holds_key_terms("主人公はノブトです", [["レベッカ宮本"]])
    assert not holds_key_terms("", [["レベッカ宮本"]])
    assert not holds_key_terms("何でも", [])
