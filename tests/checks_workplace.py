"""A dataset to put pairs into, with its checks: what the tests of the checks work on."""

import json
from pathlib import Path
from typing import Any

from studio.datasets import Datasets
from studio.datasets.checks import Checks, Finding
from studio.store import open_store

NAME = "アニメ"


class Workplace:
    """One dataset, its checks, and its questions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datasets = Datasets(open_store(folder / "studio.db"))
        self.checks = Checks(self.datasets.store)

    def bring(self, *pairs: dict[str, Any] | tuple[int, str, str]) -> None:
        rows = [row(*pair) if isinstance(pair, tuple) else pair for pair in pairs]
        path = self.folder / "pairs.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
        self.datasets.import_file(NAME, path)

    def found(self, code: str) -> list[Finding]:
        self.checks.run(NAME)
        return self.checks.findings(NAME, code, size=100).findings

    def ask(self, question: str, kind: str, fact_id: int | None = None, reference: str = "") -> None:
        with self.datasets.store.write() as db:
            db.execute(
                "INSERT INTO question (dataset_id, question_set, question, fact_id, kind, reference)"
                " VALUES (?, 'テスト', ?, ?, ?, ?)",
                (self.datasets.require(NAME), question, fact_id, kind, reference),
            )


def row(fact: int, question: str, answer: str, kind: str = "", **about: Any) -> dict[str, Any]:
    row = {"fact_id": fact, "question": question, "answer": answer, **about}
    return row | ({"kind": kind} if kind else {})
