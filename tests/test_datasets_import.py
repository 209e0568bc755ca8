"""Files of every format and encoding come in; what does not come in is reported."""

import codecs
import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from studio.datasets import Datasets
from studio.errors import DatasetError
from studio.store import open_store
from tests.import_fixtures import pairs, written

PAIRS = [("主人公は誰ですか？", "レベッカ宮本です。"), ("舞台はどこ、\n教えて", '"桃月"学園、です')]


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


RECORDS = {
    "question/answer": {"question": "q", "answer": "a"},
    "full width and capitals": {"Ｑuestion ": "q", "ANSWER": "a"},
    "質問/出力": {"質問": "q", "出力": "a"},
    "質問/回答": {"質問": "q", "回答": "a"},
    "問/答": {"問": "q", "答": "a"},
    "instruction/output": {"instruction": "q", "input": "", "output": "a"},
    "prompt/completion": {"prompt": "q", "completion": "a"},
    "prompt/response": {"prompt": "q", "response": "a"},
    "input/output": {"input": "q", "output": "a"},
    "messages": {"messages": [{"role": "system", "content": "s"}, *({"role": r, "content": c} for r, c in
                                                                  (("user", "q"), ("assistant", "a")))]},
    "content parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
                                   {"role": "assistant", "content": "a"}]},
    "conversations": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    "messages as text": {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
    "prompt and completion of messages": {"prompt": [{"role": "user", "content": "q"}],
                                          "completion": [{"role": "assistant", "content": "a"}]},
}  # fmt: skip


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_the_usual_names_are_understood(datasets: Datasets, tmp_path: Path, record: dict[str, object]) -> None:
    datasets.import_file("a", written(tmp_path / "a.jsonl", record))
    assert pairs(datasets) == [("q", "a")]


def test_an_instruction_and_its_input_are_one_question(datasets: Datasets, tmp_path: Path) -> None:
    row = {"instruction": "訳して", "input": "hello", "output": "こんにちは"}
    datasets.import_file("a", written(tmp_path / "a.jsonl", row))
    assert pairs(datasets) == [("訳して\nhello", "こんにちは")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json"])
def test_every_text_format_comes_in_in_every_encoding(
    datasets: Datasets, tmp_path: Path, encoding: str, ending: str
) -> None:
    path = tmp_path / f"データ.{ending.upper()}"
    with path.open("w", encoding=encoding, newline="") as file:
        if ending in ("csv", "tsv"):
            csv.writer(file, delimiter="," if ending == "csv" else "\t").writerows([("質問", "回答"), *PAIRS])
        else:
            rows = [json.dumps({"質問": q, "回答": a}, ensure_ascii=False) for q, a in PAIRS]
            file.write("\r\n".join(rows) if ending == "jsonl" else f"[{','.join(rows)}]")
    before = path.read_bytes()
    report = datasets.import_file("a", path)
    assert (report.imported, report.rejected, report.facts, report.examples) == (2, [], 2, 2)
    assert pairs(datasets) == PAIRS
    assert path.read_bytes() == before


def test_parquet_comes_in(datasets: Datasets, tmp_path: Path) -> None:
    table = pyarrow.table({"fact_id": [1.0, 1.0, None], "question": ["q", "r", None], "answer": [1998, 2001, 5]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    report = datasets.import_file("a", tmp_path / "a.parquet")
    assert pairs(datasets) == [("q", "1998"), ("r", "2001")]
    assert [(line.line, line.reason) for line in report.rejected] == [(3, "The question is empty. Enter a question.")]


def test_a_json_file_of_lines_and_a_json_file_with_data_come_in(datasets: Datasets, tmp_path: Path) -> None:
    datasets.import_file("a", written(tmp_path / "a.json", *({"question": f"q{n}", "answer": "a"} for n in (1, 2))))
    datasets.import_file("b", written(tmp_path / "b.json", {"data": [{"question": "q", "answer": "a"}]}))
    assert (datasets.counts("a").examples, datasets.counts("b").examples) == (2, 1)


def test_every_bad_line_is_reported_with_its_number_and_the_rest_comes_in(datasets: Datasets, tmp_path: Path) -> None:
    lines = [
        '{"question": "q1", "answer": "a"}',
        "",
        '{"question": "q2", "answer": ',
        "[1, 2]",
        '{"question": " ", "answer": "a"}',
        '{"question": "q3"}',
        '{"question": ["x"], "answer": "a"}',
        '{"question": "\\ud800", "answer": "a"}',
        '{"question": "\\u0000", "answer": "a"}',
        '{"messages": [{"role": "user", "content": "q"}]}',
        '{"messages": [{"role": "驚き", "content": "q"}]}',
        "[" * 100_000,
        '{"question": "q1", "answer": "a"}',
        '{"question": "q4\u2028", "answer": 1998}',
    ]
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"question": "\xff", "answer": "a"}')
    report = datasets.import_file("a", tmp_path / "a.jsonl")
    assert pairs(datasets) == [("q1", "a"), ("q4", "1998")]
    assert [rejected.line for rejected in report.rejected] == [*range(3, 14), 15]
    assert report.rejected[-2].text("ja") == "1 行目と同じ質問と回答の組です。"
    assert all("{" not in rejected.reason or "JSON" in rejected.reason for rejected in report.rejected)


def test_bad_lines_of_a_table_cost_only_themselves(datasets: Datasets, tmp_path: Path) -> None:
    text = 'question,answer\nq1,"a1"\nq2,"never closed\nq3,a3,surplus\nq4,6" disk\nq5,"two\nlines"\n\n"q6"x,a\nq7\n'
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    report = datasets.import_file("a", tmp_path / "a.csv")
    assert pairs(datasets) == [("q1", "a1"), ("q4", '6" disk'), ("q5", "two\nlines")]
    assert [rejected.line for rejected in report.rejected] == [3, 4, 9, 10]


def test_a_table_with_semicolons_comes_in(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("質問;回答\nq, r;a\n", encoding="cp932")
    datasets.import_file("a", tmp_path / "a.csv")
    assert pairs(datasets) == [("q, r", "a")]


def test_tabs_need_no_quotation_marks(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('question\tanswer\n"Hi" she said\tA\n"open\tB\n', encoding="utf-8")
    datasets.import_file("a", tmp_path / "a.tsv")
    assert pairs(datasets) == [('"Hi" she said', "A"), ('"open', "B")]


FILES = {
    "empty": (b"", "a.jsonl", "The file is empty"),
    "blank": (b" \n\n", "a.csv", "The file is empty"),
    "mark only": (codecs.BOM_UTF8, "a.csv", "The file is empty"),
    "binary": (bytes(range(256)) * 20, "a.jsonl", "cannot be read as text"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.csv", "cannot be read as text"),
    "no parquet": (b"PAR1 no", "a.parquet", "cannot be read as Parquet"),
    "no answer column": ("質問,正解文\nq,a\n".encode(), "a.csv", "no answer column. The file has: 質問, 正解文"),
    "no question column": (b"title,answer\nq,a\n", "a.csv", "no question column. The file has: title, answer"),
    "neither column": (b'{"x": 1}\n', "a.jsonl", "neither a question column nor an answer column"),
    "header only": (b"question,answer\n", "a.csv", "no line below its header"),
    "no good line": (b'{"question": "", "answer": "a"}\n', "a.jsonl", "The first is line 1: The question is empty"),
    "unknown ending": (b"q", "a.docx", 'format of file "a.docx" is not known'),
    "broken list": (b"[{]", "a.json", "not valid JSON"),
}


@pytest.mark.parametrize(("data", "name", "sentence"), FILES.values(), ids=FILES.keys())
def test_a_file_that_cannot_come_in_gets_a_sentence_and_leaves_nothing(
    datasets: Datasets, tmp_path: Path, data: bytes, name: str, sentence: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        datasets.import_file("a", tmp_path / name)
    assert sentence in str(caught.value)
    assert caught.value.text("ja") != str(caught.value)
    assert datasets.names() == []


def test_a_file_that_disappeared_and_a_folder_get_sentences(datasets: Datasets, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not there any more"):
        datasets.import_file("a", tmp_path / "gone.jsonl")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DatasetError, match="cannot be read"):
        datasets.import_file("a", tmp_path / "folder.csv")


def test_an_import_that_fails_while_writing_leaves_nothing_half_done(datasets: Datasets, tmp_path: Path) -> None:
    trigger = (
        "CREATE TRIGGER fail BEFORE INSERT ON example WHEN new.question = 'q2' BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    with datasets.store.write() as db:
        db.execute(trigger)
    rows = ({"question": f"q{number}", "answer": "a"} for number in range(4))
    with pytest.raises(sqlite3.IntegrityError):
        datasets.import_file("a", written(tmp_path / "a.jsonl", *rows))
    assert datasets.names() == []
    assert datasets.store.read().execute("SELECT count(*) FROM fact").fetchone()[0] == 0


def test_a_mapping_overrides_the_names(datasets: Datasets, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"question": "wrong", "Q": "q", "text": "a", "note": ""})
    report = datasets.import_file("a", path, {"question": "Q", "answer": "text"})
    assert pairs(datasets) == [("q", "a")]
    assert report.unused_columns == ["question", "note"]
    with pytest.raises(DatasetError, match=r'no column "X"\. It has: question, Q, text, note'):
        datasets.import_file("b", path, {"answer": "X"})
    with pytest.raises(DatasetError, match='cannot be mapped to "antwort"'):
        datasets.import_file("b", path, {"antwort": "text"})


def test_lines_with_one_fact_id_are_one_fact_with_its_seed_first(datasets: Datasets, tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl",
        {"fact_id": 7, "kind": "reverse", "question": "r", "answer": "a", "status": "pending"},
        {"fact_id": 8, "question": "other", "answer": "a"},
        {"fact_id": 7, "kind": "paraphrase", "answer_style": "detailed", "question": "p", "answer": "a"},
        {"fact_id": 7, "kind": "seed", "question": "s", "answer": "a", "subject": "S", "tags": "x、y"},
        {"fact_id": 7, "question": "p", "answer": "a"},
        {"fact_id": 7, "kind": "translation", "question": "t", "answer": "a"},
    )
    report = datasets.import_file("a", path)
    found = [(e.question, e.kind, e.answer_style, e.status) for e in datasets.page("a").examples]
    assert found == [
        ("s", "seed", "short", "accepted"),
        ("r", "reverse", "short", "pending"),
        ("p", "paraphrase", "detailed", "accepted"),
        ("other", "seed", "short", "accepted"),
    ]
    fact = datasets.facts("a")[0]
    assert (fact.question, fact.subject, fact.tags) == ("s", "S", ("x", "y"))
    assert [rejected.line for rejected in report.rejected] == [5, 6]


def test_importing_again_adds_only_what_is_new_to_the_same_facts(datasets: Datasets, tmp_path: Path) -> None:
    seed = {"fact_id": 1, "question": "q", "answer": "a"}
    datasets.import_file("a", written(tmp_path / "a.jsonl", seed))
    report = datasets.import_file("a", written(tmp_path / "a.jsonl", seed, {**seed, "question": "q2"}))
    assert (report.imported, report.facts, report.examples, len(report.rejected)) == (1, 1, 2, 1)
    assert str(datasets.undo("a")) == 'Took back the import of "a.jsonl" (1 examples).'
    assert pairs(datasets) == [("q", "a")]
