"""Several files come in as one step; which column is which can be said and seen before anything is changed."""

import json
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest
from pydantic import ValidationError

from studio.datasets import Datasets
from studio.datasets.importing import ImportPlan
from studio.errors import DatasetError
from studio.store import open_store
from tests.import_fixtures import pairs, written


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


def workbook(path: Path, *rows: tuple[object, ...]) -> Path:
    """A workbook whose first sheet is empty."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Q&A")
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_comes_in_as_a_person_sees_it(datasets: Datasets, tmp_path: Path) -> None:
    rows = (
        ("", ""),
        ("質問", "回答"),
        ("放送年は？", 2005),
        ("放送日は？", date(2005, 7, 3)),
        ("時刻は？", datetime(2005, 7, 3, 1, 30)),
        ("本当？", True),
        ("改行_x000D_\nは？", "あり"),
        ("計算は？", "=1+1"),
        ("割合は？", 0.5),
        (None, None),
        ("余分", "a", "b"),
    )
    report = datasets.import_file("a", workbook(tmp_path / "a.XLSX", *rows))
    # A formula has the value that Excel saved; this one was never calculated.
    assert pairs(datasets) == [
        ("放送年は？", "2005"),
        ("放送日は？", "2005-07-03"),
        ("時刻は？", "2005-07-03 01:30:00"),
        ("本当？", "TRUE"),
        ("改行\r\nは？", "あり"),
        ("割合は？", "0.5"),
    ]
    assert [(line.line, line.key) for line in report.rejected] == [
        (8, "dataset.error_empty_answer"),
        (11, "dataset.error_cells"),
    ]


def test_what_is_no_workbook_and_what_unpacks_too_far_gets_a_sentence(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.xlsx"
    old.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(DatasetError, match="Remove its password"):
        datasets.import_file("a", old)
    with zipfile.ZipFile(tmp_path / "zip.xlsx", "w") as other:
        other.writestr("a.txt", "text")
    with pytest.raises(DatasetError, match="workbook cannot be read"):
        datasets.import_file("a", tmp_path / "zip.xlsx")
    with pytest.raises(DatasetError, match="The file is empty"):
        datasets.import_file("a", workbook(tmp_path / "none.xlsx"))
    monkeypatch.setattr("studio.datasets.tables.MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(DatasetError, match="at most 1,000 are read"):
        datasets.import_file("a", workbook(tmp_path / "bomb.xlsx", ("question", "answer"), ("q", "a")))


def test_thoughts_of_an_answer_are_left_out_and_said_to_be(datasets: Datasets, tmp_path: Path) -> None:
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "thinking": "hmm", "content": "a"}]
    report = datasets.import_file("a", written(tmp_path / "a.jsonl", {"messages": said}))
    assert pairs(datasets) == [("q", "a")]
    assert report.unused_columns == ["messages: thinking"]


def test_an_instruction_with_earlier_turns_is_refused(datasets: Datasets, tmp_path: Path) -> None:
    row = {"instruction": "q", "input": "", "output": "a"}
    path = written(tmp_path / "a.jsonl", {**row, "history": []}, {**row, "history": [["q0", "a0"]]})
    report = datasets.import_file("a", path)
    assert pairs(datasets) == [("q", "a")]
    assert [(line.line, line.key) for line in report.rejected] == [(2, "dataset.error_turns")]
    assert report.unused_columns == []


def test_several_files_come_in_as_one_step(datasets: Datasets, tmp_path: Path) -> None:
    first = written(tmp_path / "1.jsonl", {"fact_id": 1, "question": "q1", "answer": "a1"}, {"question": "q0"})
    second = written(
        tmp_path / "2.jsonl", {"fact_id": 1, "question": "q2", "answer": "a2"}, {"question": "", "answer": ""}
    )
    third = workbook(tmp_path / "3.xlsx", ("質問", "回答"), ("q3", "a3"), ("q3", "a3"))
    fourth = written(tmp_path / "4.json", {"instruction": "q3", "output": "a3"})
    report = datasets.import_files("a", [first, second, third, fourth])
    # The fact 1 of one file is not the fact 1 of another.
    assert (report.imported, report.facts) == (3, 3)
    assert pairs(datasets) == [("q1", "a1"), ("q2", "a2"), ("q3", "a3")]
    assert [(line.file, line.line, line.key) for line in report.rejected] == [
        ("1.jsonl", 2, "dataset.error_no_answer_column"),
        ("2.jsonl", 2, "dataset.error_empty_question"),
        ("3.xlsx", 3, "dataset.error_double_in_file"),
        ("4.json", 1, "files.error_double_in_other_file"),
    ]
    assert str(datasets.undo("a")) == 'Took back the import of "1.jsonl, 2.jsonl, 3.xlsx …" (3 examples).'
    assert pairs(datasets) == []


def test_one_file_that_cannot_come_in_keeps_all_out(datasets: Datasets, tmp_path: Path) -> None:
    good = written(tmp_path / "good.jsonl", {"question": "q", "answer": "a"})
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"")
    with pytest.raises(DatasetError, match=r'because file "bad\.csv" cannot come in\. The file is empty'):
        datasets.import_files("a", [good, bad])
    with pytest.raises(DatasetError, match="no file to import"):
        datasets.import_files("a", [])
    assert datasets.names() == []


def test_a_preview_says_what_an_import_would_do_and_changes_nothing(datasets: Datasets, tmp_path: Path) -> None:
    datasets.import_file("a", written(tmp_path / "old.jsonl", {"question": "q1", "answer": "a1"}))
    rows = [{"Q": f"q{n}", "題": "T", "答え": f"a{n}" if n != 3 else ""} for n in range(1, 12)]
    path = written(tmp_path / "new.jsonl", *rows)
    plan = ImportPlan(columns={"question": "Q", "subject": "題"})
    preview = datasets.preview_import("a", [path], plan)
    assert [(pair.line, pair.question, pair.subject) for pair in preview.pairs[:2]] == [(1, "q1", "T"), (2, "q2", "T")]
    assert datasets.columns_of_files([path]) == (["Q", "題", "答え"], {"question": "Q", "answer": "答え"})
    assert [line.line for line in preview.rejected] == [1, 3]
    assert preview.complete
    assert pairs(datasets) == [("q1", "a1")]
    report = datasets.import_files("a", [path], plan)
    assert (report.imported, report.rejected) == (preview.imported, preview.rejected)


def test_a_preview_of_a_long_file_reads_its_beginning(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.datasets.preview.MOST_LINES", 2)
    path = written(tmp_path / "a.jsonl", *({"question": f"q{n}", "answer": "a"} for n in range(3)))
    preview = datasets.preview_import("a", [path])
    assert (preview.imported, preview.complete) == (2, False)


def test_a_plan_knows_its_fields() -> None:
    with pytest.raises(ValidationError):
        ImportPlan(facts=0)
    with pytest.raises(ValidationError):
        ImportPlan.model_validate({"fact": "rows"})


# Two facts, each asked both ways: nothing in the file says so.
FLAT = (
    {"question": "ぱにぽにだっしゅ！の主人公は誰ですか？", "answer": "レベッカ宮本です。"},
    {"question": "新世界図鑑の監督は誰ですか？", "answer": "佐藤花子です。"},
    {"question": "レベッカ宮本が主人公を務める作品は何ですか？", "answer": "ぱにぽにだっしゅ！です。"},
    {"question": "佐藤花子が監督を務める作品は何ですか？", "answer": "新世界図鑑です。"},
)


def facts_of(datasets: Datasets, name: str) -> list[list[tuple[str, str]]]:
    facts: dict[int, list[tuple[str, str]]] = {}
    for example in datasets.page(name, size=100).examples:
        facts.setdefault(example.fact_id, []).append((example.kind, example.answer))
    return list(facts.values())


def test_facts_are_proposed_where_no_column_says_them(datasets: Datasets, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", *FLAT)
    report = datasets.import_files("a", [path])
    assert (report.imported, report.facts, report.proposed) == (4, 2, 2)
    assert facts_of(datasets, "a") == [
        [("seed", "レベッカ宮本です。"), ("reverse", "ぱにぽにだっしゅ！です。")],
        [("seed", "佐藤花子です。"), ("reverse", "新世界図鑑です。")],
    ]
    reasons = [json.loads(origin) for (origin,) in datasets.store.read().execute("SELECT origin FROM fact ORDER BY id")]
    assert [reason["code"] for of_fact in reasons for reason in of_fact] == ["key_term", "key_term"]


def test_a_person_may_say_that_every_line_or_every_so_many_lines_are_a_fact(datasets: Datasets, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", *FLAT)
    report = datasets.import_files("rows", [path], ImportPlan(facts="rows"))
    assert (report.facts, report.proposed) == (4, 0)
    report = datasets.import_files("blocks", [path], ImportPlan(facts=3))
    assert (report.facts, report.proposed) == (2, 1)
    assert [len(fact) for fact in facts_of(datasets, "blocks")] == [3, 1]


def test_proposed_facts_join_those_that_the_dataset_has(datasets: Datasets, tmp_path: Path) -> None:
    datasets.import_files("a", [written(tmp_path / "old.jsonl", *FLAT[:2])])
    report = datasets.import_files("a", [written(tmp_path / "a.jsonl", *FLAT)])
    assert (report.imported, report.facts, report.proposed) == (2, 2, 2)
    assert [line.line for line in report.rejected] == [1, 2]
    assert [len(fact) for fact in facts_of(datasets, "a")] == [2, 2]


def test_a_file_that_says_its_facts_is_taken_at_its_word(datasets: Datasets, tmp_path: Path) -> None:
    stated = [{**row, "fact_id": number} for number, row in enumerate(FLAT[:3])]
    report = datasets.import_files("a", [written(tmp_path / "a.jsonl", *stated, FLAT[3])])
    assert (report.facts, report.proposed) == (4, 0)


def test_a_column_that_is_named_counts_for_the_files_that_have_it(datasets: Datasets, tmp_path: Path) -> None:
    first = written(tmp_path / "1.jsonl", {"Q": "q1", "answer": "a1"})
    second = written(tmp_path / "2.jsonl", {"question": "q2", "answer": "a2"})
    datasets.import_files("a", [first, second], ImportPlan(columns={"question": "Q"}))
    assert pairs(datasets) == [("q1", "a1"), ("q2", "a2")]
