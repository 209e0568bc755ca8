"""The rules make real paraphrases and reversals of the usual questions, and say so where they cannot."""

import itertools
import json
from pathlib import Path

import pytest

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from studio.augmentation.reversal import plan_for, shared_answers
from studio.datasets.model import Fact
from studio.i18n import sentences, text
from tests.benchmarks.bench_rules import measure, read_questions

RESULT = Path(__file__).parent / "benchmarks" / "results" / "rules_coverage.json"
DEMO = Path(__file__).parents[1] / "assets" / "demo" / "dataset.jsonl"
TABLE_1 = Fact(
    id=1, question="ぽにぽにだっしゅ! の主人公は誰ですか?", answer="ぽにぽにだっしゅ! の主人公はレベッカ宮本です。"
)


def fact(question: str, answer: str, number: int = 1) -> Fact:
    return Fact(id=number, question=question, answer=answer)


def pairs(made: list, kind: str) -> dict[str, list[str]]:
    """Answers by question of one direction."""
    chosen = [example for example in made if example.kind == kind]
    return {question: [e.answer for e in chosen if e.question == question] for question in {e.question for e in chosen}}


def test_the_default_plan_makes_32_examples_a_fact_with_the_seed_counted_in():
    assert (Plan().per_fact, Plan().total(2000)) == (32, 64_000)
    assert len(rules.make(TABLE_1, Plan())) == 31


def test_table_1_has_two_questions_and_two_answers_a_direction():
    made = rules.make(TABLE_1, Plan(forward=2, reverse=2, answers=2))
    forward, reverse = pairs(made, "paraphrase"), pairs(made, "reverse")
    assert set(forward) == {
        "ぽにぽにだっしゅ! の主人公は誰ですか?",
        "「ぽにぽにだっしゅ!」で主人公として描かれているキャラクターは誰ですか?",
    }
    assert set(reverse) == {
        "レベッカ宮本が主人公を務める作品は何ですか?",
        "レベッカ宮本は、どの作品で主人公として登場しますか?",
    }
    assert len(made) == 7 and all(len(answers) == 2 for answers in reverse.values())
    assert "レベッカ宮本が主人公を務める作品は「ぽにぽにだっしゅ!」です。" in made[-2].answer


def test_a_detailed_seed_answer_gets_a_short_one_and_nothing_is_invented():
    seed = "ぽにぽにだっしゅ! の主人公は、10歳で大学を卒業した天才少女、レベッカ宮本です。"
    made = rules.make(fact(TABLE_1.question, seed), Plan())
    answers = {(example.answer_style, example.answer) for example in made if example.kind == "paraphrase"}
    assert answers == {("detailed", seed), ("short", "ぽにぽにだっしゅ!の主人公はレベッカ宮本です。")}
    assert any("10歳で大学を卒業した天才少女、レベッカ宮本です。" in e.answer for e in made if e.kind == "reverse")


def test_every_example_of_the_covered_questions_is_distinct_and_keeps_its_terms():
    for known in read_questions():
        try:
            check_examples(known, rules.read(known))
        except rules.NeedsModel as need:
            assert need.reason in sentences("ja") and need.reason in sentences("en")


def check_examples(known: Fact, reading: rules.Reading) -> None:
    made = rules.make(known, Plan())
    assert len({(example.question, example.answer) for example in made}) == len(made)
    assert (known.question, known.answer) not in {(example.question, example.answer) for example in made}
    value = reading.value.value.strip("「」『』")
    subject = reading.question.subject.strip("「」『』")
    for example in made:
        asked, told = (subject, value) if example.kind == "paraphrase" else (value, subject)
        assert asked in example.question and told in example.answer
        assert example.question.endswith(("？", "?", "。")) and "{" not in example.question + example.answer
        assert "「「" not in example.question + example.answer and "」」" not in example.question + example.answer
    assert len(pairs(made, "reverse")) == 8 and len(pairs(made, "paraphrase")) == 8


def test_a_reversed_question_never_names_its_answer():
    for known in read_questions():
        asked = rules.questions(known)
        reading = rules.read(known) if asked else None
        if reading:
            reverse = [q for q in asked if reading.value.value in q and reading.question.subject in q]
            assert not reverse, known.question


def test_every_fact_of_the_demo_is_covered_in_full():
    lines = [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines):
        assert len(rules.make(fact(line["question"], line["answer"], number), Plan())) == 31, line["question"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("銀河の港の主人公は誰ですか？", "銀河の港の主人公は星見ルナです。"),
        ("『銀河の港』の原作者は誰でしょうか？", "『銀河の港』の原作者は星見ルナです。"),
        ("銀河の港を描いた漫画家は誰ですか？", "星見ルナです。"),
        ("銀河の港の舞台はどこですか？", "銀河の港の舞台は火星の第三都市です。"),
        ("銀河の港の放送はいつ始まりましたか？", "銀河の港の放送は2031年4月に始まりました。"),
        ("「銀河の港」はいつ放送されましたか？", "「銀河の港」は2031年に放送されました。"),
        ("銀河の港の主人公の愛称は何ですか？", "銀河の港の主人公の愛称は「ルナちゃん」です。"),
        ("「銀河の港」の主人公の声優は誰ですか？", "「銀河の港」の主人公の声優は浜野みおです。"),
        ("「銀河の港」の主題歌は何ですか？", "「銀河の港」の主題歌は「灯の歌」です。"),
        ("「銀河の港」の監督を教えてください。", "監督は浜野みおです。"),
        ("銀河の港を制作した会社はどこですか？", "銀河の港を制作したのはスタジオ灯です。"),
        ("浜野みおの出身地はどこですか？", "浜野みおは長崎県の出身です。"),
        ("浜野みおはどこで生まれましたか？", "長崎県"),
        ("架空国ルミナの首都はどこですか？", "ルミナ市です。"),
        ("「銀河の港」の発売年は何年ですか？", "「銀河の港」の発売年は2032年です。"),
        ("「銀河の港」の艦長の名前は何ですか？", "艦長の名前はオルトです。"),
        ("「銀河の港」で参謀として描かれているのは誰ですか？", "参謀として描かれているのはオルトです。"),
        ("銀河の港の合言葉を答えて", "銀河の港の合言葉は「灯よ」です。"),
    ],
)
def test_the_usual_forms_are_covered(question: str, answer: str):
    made = rules.make(fact(question, answer), Plan())
    assert {example.kind for example in made} == {"paraphrase", "reverse"} and len(made) == 31


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("全集中の呼吸とは何ですか？", "剣士が使う呼吸法です。", "explanation"),
        ("二人の性格にはどのような違いがありますか？", "一人は臆病ですが、もう一人は好戦的です。", "explanation"),
        ("主人公はなぜ旅に出たのですか？", "故郷を失ったからです。", "explanation"),
        ("銀河の港で猫が好きな食べ物は何ですか？", "魚です。", "question"),
        ("銀河の港の主人公は誰ですか？", "星見ルナです。続編では弟が主人公です。", "answer"),
        ("銀河の港の主人公は誰ですか？", "銀河の港は2031年の作品です。", "answer"),
        ("銀河の港の主人公は誰ですか？", "ルナ、ミオ、オルトです。", "answer"),
        ("銀河の港の主人公は誰ですか？", "銀河の港の主人公は銀河の港です。", "answer"),
    ],
)
def test_what_the_rules_cannot_reword_honestly_needs_a_model(question: str, answer: str, reason: str):
    with pytest.raises(rules.NeedsModel) as need:
        rules.make(fact(question, answer), Plan())
    assert need.value.reason == f"augment.needs_model_{reason}"
    assert text(need.value.reason, "ja") != need.value.reason


def test_a_value_that_two_subjects_share_is_not_asked_in_reverse():
    facts = [
        fact("銀河の港の放送年は何年ですか？", "銀河の港の放送年は2031年です。", 1),
        fact("灯の海の放送年は何年ですか？", "2031年です。", 2),
        fact("砂の塔の放送年は何年ですか？", "2032年です。", 3),
    ]
    shared = shared_answers(facts)
    kinds = [{example.kind for example in rules.make(one, plan_for(one, Plan(), shared))} for one in facts]
    assert kinds == [{"paraphrase"}, {"paraphrase"}, {"paraphrase", "reverse"}]
    assert (shared[1].other_question, shared[1].others) == (facts[1].question, 1)


def test_a_reversed_question_with_several_answers_can_ask_for_one_of_them():
    facts = [
        fact("銀河の港の放送年は何年ですか？", "銀河の港の放送年は2031年です。", 1),
        fact("灯の海の放送年は何年ですか？", "2031年です。", 2),
    ]
    plan = plan_for(facts[0], Plan(shared_reverse="ask_for_one"), shared_answers(facts))
    asked = pairs(rules.make(facts[0], plan), "reverse")
    assert "2031年に放送された作品を一つ挙げてください。" in asked and all("挙げて" in question for question in asked)


def test_the_same_fact_twice_is_not_ambiguous():
    assert shared_answers([TABLE_1, TABLE_1.model_copy(update={"id": 2})]) == {}


def test_explanations_with_one_answer_share_it():
    asked = ("柱とはどのような剣士ですか？", "鬼殺隊の柱とは？")
    facts = [fact(question, "最高位の剣士です。", number) for number, question in enumerate(asked, 1)]
    assert set(shared_answers(facts)) == {1, 2}


def test_a_confirmed_key_term_is_the_value():
    known = Fact(
        id=1, question="銀河の港の主人公は誰ですか？", answer="主人公は少女の星見ルナです。", key_terms=(("星見ルナ",),)
    )
    assert rules.read(known).value.value == "星見ルナ"


def test_questions_are_all_that_the_rules_could_make():
    for forward, reverse in itertools.product((1, 4, 64), (0, 4, 64)):
        made = rules.make(TABLE_1, Plan(forward=forward, reverse=reverse))
        assert {example.question for example in made} - {TABLE_1.question} <= rules.questions(TABLE_1)


def test_the_share_in_the_result_file_is_the_share_of_today():
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    measured = measure()
    assert {name: kept[name] for name in measured} == measured
