"""Reads a whole file into pairs of question and answer, and says of every line that is no pair why it is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from studio.datasets.columns import Layout, Pair, layout_of, pair_of
from studio.datasets.model import RejectedLine
from studio.datasets.records import Row, read_records
from studio.errors import DatasetError


@dataclass
class FilePairs:
    """What a file holds for a dataset."""

    pairs: list[Pair] = field(default_factory=list)
    rejected: list[RejectedLine] = field(default_factory=list)
    unused_columns: list[str] = field(default_factory=list)


def read_pairs(path: Path, mapping: Mapping[str, str]) -> FilePairs:
    """Every pair of a file, in its order.

    Raises:
        DatasetError: the file cannot be read, has no such columns, or not one line of it is a pair.
    """
    read = FilePairs()
    layouts: dict[tuple[str, ...], Layout | DatasetError] = {}
    for line, record in read_records(path):
        if isinstance(record, DatasetError):
            read.rejected.append(RejectedLine.because(line, record))
            continue
        columns = tuple(record)
        if columns not in layouts:
            layouts[columns] = _layout(columns, mapping)
        try:
            read.pairs.append(_pair(line, record, layouts[columns]))
        except DatasetError as error:
            read.rejected.append(RejectedLine.because(line, error))
    if not read.pairs:
        _refuse(path, read.rejected, layouts)
    read.unused_columns = _unused(layouts)
    return read


def _layout(columns: tuple[str, ...], mapping: Mapping[str, str]) -> Layout | DatasetError:
    try:
        return layout_of(columns, mapping)
    except DatasetError as error:
        return error


def _pair(line: int, record: Row, layout: Layout | DatasetError) -> Pair:
    if isinstance(layout, DatasetError):
        raise layout
    return pair_of(line, record, layout)


def _refuse(path: Path, rejected: list[RejectedLine], layouts: Mapping[tuple[str, ...], Layout | DatasetError]) -> None:
    """Say why a file without a single pair was refused: its columns if none fit, else its first bad line."""
    unfit = [layout for layout in layouts.values() if isinstance(layout, DatasetError)]
    if unfit and len(unfit) == len(layouts):
        raise unfit[0]
    if not rejected:
        raise DatasetError("dataset.error_no_lines", file=path.name)
    first = rejected[0]
    why = DatasetError(first.key, **first.values)
    raise DatasetError("dataset.error_no_pair", file=path.name, lines=len(rejected), line=first.line, why=why)


def _unused(layouts: Mapping[tuple[str, ...], Layout | DatasetError]) -> list[str]:
    fitting = [(columns, layout) for columns, layout in layouts.items() if isinstance(layout, Layout)]
    used = {column for _, layout in fitting for column in layout.used}
    seen = dict.fromkeys(column for columns, _ in fitting for column in columns)
    return [column for column in seen if column not in used]
