"""What a run trains and what it is asked later: by fact, reproducible, no phrasing on both sides."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, Filter, MadeExample
from studio.datasets.splits import Splits, phrasing
from studio.datasets.text import fold
from studio.datasets.versions import Versions
from studio.store import open_store
from training.contract import RunConfig, TrainingExample


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


def config(**values: object) -> RunConfig:
    return RunConfig.model_validate({"dataset": "a", "base_model": "m", **values})


def fill(datasets: Datasets, facts: int, phrasings: int) -> None:
    """Facts with a seed, further forward phrasings with two answers each, and one reversed question."""
    datasets.create("a")
    for number in range(facts):
        fact_id = datasets.add_fact("a", f"{number}の質問", "短い").fact_id
        questions = [(f"{number}の言い換え{at}", "paraphrase") for at in range(phrasings)] + [
            (f"{number}逆", "reverse")
        ]
        made = [
            MadeExample.model_validate(
                {"fact_id": fact_id, "kind": kind, "answer_style": "short", "generator": "rules"}
                | {"question": question, "answer": answer}
            )
            for question, kind in questions
            for answer in ("短い", "長い説明")
        ]
        datasets.add_examples("a", made)


def add(datasets: Datasets, name: str, examples: list[tuple[int, str, str, str]], status: str = "accepted") -> None:
    """Examples of facts that are there: fact, kind, question, answer."""
    fields = ("fact_id", "kind", "question", "answer")
    rest = {"answer_style": "short", "generator": "rules", "status": status}
    made = [MadeExample.model_validate(dict(zip(fields, example, strict=True)) | rest) for example in examples]
    datasets.add_examples(name, made)


def split_questions(examples: list[TrainingExample]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        found[example.split].add(example.question)
    return found


def test_a_held_out_phrasing_goes_with_all_its_answers(datasets: Datasets) -> None:
    fill(datasets, facts=5, phrasings=4)
    held = [e for e in datasets.frozen_examples("a", config()) if e.split == "heldout_phrasing"]
    assert len(held) == 10
    assert len({example.question for example in held}) == len({example.fact_id for example in held}) == 5
    assert {example.kind for example in held} == {"paraphrase"}


@pytest.mark.parametrize(("phrasings", "wanted", "held"), [(2, 1, 0), (3, 1, 1), (3, 5, 1), (6, 3, 3), (6, 0, 0)])
def test_three_forward_phrasings_stay_in_training(datasets: Datasets, phrasings: int, wanted: int, held: int) -> None:
    fill(datasets, facts=1, phrasings=phrasings)
    questions = split_questions(datasets.frozen_examples("a", config(heldout_phrasings=wanted)))
    assert len(questions["heldout_phrasing"]) == held
    assert "0の質問" in questions["train"]


def test_the_seed_decides_the_splits_and_nothing_else_does(datasets: Datasets) -> None:
    fill(datasets, facts=12, phrasings=6)
    chosen = config(heldout_fact_share=0.25)
    first = datasets.frozen_examples("a", chosen)
    assert datasets.frozen_examples("a", chosen) == first
    assert datasets.frozen_examples("a", config(heldout_fact_share=0.25, seed=7)) != first
    assert len({e.fact_id for e in first if e.split == "heldout_fact"}) == 3
    assert len(first) == datasets.counts("a").examples


def test_at_least_one_fact_is_trained(datasets: Datasets) -> None:
    fill(datasets, facts=2, phrasings=1)
    assert split_questions(datasets.frozen_examples("a", config(heldout_fact_share=0.99)))["train"]


def test_only_accepted_examples_are_frozen(datasets: Datasets) -> None:
    datasets.create("a")
    fact_id = datasets.add_fact("a", "q", "a").fact_id
    fields = {"fact_id": fact_id, "kind": "reverse", "answer_style": "short", "generator": "rules"}
    for status in ("pending", "rejected", "accepted"):
        example = MadeExample.model_validate({**fields, "question": status, "answer": "a", "status": status})
        datasets.add_examples("a", [example])
    assert [example.question for example in datasets.frozen_examples("a", config())] == ["q", "accepted"]


def test_an_empty_dataset_freezes_nothing(datasets: Datasets) -> None:
    datasets.create("a")
    assert datasets.frozen_examples("a", config(heldout_fact_share=0.5)) == []


def test_marks_and_spaces_make_no_phrasing_of_their_own(datasets: Datasets) -> None:
    datasets.create("a")
    fact_id = datasets.add_fact("a", "主人公は誰ですか？", "ハルです。").fact_id
    questions = [
        "主人公は誰ですか",
        "主人公は 誰ですか?",
        "「主人公」は誰ですか！？",
        "Ｑ1は？",
        "q１は",
        "q2は？",
        "q3は？",
    ]
    add(datasets, "a", [(fact_id, "paraphrase", question, "ハルです。") for question in questions])
    for seed in range(20):
        frozen = datasets.frozen_examples("a", config(heldout_phrasings=9, seed=seed))
        (held,) = {phrasing(fold(e.question)) for e in frozen if e.split == "heldout_phrasing"}
        assert held in ("q1は", "q2は", "q3は")


def test_the_question_of_a_seed_that_is_not_accepted_is_never_asked_of_its_fact(datasets: Datasets) -> None:
    fill(datasets, facts=1, phrasings=5)
    seed = datasets.page("a").examples[0]
    add(datasets, "a", [(seed.fact_id, "paraphrase", seed.question + "!", "答え")])
    with datasets.store.write() as db:
        db.execute("UPDATE example SET status = 'rejected' WHERE id = ?", (seed.id,))
    for number in range(20):
        frozen = datasets.frozen_examples("a", config(seed=number))
        assert seed.id not in {example.id for example in frozen}
        assert seed.question + "!" not in split_questions(frozen)["heldout_phrasing"]


def test_facts_that_are_added_move_no_phrasing_of_the_others(datasets: Datasets) -> None:
    fill(datasets, facts=4, phrasings=5)
    first = split_questions(datasets.frozen_examples("a", config()))["heldout_phrasing"]
    fact_id = datasets.add_fact("a", "別の質問", "別の答え").fact_id
    add(datasets, "a", [(fact_id, "paraphrase", f"別{at}", "答え") for at in range(4)])
    assert split_questions(datasets.frozen_examples("a", config()))["heldout_phrasing"] > first


def test_the_counts_of_the_splits_are_those_of_what_a_run_freezes(datasets: Datasets) -> None:
    fill(datasets, facts=10, phrasings=4)
    fact_id = datasets.add_fact("a", "言い換えのない事実", "答え").fact_id
    pending = [(fact_id, "paraphrase", "未確認", "答え")]
    add(datasets, "a", pending, status="pending")
    versions = Versions(datasets.store)
    counts = versions.split_counts("a", Splits(heldout_phrasings=2, heldout_fact_share=0.2))
    frozen = datasets.frozen_examples("a", config(heldout_phrasings=2, heldout_fact_share=0.2))
    for split, size in counts.sizes.items():
        held = [example for example in frozen if example.split == split]
        assert size.examples == len(held)
        assert size.phrasings == len({(e.fact_id, phrasing(fold(e.question))) for e in held})
        assert size.facts == len({e.fact_id for e in held})
    assert (counts.sizes["heldout_fact"].facts, counts.not_accepted) == (2, 1)
    assert counts.whole_facts == (fact_id in {e.fact_id for e in frozen if e.split == "train"})


def test_the_list_of_a_split_follows_every_edit_its_undo_and_another_seed(datasets: Datasets) -> None:
    def shown() -> set[int]:
        return {
            example.id for example in datasets.page("a", filter=Filter(split="heldout_phrasing"), size=100).examples
        }

    def divided() -> set[int]:
        frozen = datasets.frozen_examples("a", config(**Versions(datasets.store).splits("a").model_dump()))
        return {example.id for example in frozen if example.split == "heldout_phrasing"}

    fill(datasets, 6, 5)
    first = shown()
    assert first == divided() != set()
    datasets.set_status("a", sorted(first)[:4], "rejected")
    assert shown() == divided() != first
    datasets.undo("a")
    assert shown() == first
    Versions(datasets.store).set_splits("a", Splits(heldout_phrasings=2, seed=7))
    assert shown() == divided() != first


def test_the_splits_of_a_dataset_are_kept_and_fill_a_run(datasets: Datasets) -> None:
    fill(datasets, facts=8, phrasings=4)
    versions = Versions(datasets.store)
    assert versions.splits("a") == Splits()
    chosen = Splits(heldout_phrasings=0, heldout_fact_share=0.5, seed=7)
    versions.set_splits("a", chosen)
    assert versions.splits("a") == chosen
    assert versions.split_counts("a").sizes["heldout_fact"].facts == 4


def test_the_splits_have_the_names_defaults_and_bounds_of_a_run() -> None:
    for name, field in Splits.model_fields.items():
        of_run = RunConfig.model_fields[name]
        assert (field.default, field.metadata, field.annotation) == (
            of_run.default,
            of_run.metadata,
            of_run.annotation,
        )


made = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["paraphrase", "reverse"]),
        st.text("abＡB？ 。", min_size=1, max_size=4).filter(str.strip),
        st.text("xy"),
        st.sampled_from(["accepted", "accepted", "pending", "rejected"]),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(made, st.integers(0, 3), st.sampled_from([0.0, 0.3, 0.9]), st.integers(0, 99), st.booleans())
def test_no_phrasing_stands_on_both_sides(
    examples: list[tuple[int, str, str, str, str]], phrasings: int, share: float, seed: int, rejected: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(open_store(Path(folder) / "studio.db")) as store:
        datasets = Datasets(store)
        datasets.create("a")
        seeds = [datasets.add_fact("a", question, "a") for question in ("a", "b？", "Ａ", "z")]
        if rejected:
            with store.write() as db:
                db.execute("UPDATE example SET status = 'rejected' WHERE id = ?", (seeds[0].id,))
        for fact, kind, question, answer, status in examples:
            add(datasets, "a", [(seeds[fact].fact_id, kind, question, answer + ".")], status=status)
        chosen = config(heldout_phrasings=phrasings, heldout_fact_share=share, seed=seed)
        frozen = datasets.frozen_examples("a", chosen)
        split_of: dict[str, str] = {}
        for example in frozen:
            assert split_of.setdefault(phrasing(fold(example.question)), example.split) == example.split
        assert datasets.frozen_examples("a", chosen) == frozen
        accepted = store.read().execute("SELECT id FROM example WHERE status = 'accepted' ORDER BY fact_id, id")
        assert [example.id for example in frozen] == [example_id for (example_id,) in accepted]
