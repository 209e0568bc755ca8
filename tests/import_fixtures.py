"""Files to import and what came in, for the tests of importing."""

import json
from pathlib import Path

from studio.datasets import Datasets


def pairs(datasets: Datasets, name: str = "a") -> list[tuple[str, str]]:
    """Every question and answer of a dataset."""
    return [(example.question, example.answer) for example in datasets.page(name, size=100).examples]


def written(path: Path, *records: object) -> Path:
    """A JSONL file of these records."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path
