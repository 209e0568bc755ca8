"""Writes a dataset into files of every format that the import reads back unchanged; it must not change the dataset.

Everything is streamed: a million examples take no more memory than ten thousand.
"""

import csv
import io
import json
import os
import secrets
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from studio.datasets.cards import Described, card
from studio.datasets.filters import EVERYTHING, Filter, condition_of
from studio.datasets.tables import protect
from studio.errors import DatasetError, StoreError

# Of the example, then of its fact.
COLUMNS = (
    *("question", "answer", "fact_id", "example_id", "kind", "answer_style", "status"),
    *("generator", "prompt_version", "flags", "subject", "spellings", "tags", "key_terms", "short_answer"),
)
LISTS = ("flags", "spellings", "tags", "key_terms")
ROWS_AT_ONCE = 10_000

Record = dict[str, object]
Records = Iterator[Record]


@dataclass(frozen=True)
class Format:
    """How a file is named and written."""

    ending: str
    write: Callable[[Records, IO[bytes]], None]


@dataclass(frozen=True)
class Export:
    """What shall be written: which format, of which examples, and whether a dataset card comes along in a zip."""

    format: str = "jsonl"
    filter: Filter = EVERYTHING
    card: str = ""  # the language of the card, empty for none


def export(db: sqlite3.Connection, dataset_id: int, wanted: Export, target: Path) -> Path:
    """Write the examples by fact into a file named after `target` and the format; the path appears when complete."""
    format = FORMATS.get(wanted.format)
    if format is None:
        raise DatasetError("dataset.error_export_format", format=wanted.format, known=", ".join(FORMATS))
    path = target.with_name(target.name + (f"-{wanted.format}.zip" if wanted.card else format.ending))
    with appearing(path) as file:
        if wanted.card:
            _write_with_card(db, dataset_id, wanted, target.name, file)
        else:
            format.write(_records(db, dataset_id, wanted.filter), file)
    return path


@contextmanager
def appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file to be written that has its name once it is complete. Raises StoreError where the disk refuses."""
    # Two people may export the same dataset at once.
    unfinished = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        raise StoreError("dataset.error_export", path=path, why=error.strerror or error) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def _write_with_card(db: sqlite3.Connection, dataset_id: int, wanted: Export, name: str, file: IO[bytes]) -> None:
    """A folder that a dataset hub takes as it is: README.md and the data beside it."""
    format = FORMATS[wanted.format]
    data = f"data/train{format.ending[format.ending.rindex('.') :]}"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as folder:
        with folder.open(data, "w", force_zip64=True) as inside:
            format.write(_records(db, dataset_id, wanted.filter), inside)
        about = Described(name, wanted.card, data, COLUMNS)
        folder.writestr("README.md", card(db, dataset_id, wanted.filter, about))


def _records(db: sqlite3.Connection, dataset_id: int, filter: Filter) -> Records:
    """Every example with what is known of its fact, the lists as lists."""
    columns = ", ".join("chosen.id" if column == "example_id" else column for column in COLUMNS)
    where, values = condition_of(db, dataset_id, filter)
    rows = db.execute(
        f"SELECT {columns} FROM (SELECT * FROM example WHERE {where}) AS chosen"
        " JOIN fact ON fact.id = chosen.fact_id ORDER BY chosen.fact_id, chosen.id",
        values,
    )
    for row in rows:
        record: Record = dict(zip(COLUMNS, row, strict=True))
        for column in LISTS:
            record[column] = json.loads(str(record[column])) if record[column] != "[]" else []
        record["short_answer"] = None if record["short_answer"] is None else bool(record["short_answer"])
        yield record


def _write_jsonl(records: Records, file: IO[bytes]) -> None:
    for record in records:
        if record["short_answer"] is None:
            del record["short_answer"]
        file.write(_json(record) + b"\n")


def _write_messages(records: Records, file: IO[bytes]) -> None:
    _write_jsonl(
        (_as_messages(record, "messages", ("role", "user", "assistant"), "content") for record in records), file
    )


def _write_sharegpt(records: Records, file: IO[bytes]) -> None:
    _write_list((_as_messages(record, "conversations", ("from", "human", "gpt"), "value") for record in records), file)


def _as_messages(record: Record, name: str, roles: tuple[str, str, str], content: str) -> Record:
    role, asking, answering = roles
    question, answer = record.pop("question"), record.pop("answer")
    return {name: [{role: asking, content: question}, {role: answering, content: answer}], **record}


def _write_alpaca(records: Records, file: IO[bytes]) -> None:
    renamed = (
        {"instruction": record.pop("question"), "input": "", "output": record.pop("answer"), **record}
        for record in records
    )
    _write_list(renamed, file)


def _write_list(records: Records, file: IO[bytes]) -> None:
    file.write(b"[")
    for number, record in enumerate(records):
        file.write((b",\n" if number else b"\n") + _json(record))
    file.write(b"\n]\n")


def _json(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _write_csv(records: Records, file: IO[bytes]) -> None:
    # newline="": a line break inside a cell stays what it is. The mark tells Excel that it is UTF-8.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([protect(_cell(value)) for value in record.values()])
    text.detach()


def _cell(value: object) -> str:
    if isinstance(value, list | bool):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _write_parquet(records: Records, file: IO[bytes]) -> None:
    # 0.3 s and 60 MB that only this format needs.
    import pyarrow
    import pyarrow.parquet

    words = pyarrow.list_(pyarrow.string())
    types = {"fact_id": pyarrow.int64(), "example_id": pyarrow.int64(), "short_answer": pyarrow.bool_()}
    types |= dict.fromkeys(LISTS, words) | {"key_terms": pyarrow.list_(words)}
    schema = pyarrow.schema([(column, types.get(column, pyarrow.string())) for column in COLUMNS])
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(records, ROWS_AT_ONCE)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))


FORMATS: dict[str, Format] = {
    "jsonl": Format(".jsonl", _write_jsonl),
    "messages": Format("-messages.jsonl", _write_messages),
    "alpaca": Format("-alpaca.json", _write_alpaca),
    "sharegpt": Format("-sharegpt.json", _write_sharegpt),
    "csv": Format(".csv", _write_csv),
    "parquet": Format(".parquet", _write_parquet),
}
