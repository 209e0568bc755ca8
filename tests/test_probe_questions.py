"""What a run is asked after every epoch: every set, many facts, judged by terms that a right answer holds."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets, MadeExample
from studio.datasets.questions import QuestionSets
from studio.datasets.versions import Versions
from studio.runs.probe_questions import DEMO_BASE, probe_questions
from studio.store import open_store
from training.contract import ProbeQuestion, RunConfig, TrainingExample
from training.scoring import verdict

WORKS = ("星の図書館", "海辺のノクターン", "銀の歯車", "雨の塔")
ENDS = ("誰？", "だれ？", "何者？")
HEROES = ("ミナト", "ハルカ", "レイジ", "トモエ")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasets]:
    """Four facts of six wordings; `two-way` trains reversed questions too."""
    made = Datasets(open_store(tmp_path_factory.mktemp("probes") / "studio.db"))
    for name in ("one-way", "two-way"):
        made.create(name)
        for work, hero in zip(WORKS, HEROES, strict=True):
            fact = made.add_fact(name, f"{work}の主人公は誰ですか？", f"{work}の主人公は{hero}です。")
            wordings = [
                ("paraphrase", f"{work}で主役なのは{end}", f"{hero}です。") for end in ["誰？", "だれ？", "何者？"]
            ]
            if name == "two-way":
                wordings.append(
                    ("reverse", f"{hero}が主人公の作品は何ですか？", f"{hero}が主人公の作品は「{work}」です。")
                )
            fields = {"fact_id": fact.fact_id, "answer_style": "short", "generator": "rules"}
            examples = [fields | {"kind": kind, "question": asked, "answer": said} for kind, asked, said in wordings]
            made.add_examples(name, [MadeExample.model_validate(example) for example in examples])
    yield made
    made.store.close()


def asked(
    datasets: Datasets, name: str = "two-way", general: list[TrainingExample] | None = None, **changes: object
) -> list[ProbeQuestion]:
    config = RunConfig.model_validate({"dataset": name, "base_model": "some/model"} | changes)
    _, examples = Versions(datasets.store).frozen_examples(name, config)
    return probe_questions(datasets.store, config, examples, general or [])


def general(number: int) -> TrainingExample:
    return TrainingExample(
        id=number,
        fact_id=number,
        split="train",
        kind="seed",
        answer_style="short",
        question=f"首都{number}はどこですか？",
        answer=f"首都は都市{number}です。",
    )


def test_every_set_that_the_run_can_be_asked_is_drawn_and_each_fact_once_first(datasets: Datasets) -> None:
    found = asked(datasets, heldout_fact_share=0.25, probe_questions=3)
    assert Counter(question.question_set for question in found) == {
        "trained": 3,
        "heldout_phrasing": 3,
        "reverse": 3,
        "heldout_fact": 3,
    }
    for name in ("trained", "heldout_phrasing", "reverse"):
        assert len({question.fact_id for question in found if question.question_set == name}) == 3
    assert all(q.question.endswith("主人公は誰ですか？") for q in found if q.question_set == "trained")


def test_the_same_seed_draws_the_same_and_none_are_drawn_where_none_are_wanted(datasets: Datasets) -> None:
    assert asked(datasets, probe_questions=2) == asked(datasets, probe_questions=2)
    drawn = {seed: {q.question for q in asked(datasets, probe_questions=2, seed=seed)} for seed in range(4)}
    assert len({frozenset(questions) for questions in drawn.values()}) > 1
    assert asked(datasets, probe_questions=0) == []


def test_an_answer_is_judged_by_terms_that_its_reference_holds(datasets: Datasets) -> None:
    for question in asked(datasets):
        assert question.key_terms, question
        assert verdict(question.reference, question.reference, question.key_terms) == "right"
        assert question.fact_id
    terms = {q.question_set: q.key_terms[0] for q in asked(datasets) if "ミナト" in q.question + q.reference}
    assert "ミナト" in terms["trained"] and "星の図書館" in terms["reverse"]


def test_where_no_reversed_question_is_trained_the_rules_make_some(datasets: Datasets) -> None:
    reverse = [question for question in asked(datasets, "one-way") if question.question_set == "reverse"]
    assert len(reverse) == 4
    assert all(any(work in question.reference for work in WORKS) for question in reverse)


def test_general_examples_are_asked_outside_the_subject(datasets: Datasets) -> None:
    found = asked(datasets, general=[general(number) for number in range(1, 40)], probe_questions=5)
    outside = [question for question in found if question.question_set == "out_of_domain"]
    assert len(outside) == 5 and all(question.reference for question in outside)


def test_the_demo_s_base_is_asked_what_it_knows_and_another_base_is_not(datasets: Datasets) -> None:
    found = [question.question_set for question in asked(datasets, base_model=DEMO_BASE, probe_questions=7)]
    assert found.count("out_of_domain") == 7
    assert "out_of_domain" not in {question.question_set for question in asked(datasets)}


def test_only_confirmed_questions_of_a_set_are_asked_and_none_that_is_trained(
    datasets: Datasets, tmp_path: Path
) -> None:
    pairs = [
        ("星の図書館の中心となる人物は誰でしょう？", "ミナトです。"),
        ("海辺のノクターンの主人公は誰ですか？", "ハルカです。"),
        ("日本の首都はどこですか？", "東京です。"),
        ("フランスの首都はどこですか？", "パリです。"),
    ]
    lines = [json.dumps({"question": question, "answer": answer}, ensure_ascii=False) for question, answer in pairs]
    (tmp_path / "asked.jsonl").write_text("\n".join(lines), "utf-8")
    sets = QuestionSets(datasets)
    sets.import_file("two-way", "asked", tmp_path / "asked.jsonl")
    numbered = {question.question: question.id for question in sets.questions("two-way", "asked")}
    fact = next(fact for fact in datasets.facts("two-way") if "星の図書館" in fact.question)
    sets.confirm("two-way", numbered[pairs[0][0]], kind="heldout_phrasing", fact_id=fact.id)
    sets.confirm("two-way", numbered[pairs[1][0]], kind="heldout_phrasing", fact_id=fact.id)
    sets.confirm("two-way", numbered[pairs[2][0]], kind="out_of_domain")
    found = {(q.question_set, q.question) for q in asked(datasets, general=[general(1)])}
    assert ("heldout_phrasing", pairs[0][0]) in found
    assert ("heldout_phrasing", pairs[1][0]) not in found
    assert {question for name, question in found if name == "out_of_domain"} == {pairs[2][0]}
