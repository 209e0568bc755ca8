"""Facts and their examples: import, edits with undo, search, export and splits."""

from studio.datasets.catalog import Datasets
from studio.datasets.exporting import FORMATS, Export
from studio.datasets.filters import EVERYTHING, Filter, Selection
from studio.datasets.history import HistoryEntry
from studio.datasets.importing import ImportPlan
from studio.datasets.model import (
    Counts,
    EditConflict,
    Example,
    ExampleStatus,
    Facets,
    Fact,
    FactConflict,
    ImportReport,
    MadeExample,
    Page,
    RejectedLine,
    Undone,
)
from studio.datasets.preview import ImportPreview
from studio.datasets.records import READERS

__all__ = [
    "EVERYTHING",
    "FORMATS",
    "READERS",
    "Counts",
    "Datasets",
    "EditConflict",
    "Example",
    "ExampleStatus",
    "Export",
    "Facets",
    "Fact",
    "FactConflict",
    "Filter",
    "HistoryEntry",
    "ImportPlan",
    "ImportPreview",
    "ImportReport",
    "MadeExample",
    "Page",
    "RejectedLine",
    "Selection",
    "Undone",
]
