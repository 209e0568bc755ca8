"""Tables of rows and named columns (CSV, TSV, Excel, Parquet) as numbered records; it must not know what they mean."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
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

# A workbook is a zip; a small one that unpacks to more than this is no table of questions.
MOST_UNPACKED_BYTES = 2 << 30

# What spreadsheets run as a formula. Export puts an apostrophe before it, import takes one away.
FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r]")


def protect(cell: str) -> str:
    """A cell that no spreadsheet runs."""
    return "'" + cell if FORMULA.match(cell) else cell


def unprotect(cell: str) -> str:
    """The cell as it was before `protect`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def csv_records(path: Path) -> Iterator[Record]:
    """The rows below the header of a table with commas, or with semicolons or tabs where the header has more."""
    text = decode(path.read_bytes())
    header = next((line for line in text.splitlines() if line.strip()), "")
    # Excel writes semicolons where the comma is the decimal sign.
    delimiter = max(",;\t", key=header.count)
    yield from _table(_cells(text, delimiter))


def tsv_records(path: Path) -> Iterator[Record]:
    """The rows below the header of a table with tabs."""
    yield from _table(_cells(decode(path.read_bytes()), "\t"))


def excel_records(path: Path) -> Iterator[Record]:
    """The rows below the header of the first sheet that holds any, formulas as the values that Excel saved."""
    with path.open("rb") as file:
        try:
            yield from _table(_sheet(file))
        except (DatasetError, OSError):
            raise
        # openpyxl answers a damaged workbook with whatever it stumbles over: KeyError, TypeError, a parser's error.
        except Exception as error:
            raise DatasetError("files.error_excel", why=excerpt(str(error) or type(error).__name__, 200)) from error


def parquet_records(path: Path) -> Iterator[Record]:
    """The rows of a Parquet file."""
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


def _table(lines: Iterable[tuple[int, Sequence[str] | DatasetError]]) -> Iterator[Record]:
    columns: list[str] | None = None
    for number, cells in lines:
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
            for name, cell in zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=False):
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


def _sheet(file: io.BufferedReader) -> Iterator[tuple[int, list[str]]]:
    # 0.2 s that only this format needs.
    import openpyxl

    if not file.peek(1):
        raise DatasetError("dataset.error_empty_file")
    if not zipfile.is_zipfile(file):
        # Excel's own old format, a renamed table, or a workbook behind a password.
        raise DatasetError("files.error_not_excel")
    with zipfile.ZipFile(file) as parts:
        unpacked = sum(part.file_size for part in parts.infolist())
    if unpacked > MOST_UNPACKED_BYTES:
        raise DatasetError("files.error_excel_large", size=f"{unpacked:,}", most=f"{MOST_UNPACKED_BYTES:,}")
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            # What the file says of its own size may be wrong: some programs write A1 for any sheet.
            sheet.reset_dimensions()
            empty = True
            for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
                shown = [_shown(cell) for cell in cells]
                empty = empty and not any(shown)
                yield number, shown
            if not empty:
                return
    finally:
        book.close()
    raise DatasetError("dataset.error_empty_file")


def _shown(cell: object) -> str:
    """What a cell shows a person; openpyxl leaves Excel's own escapes of control characters in texts."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    if isinstance(cell, datetime | date | time | timedelta):
        return str(cell)
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(cell))


_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
