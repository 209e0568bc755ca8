"""What is exported comes back unchanged in every format; exports open safely and say what they are."""

import codecs
import csv
import itertools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, Filter
from studio.datasets.exporting import COLUMNS, FORMATS, Export
from studio.datasets.records import READERS
from studio.errors import DatasetError, StudioError
from studio.i18n import LOCALES, text
from studio.store import open_store

# Few letters, so that texts meet: width, case, composition, quotes, operators, wildcards, non-characters.
LETTERS = "あいアｱガｶﾞかが゛ABabＡａßİ①㍿\"'*%_()+-=@＝、。「」 　\u3099\ufffe\uffff\ufffd\U0001f3b5𠮷"
SPREADSHEET_TRAPS = (
    "=1+1",
    "'=1",
    "''@x",
    "-5",
    "+81",
    "'",
    '"',
    'a"b',
    "a,b",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "＝1",
    "a\tb",
)
texts = st.one_of(
    st.text(st.sampled_from(LETTERS), min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30),
    st.sampled_from(SPREADSHEET_TRAPS),
).filter(str.strip)
words = st.lists(texts.map(str.strip).filter(bool), max_size=3)
rows = st.fixed_dictionaries(
    {
        "fact_id": st.sampled_from(["", "1", "2", "f 3"]),
        "kind": st.sampled_from(["", "seed", "paraphrase", "reverse"]),
        "answer_style": st.sampled_from(["", "short", "detailed"]),
        "status": st.sampled_from(["", "pending", "accepted", "rejected"]),
        "question": texts,
        "answer": texts,
        "generator": st.sampled_from(["", "rules", "=cmd"]),
        "prompt_version": st.sampled_from(["", "augment.v1"]),
        "flags": st.lists(st.sampled_from(["lost_key_term", "near_copy"]), max_size=2),
        "subject": st.one_of(st.just(""), texts),
        "spellings": words,
        "tags": words,
        "key_terms": st.lists(words, max_size=2),
        "short_answer": st.sampled_from([None, True, False]),
    }
)
_number = itertools.count()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasets]:
    """One store for all tests: each takes datasets of its own."""
    store = open_store(tmp_path_factory.mktemp("exports") / "studio.db")
    yield Datasets(store)
    store.close()


def content(datasets: Datasets, name: str) -> list[object]:
    """What an export promises to bring back: everything but ids and times."""
    examples: dict[int, list[object]] = {}
    for example in datasets.page(name, size=100).examples:
        fields = example.model_dump(exclude={"id", "fact_id", "created_at", "updated_at"})
        examples.setdefault(example.fact_id, []).append(fields)
    return [(fact.model_dump(exclude={"id"}), examples[fact.id]) for fact in datasets.facts(name)]


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_import_of_an_export_is_identity(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, format: str, lines: list[dict[str, object]]
) -> None:
    name, folder = f"d{next(_number)}", tmp_path_factory.getbasetemp()
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert datasets.import_file(name, file).imported
    exported = datasets.export_file(name, format, folder / "exports")
    before = exported.read_bytes()
    report = datasets.import_file(f"{name} again", exported)
    assert not report.rejected
    assert not report.unused_columns
    assert content(datasets, f"{name} again") == content(datasets, name)
    assert exported.read_bytes() == before


def workbook(path: Path) -> Path:
    book = openpyxl.Workbook()
    for row in (("question", "answer"), ("q", "a"), ("r", 5)):
        book.active.append(row)
    book.save(path)
    return path


def parquet(path: Path) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"question": ["q", "r"], "answer": ["a", "b"]}), path)
    return path


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([*READERS, ".xyz"]))
def test_random_bytes_as_a_file_raise_nothing_but_the_error_for_people(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    imports_or_explains(datasets, tmp_path_factory.getbasetemp() / f"random{ending}", data)


@pytest.mark.parametrize("write", [workbook, parquet])
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_file_raises_nothing_but_the_error_for_people(
    datasets: Datasets, tmp_path_factory: pytest.TempPathFactory, write: object, damage: list[tuple[float, int]]
) -> None:
    whole = _whole(write, tmp_path_factory.getbasetemp())
    data = bytearray(whole)
    for place, byte in damage:
        data[int(place * len(data))] = byte
    ending = ".xlsx" if write is workbook else ".parquet"
    imports_or_explains(datasets, tmp_path_factory.getbasetemp() / f"damaged{ending}", bytes(data))


_made: dict[object, bytes] = {}


def _whole(write: object, folder: Path) -> bytes:
    if write not in _made:
        _made[write] = write(folder / "whole").read_bytes()  # type: ignore[operator]
    return _made[write]


def imports_or_explains(datasets: Datasets, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    name = f"random{next(_number)}"
    try:
        assert datasets.import_file(name, file).imported
    except DatasetError as error:
        assert error.text("ja") != error.key
        assert name not in datasets.names()


def test_an_exported_table_opens_in_a_spreadsheet_and_runs_nothing(datasets: Datasets, tmp_path: Path) -> None:
    datasets.create("ぱにぽに！")
    datasets.add_fact("ぱにぽに！", "=HYPERLINK(1)", "-5\n「改行」")
    path = datasets.export_file("ぱにぽに！", "csv", tmp_path / "exports")
    assert path.name == "ぱにぽに！.csv"
    assert path.read_bytes().startswith(codecs.BOM_UTF8)
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["question"], row["answer"]) == ("'=HYPERLINK(1)", "'-5\n「改行」")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.fixture
def small(datasets: Datasets) -> str:
    """A dataset of two facts, one of them rejected."""
    name = f"small {next(_number)}"
    datasets.create(name)
    datasets.add_fact(name, "主人公は誰ですか？", "レベッカ宮本です。")
    rejected = datasets.add_fact(name, "舞台はどこですか？", "桃月学園です。")
    datasets.set_status(name, [rejected.id], "rejected")
    return name


def test_every_format_has_the_shape_that_its_readers_expect(datasets: Datasets, small: str, tmp_path: Path) -> None:
    question, answer = "主人公は誰ですか？", "レベッカ宮本です。"
    written = {format: datasets.export_file(small, format, tmp_path) for format in FORMATS}
    assert len({path.name for path in written.values()}) == len(FORMATS)
    lines = {format: written[format].read_text("utf-8").splitlines() for format in ("jsonl", "messages")}
    assert {"question": question, "answer": answer}.items() <= json.loads(lines["jsonl"][0]).items()
    asked = {"role": "user", "content": question}
    assert json.loads(lines["messages"][0])["messages"] == [asked, {"role": "assistant", "content": answer}]
    alpaca = json.loads(written["alpaca"].read_text("utf-8"))
    assert {"instruction": question, "input": "", "output": answer}.items() <= alpaca[0].items()
    sharegpt = json.loads(written["sharegpt"].read_text("utf-8"))
    assert [turn["from"] for turn in sharegpt[0]["conversations"]] == ["human", "gpt"]
    table = pyarrow.parquet.read_table(written["parquet"])
    assert tuple(table.column_names) == COLUMNS
    assert table.column("question").to_pylist() == [question, "舞台はどこですか？"]


def test_an_empty_dataset_is_a_file_without_examples(datasets: Datasets, tmp_path: Path) -> None:
    datasets.create("empty")
    assert json.loads(datasets.export_file("empty", "alpaca", tmp_path).read_text("utf-8")) == []
    assert pyarrow.parquet.read_table(datasets.export_file("empty", "parquet", tmp_path)).num_rows == 0
    assert datasets.export_file("empty", "jsonl", tmp_path).read_bytes() == b""


def test_only_what_a_filter_lets_through_is_exported(datasets: Datasets, small: str, tmp_path: Path) -> None:
    path = datasets.export_file(small, Export("jsonl", Filter(status="accepted")), tmp_path)
    assert [json.loads(line)["answer"] for line in path.read_text("utf-8").splitlines()] == ["レベッカ宮本です。"]


@pytest.mark.parametrize("language", LOCALES)
def test_a_card_says_what_the_data_beside_it_holds(
    datasets: Datasets, small: str, tmp_path: Path, language: str
) -> None:
    path = datasets.export_file(small, Export("parquet", card=language), tmp_path)
    with zipfile.ZipFile(path) as folder:
        card = folder.read("README.md").decode()
        assert folder.testzip() is None
        assert sorted(folder.namelist()) == ["README.md", "data/train.parquet"]
        folder.extractall(tmp_path)
    assert pyarrow.parquet.read_table(tmp_path / "data" / "train.parquet").num_rows == 2
    assert card.startswith("---\n")
    assert "path: data/train.parquet" in card
    assert "| status: rejected | 1 |" in card
    assert all(f"| {column} | {text(f'files.column_{column}', language)} |" in card for column in COLUMNS)


def test_an_export_that_cannot_be_written_gets_a_sentence_and_leaves_nothing(
    datasets: Datasets, small: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no export format"):
        datasets.export_file(small, "xlsx", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="cannot be written"):
        datasets.export_file(small, "csv", tmp_path / "file")
    (tmp_path / f"{small}.csv").mkdir()
    with pytest.raises(StudioError, match="cannot be written"):
        datasets.export_file(small, "csv", tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
