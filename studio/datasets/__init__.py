"""Facts and their examples: import, edits with undo, search, export and splits."""

from studio.datasets.catalog import Datasets
from studio.datasets.model import (
    Counts,
    Example,
    Fact,
    ImportReport,
    MadeExample,
    Page,
    RejectedLine,
    Undone,
)

__all__ = ["Counts", "Datasets", "Example", "Fact", "ImportReport", "MadeExample", "Page", "RejectedLine", "Undone"]
