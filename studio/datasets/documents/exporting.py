"""Writes the articles that are trained on into one JSONL file; it must not change them."""

import json
import os
import secrets
import sqlite3
from contextlib import suppress
from pathlib import Path

from studio.datasets.documents.tables import included_texts
from studio.errors import StoreError

ENDING = ".documents.jsonl"


def export(db: sqlite3.Connection, dataset_id: int, target: Path) -> Path:
    """Write title and text of every included article, one a line; the path appears when it is complete."""
    path = target.with_name(target.name + ENDING)
    # Two people may export the same dataset at once.
    unfinished = target.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            for _, title, text in included_texts(db, dataset_id):
                file.write(json.dumps({"title": title, "text": text}, ensure_ascii=False) + "\n")
        os.replace(unfinished, path)
    except OSError as error:
        raise StoreError("dataset.error_export", path=path, why=error.strerror or error) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return path
