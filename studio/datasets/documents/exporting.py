"""Writes the articles that are trained on into one JSONL file; it must not change them."""

import json
import sqlite3
from pathlib import Path

from studio.datasets.documents.tables import included_texts
from studio.datasets.exporting import appearing

ENDING = ".documents.jsonl"


def export(db: sqlite3.Connection, dataset_id: int, target: Path) -> Path:
    """Write title and text of every included article, one a line; the path appears when it is complete."""
    path = target.with_name(target.name + ENDING)
    with appearing(path) as file:
        for _, title, text in included_texts(db, dataset_id):
            file.write((json.dumps({"title": title, "text": text}, ensure_ascii=False) + "\n").encode())
    return path
