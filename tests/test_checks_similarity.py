"""MinHash finds what a comparison of all pairs finds, over characters of any script."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets.checks.similarity import NEIGHBOURS, Compared, grams, jaccard, near_pairs, signatures_of

JAPANESE = "ぱにぽにだっしゅ主人公誰作品何第一話竜虹のケシノア鬼滅刃全集中呼吸"


def test_a_text_shorter_than_a_gram_is_a_gram_itself() -> None:
    assert grams("誰") == {"誰"}
    assert grams("主人公は") == {"主人公", "人公は"}


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=20))
def test_equal_texts_have_equal_signatures_and_no_text_leaks_into_its_neighbour(texts: list[str]) -> None:
    together = signatures_of(texts)
    for number, text in enumerate(texts):
        assert (together[number] == signatures_of([text])[0]).all()


def test_an_estimate_comes_close_to_the_similarity() -> None:
    draw = random.Random(3)
    for _ in range(50):
        text = "".join(draw.choices(JAPANESE, k=60))
        other = text[: draw.randrange(60)] + "".join(draw.choices(JAPANESE, k=draw.randrange(1, 40)))
        first, second = signatures_of([text, other])
        assert abs((first == second).mean() - jaccard(text, other)) < 0.3


def test_near_pairs_are_those_of_a_naive_comparison() -> None:
    draw = random.Random(4)
    originals = ["".join(draw.choices(JAPANESE, k=draw.randrange(15, 50))) for _ in range(200)]
    texts = list({*originals, *(text[: draw.randrange(len(text))] + "は誰ですか" for text in originals)})
    draw.shuffle(texts)
    every = {
        (first, second)
        for first in range(len(texts))
        for second in range(first + 1, len(texts))
        if jaccard(texts[first], texts[second]) >= 0.5
    }
    found = near_pairs(texts, Compared([(number, 0) for number in range(len(texts))], 0.5))
    assert found.keys() <= every
    assert len(found) >= 0.97 * len(every) > 20


def test_only_texts_with_a_key_in_common_are_compared() -> None:
    texts = ["ぱにぽにだっしゅの主人公は誰ですか", "ぱにぽにだっしゅの主人公は誰でしょうか"]
    assert near_pairs(texts, Compared([(0, 1), (1, 2)], 0.3)) == {}
    assert list(near_pairs(texts, Compared([(1, 7), (0, 7)], 0.3))) == [(0, 1)]


def test_ten_thousand_alike_texts_cost_no_hundred_million_comparisons() -> None:
    texts = [f"作品の主人公は誰ですかと尋ねる長い長い質問その{number}" for number in range(2_000)]
    found = near_pairs(texts, Compared([(number, 0) for number in range(len(texts))], 0.5))
    assert len(texts) <= len(found) <= len(texts) * NEIGHBOURS * 30


def test_nothing_to_compare_is_no_pair() -> None:
    assert near_pairs([], Compared([], 0.5)) == {}
