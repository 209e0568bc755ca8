"""What a run trains and what it is asked later: by fact, reproducible, no phrasing on both sides."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, MadeExample
from studio.datasets.text import fold
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


made = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["paraphrase", "reverse"]), st.sampled_from("abcdeＡBC"), st.text("xy")
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(made, st.integers(0, 3), st.sampled_from([0.0, 0.3, 0.9]), st.integers(0, 99))
def test_no_split_shares_a_question(
    examples: list[tuple[int, str, str, str]], phrasings: int, share: float, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(open_store(Path(folder) / "studio.db")) as store:
        datasets = Datasets(store)
        datasets.create("a")
        ids = [datasets.add_fact("a", question, "a").fact_id for question in "abAz"]
        fields = [
            {"fact_id": ids[fact], "kind": kind, "question": question + "?" * (len(answer) % 3), "answer": answer + "."}
            for fact, kind, question, answer in examples
        ]
        rest = {"answer_style": "short", "generator": "rules"}
        datasets.add_examples("a", [MadeExample.model_validate(field | rest) for field in fields])
        chosen = config(heldout_phrasings=phrasings, heldout_fact_share=share, seed=seed)
        frozen = datasets.frozen_examples("a", chosen)
        split_of: dict[str, str] = {}
        for example in frozen:
            assert split_of.setdefault(fold(example.question), example.split) == example.split
        assert len(frozen) == datasets.counts("a").examples
