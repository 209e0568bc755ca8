"""What holds for every dataset: search equals a naive scan, undo is identity."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, Example, Filter, MadeExample
from studio.datasets.text import fold
from studio.errors import DatasetError
from studio.store import open_store

# Few letters, so that searches meet texts: width, case, composition, quotes, operators, wildcards, non-characters.
LETTERS = "あいアｱガｶﾞかが゛ABabＡａßİ①㍿\"'*%_()+-=@＝、。「」 　\u3099\ufffe\uffff\ufffd\U0001f3b5𠮷"
texts = st.text(st.sampled_from(LETTERS), min_size=1, max_size=12).filter(str.strip)

_number = itertools.count()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasets]:
    """One store for all examples: each takes a dataset of its own."""
    store = open_store(tmp_path_factory.mktemp("properties") / "studio.db")
    yield Datasets(store)
    store.close()


def fresh(datasets: Datasets) -> str:
    """The name of a dataset that was not there before."""
    name = f"d{next(_number)}"
    datasets.create(name)
    return name


def content(datasets: Datasets, name: str) -> object:
    db, dataset_id = datasets.store.read(), datasets.require(name)
    return [
        db.execute(f"SELECT * FROM {table} WHERE dataset_id = ? ORDER BY id", (dataset_id,)).fetchall()
        for table in ("fact", "example")
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8), st.lists(texts, min_size=1, max_size=12))
def test_search_finds_exactly_what_a_naive_scan_finds(
    datasets: Datasets, pairs: list[tuple[str, str]], searches: list[str]
) -> None:
    name = fresh(datasets)
    examples = [datasets.add_fact(name, question, answer) for question, answer in pairs]
    for search in [*searches, *(text[start : start + 4] for pair in pairs for text in pair for start in (0, 1))]:
        wanted = fold(search.strip())
        naive = [e.id for e in examples if wanted in fold(e.question) or wanted in fold(e.answer)]
        assert [e.id for e in datasets.page(name, filter=Filter(search=search)).examples] == naive, search


def import_lines(datasets: Datasets, name: str, examples: list[Example], pick: int, text: str) -> None:
    file = datasets.store.path.parent / "more.jsonl"
    row = {"fact_id": pick, "question": examples[0].question if examples else text, "answer": "a"}
    file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "question": text}) + "\n", encoding="utf-8")
    datasets.import_file(name, file)


def augment(datasets: Datasets, name: str, example: Example, text: str) -> None:
    fields = {"fact_id": example.fact_id, "kind": "reverse", "answer_style": "short", "generator": "rules"}
    made = [{**fields, "question": text, "answer": text}, {**fields, "question": text + "b", "answer": text}]
    datasets.add_examples(name, [MadeExample.model_validate(one) for one in made])


# Each takes the datasets, a name, all its examples, those that a number chooses of them, and a text.
Step = Callable[[Datasets, str, list[Example], list[Example], str], object]
CHANGES: dict[str, Step] = {
    "add": lambda d, name, _, __, text: d.add_fact(name, text, text),
    "import": lambda d, name, _, chosen, text: import_lines(d, name, chosen, len(chosen), text),
    "edit": lambda d, name, _, chosen, text: d.edit_example(name, chosen[0].id, question=text),
    "fact": lambda d, name, _, chosen, text: d.edit_fact(name, chosen[0].fact_id, subject=text, key_terms=[[text]]),
    "delete": lambda d, name, _, chosen, __: d.delete_examples(name, [e.id for e in chosen[::2]]),
    "augment": lambda d, name, _, chosen, text: augment(d, name, chosen[0], text),
    "reject": lambda d, name, _, chosen, __: d.set_status(name, [e.id for e in chosen], "rejected"),
    "accept all": lambda d, name, _, __, ___: d.set_status(name, Filter(), "accepted"),
    "tag": lambda d, name, _, __, text: d.add_tag(name, Filter(kind="reverse"), text),
    "delete found": lambda d, name, _, __, text: d.delete_examples(name, Filter(search=text[:2])),
    "merge": lambda d, name, _, chosen, __: d.merge_facts(name, [e.fact_id for e in chosen]),
    "split": lambda d, name, _, chosen, __: d.split_fact(
        name, chosen[0].fact_id, [e.id for e in chosen[:2] if e.fact_id == chosen[0].fact_id]
    ),
}
actions = st.lists(st.tuples(st.sampled_from([*CHANGES, "undo"]), st.integers(0, 9), texts), max_size=12)


def act(datasets: Datasets, name: str, step: tuple[str, int, str]) -> None:
    """One change of a dataset, where there is something to change; the number in `step` chooses the examples."""
    action, pick, text = step
    examples = datasets.page(name, size=100).examples
    chosen = examples[pick % len(examples) :] if examples else []
    if chosen or action in ("add", "import", "accept all"):
        CHANGES[action](datasets, name, examples, chosen, text)


@settings(max_examples=60, deadline=None)
@given(actions)
def test_undoing_every_edit_gives_every_earlier_state_back(
    datasets: Datasets, steps: list[tuple[str, int, str]]
) -> None:
    name = fresh(datasets)
    states = [content(datasets, name)]
    for step in steps:
        if step[0] == "undo" and len(states) > 1:
            datasets.undo(name)
            states.pop()
            assert content(datasets, name) == states[-1]
            continue
        with suppress(DatasetError):
            act(datasets, name, step)
        if content(datasets, name) != states[-1]:
            states.append(content(datasets, name))
    for state in reversed(states[:-1]):
        datasets.undo(name)
        assert content(datasets, name) == state
    assert datasets.page(name, filter=Filter(search="あ")).total == 0
    with pytest.raises(DatasetError, match="no change to undo"):
        datasets.undo(name)
