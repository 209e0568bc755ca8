"""Articles for continued pre-training: import, cleaning, duplicates and selection by words."""

from studio.datasets.documents.catalog import Documents
from studio.datasets.documents.model import (
    Alike,
    Document,
    DocumentCounts,
    DocumentFilter,
    DocumentJob,
    DocumentPage,
    DocumentText,
    Selected,
    Selection,
)

__all__ = [
    "Alike",
    "Document",
    "DocumentCounts",
    "DocumentFilter",
    "DocumentJob",
    "DocumentPage",
    "DocumentText",
    "Documents",
    "Selected",
    "Selection",
]
