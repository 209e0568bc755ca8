"""The gates hold back what is bad for its own reason and let everything good through."""

import json
from collections import Counter
from pathlib import Path

import pytest

from studio.augmentation import rules
from studio.augmentation.gates import Gate, Gates, seed_flags
from studio.augmentation.plan import Plan
from studio.augmentation.product import gated
from studio.datasets.model import Fact, MadeExample
from studio.i18n import LOCALES, sentences
from tests.benchmarks.bench_rules import read_questions

LINES = [json.loads(line) for line in (Path(__file__).parent / "data" / "gates.jsonl").read_text("utf-8").splitlines()]
FACTS = {
    line["fact"]: Fact(id=1, **{name: value for name, value in line.items() if name != "fact"})
    for line in LINES
    if "good" not in line
}
GOOD = [line for line in LINES if line.get("good")]
BAD = [line for line in LINES if line.get("good") is False]


def flags_of(line: dict, asked: list[tuple[bool, str]]) -> tuple[Gate, ...]:
    made = MadeExample(
        fact_id=1,
        kind=line["kind"],
        answer_style="short",
        question=line["question"],
        answer=line["answer"],
        generator="model",
    )
    return Gates(FACTS[line["fact"]], asked).flags(made)


def test_there_are_sixty_of_each_and_every_gate_has_bad_ones():
    assert (len(GOOD), len(BAD)) == (60, 60)
    assert set(Counter(line["flag"] for line in BAD)) == set(Gate.__args__)


@pytest.mark.parametrize("line", BAD, ids=lambda line: f"{line['flag']}: {line['question'][:20]}")
def test_a_bad_example_is_flagged_for_its_reason(line):
    asked = [(line["kind"] == "reverse", line["after"])] if "after" in line else []
    assert line["flag"] in flags_of(line, asked)


@pytest.mark.parametrize("line", GOOD, ids=lambda line: line["question"][:24])
def test_a_good_example_is_not_flagged_alone(line):
    assert flags_of(line, []) == ()


@pytest.mark.parametrize("fact", FACTS)
def test_good_examples_of_one_fact_do_not_get_each_other_flagged(fact):
    made = [
        MadeExample(
            fact_id=1, answer_style="short", generator="model", **{n: line[n] for n in ("kind", "question", "answer")}
        )
        for line in GOOD
        if line["fact"] == fact
    ]
    assert [example for example in gated(FACTS[fact], made) if example.flags] == []


def test_everything_that_the_rules_make_passes():
    for fact in read_questions():
        try:
            made = rules.make(fact, Plan(forward=9))
        except rules.NeedsModel:
            continue
        assert [example for example in gated(fact, made) if example.flags] == []


def test_a_new_facts_own_pair_is_looked_at_too():
    assert seed_flags("銀魂", "銀魂の作者は誰ですか？", "銀魂の作者は空知英秋です。") == ()
    assert seed_flags("銀魂", "この作品の作者は誰ですか？", "空知英秋です。") == ("no_subject",)
    assert seed_flags("銀魂", "銀魂について", "わかりません。") == ("no_question", "no_answer")


@pytest.mark.parametrize("locale", LOCALES)
def test_every_gate_has_a_name_for_people(locale):
    assert {f"augment.gate_{gate}" for gate in Gate.__args__} <= set(sentences(locale))
