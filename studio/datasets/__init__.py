"""Facts and their examples: import, edits with undo, search, export and splits."""

from studio.datasets.catalog import Datasets
from studio.datasets.filters import EVERYTHING, Filter, Selection
from studio.datasets.history import HistoryEntry
from studio.datasets.model import (
    Counts,
    EditConflict,
    Example,
    ExampleStatus,
    Fact,
    ImportReport,
    MadeExample,
    Page,
    RejectedLine,
    Undone,
)

__all__ = [
    "EVERYTHING",
    "Counts",
    "Datasets",
    "EditConflict",
    "Example",
    "ExampleStatus",
    "Fact",
    "Filter",
    "HistoryEntry",
    "ImportReport",
    "MadeExample",
    "Page",
    "RejectedLine",
    "Selection",
    "Undone",
]
