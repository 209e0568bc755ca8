"""Shows what an import would do before anything is changed; it must not know how files are read or kept."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pydantic import Field

from studio.datasets.columns import Pair, layout_of
from studio.datasets.importing import Arrangement, Existing, ImportPlan
from studio.datasets.model import RejectedLine
from studio.datasets.reading import FilePairs, read_files, unused_columns
from studio.datasets.records import read_records
from studio.errors import DatasetError
from training.contract import Frozen

# Enough to meet what is wrong with a file, and read in a second.
MOST_LINES = 20_000
SHOWN_PAIRS = 5
MOST_READ_FOR_COLUMNS = 100


class PreviewPair(Frozen):
    """A line as it would come in."""

    file: str
    line: int
    question: str
    answer: str
    fact: str = Field("", description="What the file says of the fact that the line belongs to.")
    subject: str = ""
    tags: str = ""


class ImportPreview(Frozen):
    """What an import would bring in and leave out."""

    pairs: list[PreviewPair] = Field(description="The first lines that would come in.")
    imported: int
    rejected: list[RejectedLine]
    complete: bool = Field(description="Whether the files were read to their ends.")
    unused_columns: list[str]


def preview_of(paths: Sequence[Path], plan: ImportPlan, existing: Existing) -> ImportPreview:
    """Read the beginning of the files as an import would.

    Raises:
        DatasetError: a file cannot be read, or has no such columns.
    """
    files = read_files(paths, plan.columns, MOST_LINES)
    arranged = Arrangement(files, "rows").settle(existing)
    return ImportPreview(
        pairs=_first_pairs(files),
        imported=arranged.imported,
        rejected=arranged.rejected,
        complete=all(file.complete for file in files),
        unused_columns=unused_columns(files),
    )


def columns_of(paths: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
    """Every column that the first records of files have, and which was found to be which field by its name."""
    columns: dict[str, None] = {}
    found: dict[str, str] = {}
    for path in paths:
        # A file that cannot be read has no columns; whoever reads it says why.
        with suppress(DatasetError):
            for _, record in islice(read_records(path), MOST_READ_FOR_COLUMNS):
                columns |= dict.fromkeys(record) if isinstance(record, dict) else {}
    with suppress(DatasetError):
        found = dict(layout_of(tuple(columns), {}).columns)
    return list(columns), found


def _first_pairs(files: Sequence[FilePairs]) -> list[PreviewPair]:
    """Some of each file where there are several, so that every file shows what it is."""
    each = max(1, SHOWN_PAIRS // len(files))
    return [_shown(file.file, pair) for file in files for pair in file.pairs[:each]][: max(SHOWN_PAIRS, len(files))]


def _shown(file: str, pair: Pair) -> PreviewPair:
    return PreviewPair(
        file=file,
        line=pair.line,
        question=pair.question,
        answer=pair.answer,
        fact=pair.fact,
        subject=pair.subject,
        tags=", ".join(json.loads(pair.tags)),
    )
