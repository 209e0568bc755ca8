"""Reads whole files into pairs of question and answer, and says of every line that is no pair why it is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from studio.datasets.columns import Layout, Pair, layout_of, pair_of, thoughts_in
from studio.datasets.model import RejectedLine
from studio.datasets.records import read_records
from studio.datasets.tables import Row
from studio.errors import DatasetError

Layouts = dict[tuple[str, ...], Layout | DatasetError]


@dataclass
class FilePairs:
    """What a file holds for a dataset; `complete` unless reading stopped at the most that was asked for."""

    file: str
    alone: bool
    pairs: list[Pair] = field(default_factory=list)
    rejected: list[RejectedLine] = field(default_factory=list)
    layouts: Layouts = field(default_factory=dict)
    thoughts: str = ""
    complete: bool = True

    @property
    def unused_columns(self) -> list[str]:
        """Columns, and parts of messages, that were not read."""
        fitting = [(columns, layout) for columns, layout in self.layouts.items() if isinstance(layout, Layout)]
        used = {column for _, layout in fitting for column in layout.used}
        seen = dict.fromkeys(column for columns, _ in fitting for column in columns)
        return [*(column for column in seen if column not in used), *([self.thoughts] if self.thoughts else [])]


def read_files(paths: Sequence[Path], mapping: Mapping[str, str], most: int | None = None) -> list[FilePairs]:
    """Every pair of some files, in their order; `most` bounds the records that are read of each.

    Raises:
        DatasetError: there is no file, or one of them cannot be read, has no such columns or not one pair.
    """
    if not paths:
        raise DatasetError("files.error_no_file")
    read = []
    for path in paths:
        try:
            read.append(read_pairs(path, mapping, most, alone=len(paths) == 1))
        except DatasetError as error:
            if len(paths) == 1:
                raise
            raise DatasetError("files.error_in_file", file=path.name, why=error) from error
    return read


def unused_columns(files: Sequence[FilePairs]) -> list[str]:
    """Columns, and parts of messages, that were read of no file."""
    return list(dict.fromkeys(column for file in files for column in file.unused_columns))


def read_pairs(path: Path, mapping: Mapping[str, str], most: int | None = None, *, alone: bool = True) -> FilePairs:
    """Every pair of a file, in its order; among others it need not have every column that `mapping` names.

    Raises:
        DatasetError: the file cannot be read, has no such columns, or not one line of it is a pair.
    """
    read = FilePairs(path.name, alone)
    records = read_records(path)
    for line, record in islice(records, most):
        try:
            read.pairs.append(_pair(read, line, record, mapping))
        except DatasetError as error:
            read.rejected.append(RejectedLine.because(line, error, path.name))
    read.complete = most is None or next(records, None) is None
    if not read.pairs:
        _refuse(read)
    return read


def _pair(read: FilePairs, line: int, record: Row | DatasetError, mapping: Mapping[str, str]) -> Pair:
    if isinstance(record, DatasetError):
        raise record
    columns = tuple(record)
    if columns not in read.layouts:
        wanted = mapping if read.alone else {field: name for field, name in mapping.items() if name in columns}
        read.layouts[columns] = _layout(columns, wanted)
    layout = read.layouts[columns]
    if isinstance(layout, DatasetError):
        raise layout
    read.thoughts = read.thoughts or thoughts_in(record, layout)
    return pair_of(line, record, layout)


def _layout(columns: tuple[str, ...], mapping: Mapping[str, str]) -> Layout | DatasetError:
    try:
        return layout_of(columns, mapping)
    except DatasetError as error:
        return error


def _refuse(read: FilePairs) -> None:
    """Say why a file without a single pair was refused: its columns if none fit, else its first bad line."""
    unfit = [layout for layout in read.layouts.values() if isinstance(layout, DatasetError)]
    if unfit and len(unfit) == len(read.layouts):
        raise unfit[0]
    if not read.rejected:
        raise DatasetError("dataset.error_no_lines", file=read.file)
    first = read.rejected[0]
    why = DatasetError(first.key, **first.values)
    raise DatasetError("dataset.error_no_pair", file=read.file, lines=len(read.rejected), line=first.line, why=why)
