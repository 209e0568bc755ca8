"""Files of every format as numbered records of named columns; it must not know which column means what."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from studio.datasets.decoding import decode
from studio.datasets.tables import Record, Row, csv_records, excel_records, parquet_records, tsv_records
from studio.errors import DatasetError

SPACE = " \t\r\n"


def read_records(path: Path) -> Iterator[Record]:
    """Every record of a file, the unreadable ones as the error that tells why; blank lines are passed over.

    Raises:
        DatasetError: the file is gone, empty, binary, of an unknown format or broken as a whole.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError("dataset.error_extension", file=path.name, known=", ".join(READERS))
    try:
        yield from reader(path)
    except FileNotFoundError as error:
        raise DatasetError("dataset.error_file_gone", file=path.name) from error
    except OSError as error:
        raise DatasetError("dataset.error_file_unreadable", file=path.name, why=error.strerror or error) from error


def _json_lines(path: Path) -> Iterator[Record]:
    text = decode(path.read_bytes())
    if text.lstrip().startswith("["):
        yield from _json_list(text)
    else:
        yield from _lines(text)


def _json(path: Path) -> Iterator[Record]:
    text = decode(path.read_bytes())
    first_line = text.lstrip().split("\n", 1)[0]
    # Many files called .json hold one object a line.
    if isinstance(_object(first_line), dict) and "\n" in text.strip():
        yield from _lines(text)
    else:
        yield from _json_list(text)


def _lines(text: str) -> Iterator[Record]:
    # Not splitlines(): a question may hold U+2028, which JSON leaves as it is. Not split(): a million lines are large.
    number, start = 0, 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        line = text[start:end]
        if line.strip():
            yield number, _object(line)
        start = end + 1


def _object(text: str) -> Row | DatasetError:
    try:
        value = json.loads(text)
    # RecursionError: brackets nested by the thousand; ValueError: also a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        return DatasetError("dataset.error_json_line", why=error)
    return value if isinstance(value, dict) else DatasetError("dataset.error_json_object")


def _json_list(text: str) -> Iterator[Record]:
    try:
        items = _items(text) if text.lstrip(SPACE).startswith("[") else iter(_listed(json.loads(text)))
        for number, item in enumerate(items, 1):
            yield number, item if isinstance(item, dict) else DatasetError("dataset.error_json_object")
    except (ValueError, RecursionError) as error:
        raise DatasetError("dataset.error_json_file", why=error) from error


def _listed(value: object) -> list[object]:
    if not isinstance(value, dict):
        raise DatasetError("dataset.error_json_object")
    inner = value.get("data")
    return inner if isinstance(inner, list) else [value]


def _items(text: str) -> Iterator[object]:
    """The items of a JSON list one by one, so that a long list is never in memory as a whole."""
    decoder = json.JSONDecoder()
    at = _after_space(text, text.index("[") + 1)
    closed = text.startswith("]", at)
    while not closed:
        item, at = decoder.raw_decode(text, at)
        yield item
        at = _after_space(text, at)
        closed = text.startswith("]", at)
        if not closed:
            if not text.startswith(",", at):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = _after_space(text, at + 1)
    if _after_space(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": csv_records,
    ".tsv": tsv_records,
    ".xlsx": excel_records,
    ".parquet": parquet_records,
}
