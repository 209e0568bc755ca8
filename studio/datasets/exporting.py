"""Writes a dataset into a file that the import reads back unchanged; it must not change the dataset."""

import csv
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from studio.datasets.records import protect
from studio.errors import DatasetError, StoreError

COLUMNS = (
    *("question", "answer", "fact_id", "kind", "answer_style", "status"),
    *("generator", "prompt_version", "subject", "tags", "key_terms", "short_answer"),
)
_JSON_COLUMNS = {"tags", "key_terms"}


def export(db: sqlite3.Connection, dataset_id: int, format: str, target: Path) -> Path:
    """Write all examples by fact, as "jsonl" or "csv", to `target` with that ending; the path appears when complete."""
    write = WRITERS.get(format)
    if write is None:
        raise DatasetError("dataset.error_export_format", format=format, known=", ".join(WRITERS))
    path = target.with_name(f"{target.name}.{format}")
    # Two people may export the same dataset at once.
    unfinished = target.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # newline="": a line break inside a cell stays what it is. The mark tells Excel that it is UTF-8.
        with unfinished.open("w", encoding="utf-8-sig" if format == "csv" else "utf-8", newline="") as file:
            write(_rows(db, dataset_id), file)
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise StoreError("dataset.error_export", path=path, why=error.strerror or error) from error
    return path


def _rows(db: sqlite3.Connection, dataset_id: int) -> Iterator[tuple[str | int | None, ...]]:
    return iter(
        db.execute(
            f"SELECT {', '.join(COLUMNS)} FROM example JOIN fact ON fact.id = fact_id"
            " WHERE example.dataset_id = ? ORDER BY fact_id, example.id",
            (dataset_id,),
        )
    )


def _write_jsonl(rows: Iterator[tuple[str | int | None, ...]], file: TextIO) -> None:
    for row in rows:
        record: dict[str, object] = dict(zip(COLUMNS, row, strict=True))
        for column in _JSON_COLUMNS:
            record[column] = json.loads(str(record[column]))
        if record["short_answer"] is None:
            del record["short_answer"]
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_csv(rows: Iterator[tuple[str | int | None, ...]], file: TextIO) -> None:
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([protect(str(cell)) if cell is not None else "" for cell in row])


WRITERS: dict[str, Callable[[Iterator[tuple[str | int | None, ...]], TextIO], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
}
