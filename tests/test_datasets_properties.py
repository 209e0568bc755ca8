"""What holds for every dataset: search equals a naive scan, undo is identity, import of export is identity."""

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, Filter, MadeExample
from studio.datasets.text import fold
from studio.errors import DatasetError
from studio.store import open_store

# Few letters, so that searches meet texts: width, case, composition, quotes, operators, wildcards, non-characters.
LETTERS = "あいアｱガｶﾞかが゛ABabＡａßİ①㍿\"'*%_()+-=@＝、。「」 　\u3099\ufffe\uffff\ufffd\U0001f3b5𠮷"
texts = st.text(st.sampled_from(LETTERS), min_size=1, max_size=12).filter(str.strip)
any_texts = st.one_of(
    texts,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30).filter(
        str.strip
    ),
    st.sampled_from(
        ["=1+1", "'=1", "''@x", "-5", "+81", "'", '"', 'a"b', "a,b", "a\nb", "a\r\nb", "a\rb", "＝1", "a\tb"]
    ),
)


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


def without_ids(datasets: Datasets, name: str) -> list[object]:
    """What an export promises to bring back: everything but ids and times."""
    examples: dict[int, list[object]] = {}
    for example in datasets.page(name, size=100).examples:
        fields = example.model_dump(exclude={"id", "fact_id", "created_at", "updated_at"})
        examples.setdefault(example.fact_id, []).append(fields)
    return [(fact.model_dump(exclude={"id"}), examples[fact.id]) for fact in datasets.facts(name)]


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


actions = st.lists(
    st.tuples(st.sampled_from(["add", "edit", "delete", "augment", "import", "undo"]), st.integers(0, 9), texts),
    max_size=12,
)


def act(datasets: Datasets, name: str, step: tuple[str, int, str], file: Path) -> None:
    """One change of a dataset; the number in `step` chooses the example."""
    action, pick, text = step
    examples = datasets.page(name, size=100).examples
    chosen = examples[pick % len(examples)] if examples else None
    if action == "add":
        datasets.add_fact(name, text, text)
    elif action == "import":
        row = {"fact_id": pick, "question": chosen.question if chosen else text, "answer": "a"}
        file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "question": text}) + "\n", encoding="utf-8")
        datasets.import_file(name, file)
    elif chosen and action == "edit":
        datasets.edit_example(name, chosen.id, question=text)
    elif chosen and action == "delete":
        datasets.delete_examples(name, [e.id for e in examples[pick % len(examples) :: 2]])
    elif chosen and action == "augment":
        fields = {"fact_id": chosen.fact_id, "kind": "reverse", "answer_style": "short", "generator": "rules"}
        datasets.add_examples(name, [MadeExample.model_validate({**fields, "question": text, "answer": text})])


@settings(max_examples=60, deadline=None)
@given(actions)
def test_undoing_every_edit_gives_every_earlier_state_back(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, str]]
) -> None:
    name, file = fresh(datasets), tmp_path_factory.getbasetemp() / "more.jsonl"
    states = [content(datasets, name)]
    for step in steps:
        if step[0] == "undo" and len(states) > 1:
            datasets.undo(name)
            states.pop()
            assert content(datasets, name) == states[-1]
            continue
        with suppress(DatasetError):
            act(datasets, name, step, file)
        if content(datasets, name) != states[-1]:
            states.append(content(datasets, name))
    for state in reversed(states[:-1]):
        datasets.undo(name)
        assert content(datasets, name) == state
    assert datasets.page(name, filter=Filter(search="あ")).total == 0
    with pytest.raises(DatasetError, match="no change to undo"):
        datasets.undo(name)


words = st.lists(texts.map(str.strip).filter(bool), max_size=3)
rows = st.fixed_dictionaries(
    {
        "fact_id": st.sampled_from(["", "1", "2", "f 3"]),
        "kind": st.sampled_from(["", "seed", "paraphrase", "reverse"]),
        "answer_style": st.sampled_from(["", "short", "detailed"]),
        "status": st.sampled_from(["", "pending", "accepted", "rejected"]),
        "question": any_texts,
        "answer": any_texts,
        "generator": st.sampled_from(["", "rules", "=cmd"]),
        "prompt_version": st.sampled_from(["", "augment.v1"]),
        "subject": st.one_of(st.just(""), any_texts),
        "tags": words,
        "key_terms": st.lists(words, max_size=2),
        "short_answer": st.sampled_from([None, True, False]),
    }
)


@pytest.mark.parametrize("format", ["jsonl", "csv"])
@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_import_of_an_export_is_identity(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, format: str, lines: list[dict[str, object]]
) -> None:
    name, folder = fresh(datasets), tmp_path_factory.getbasetemp()
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert datasets.import_file(name, file).imported
    exported = datasets.export_file(name, format, folder / "exports")
    before = exported.read_bytes()
    report = datasets.import_file(f"{name} again", exported)
    assert not report.rejected
    assert not report.unused_columns
    assert without_ids(datasets, f"{name} again") == without_ids(datasets, name)
    assert exported.read_bytes() == before


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet", ".xyz"]))
def test_random_bytes_as_a_file_raise_nothing_but_the_error_for_people(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    file = tmp_path_factory.getbasetemp() / f"random{ending}"
    file.write_bytes(data)
    name = f"random{next(_number)}"
    try:
        assert datasets.import_file(name, file).imported
    except DatasetError as error:
        assert error.text("ja") != error.key
        assert name not in datasets.names()
