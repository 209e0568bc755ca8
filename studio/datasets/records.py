"""Files of every format as numbered records of named columns; it must not know which column means what."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from studio.datasets.decoding import decode
from studio.datasets.text import excerpt
from studio.errors import DatasetError

Row = dict[str, object]
# A record, or what is wrong with it, under its line (JSON lists and Parquet: its position), from 1.
Record = tuple[int, Row | DatasetError]

# An unclosed quotation mark would swallow the rest of the file; no cell has more lines than this.
MOST_LINES_OF_A_CELL = 2_000
csv.field_size_limit(2**31 - 1)

# What spreadsheets run as a formula. Export puts an apostrophe before it, import takes one away.
FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r]")


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


def protect(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    return "'" + cell if FORMULA.match(cell) else cell


def unprotect(cell: str) -> str:
    """The cell as it was before `protect`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


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
    # Not splitlines(): a question may hold U+2028, which JSON leaves as it is.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _object(line)


def _object(text: str) -> Row | DatasetError:
    try:
        value = json.loads(text)
    # RecursionError: brackets nested by the thousand; ValueError: also a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        return DatasetError("dataset.error_json_line", why=error)
    return value if isinstance(value, dict) else DatasetError("dataset.error_json_object")


def _json_list(text: str) -> Iterator[Record]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError("dataset.error_json_file", why=error) from error
    if isinstance(value, dict):
        value = value["data"] if isinstance(value.get("data"), list) else [value]
    if not isinstance(value, list):
        raise DatasetError("dataset.error_json_object")
    for number, item in enumerate(value, 1):
        yield number, item if isinstance(item, dict) else DatasetError("dataset.error_json_object")


def _csv(path: Path) -> Iterator[Record]:
    text = decode(path.read_bytes())
    header = next((line for line in text.splitlines() if line.strip()), "")
    # Excel writes semicolons where the comma is the decimal sign.
    delimiter = max(",;\t", key=header.count)
    yield from _table(text, delimiter)


def _tsv(path: Path) -> Iterator[Record]:
    yield from _table(decode(path.read_bytes()), "\t")


def _table(text: str, delimiter: str) -> Iterator[Record]:
    columns: list[str] | None = None
    for number, cells in _cells(text, delimiter):
        if isinstance(cells, DatasetError):
            yield number, cells
        elif not any(cell.strip() for cell in cells):
            continue
        elif columns is None:
            columns = [cell.strip() for cell in cells]
        elif any(cell.strip() for cell in cells[len(columns) :]):
            yield number, DatasetError("dataset.error_cells", found=len(cells), expected=len(columns))
        else:
            row: Row = {}
            for name, cell in zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False):
                # Of two columns with one name the first counts.
                row.setdefault(name, unprotect(cell))
            yield number, row


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | DatasetError]]:
    """The cells of each record under its first line; a record that cannot be read costs its first line only."""
    lines = list(io.StringIO(text, newline=""))
    at = 0
    while at < len(lines):
        cells, used = _record(lines, at, delimiter)
        yield at + 1, cells
        at += used


def _record(lines: list[str], at: int, delimiter: str) -> tuple[list[str] | DatasetError, int]:
    """The cells of the record that begins at line index `at`, and how many lines it takes."""
    end: int | None = at + 1
    while end is not None:
        try:
            return next(csv.reader(["".join(lines[at:end])], delimiter=delimiter, strict=True)), end - at
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                break
        # Only a line with a quotation mark can close the cell.
        candidates = range(end, min(at + MOST_LINES_OF_A_CELL, len(lines)))
        end = next((line + 1 for line in candidates if '"' in lines[line]), None)
    if delimiter == "\t":
        # Most files with tabs know no quotation marks: the line is then what it says.
        return lines[at].rstrip("\r\n").split("\t"), 1
    return DatasetError("dataset.error_quotes"), 1


def _parquet(path: Path) -> Iterator[Record]:
    # 0.3 s and 60 MB that only this format needs.
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                raise DatasetError("dataset.error_empty_file")
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            yield from enumerate(rows, 1)
    except FileNotFoundError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DatasetError("dataset.error_parquet", why=excerpt(str(error), 200)) from error


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
