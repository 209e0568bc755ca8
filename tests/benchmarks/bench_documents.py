"""18,000 invented articles from a tar.gz: `python -m tests.benchmarks.bench_documents [ARCHIVE ...]`.

Says how long import, a page, a selection by words with its undo, and the search for near duplicates take, and how much
memory they need; archives named besides are measured, too. 2 % of the articles are copies of another with a few words
changed, 1 % are exact copies.
"""

import argparse
import io
import json
import random
import resource
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from studio.datasets import Datasets
from studio.datasets.documents import DocumentFilter, DocumentJob, Documents, Selection
from studio.store import open_store
from tests.benchmarks.results_file import save

ARTICLES = 18_000
SENTENCES = (15, 150)
WORDS = (
    "主人公",
    "物語",
    "作品",
    "連載",
    "放送",
    "監督",
    "原作",
    "舞台",
    "登場",
    "人物",
    "学園",
    "宇宙",
    "魔法",
    "声優",
)
LEFTOVERS = ("[{}]", "<ref>出典{}</ref>", "{{{{Cite|{}}}}}", "[[作品{}|作品]]", "'''太字{}'''")
Result = TypeVar("Result")


def main() -> None:
    """Build, import, choose, compare, and save the figures under `documents`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archives", type=Path, nargs="*")
    archives: list[Path] = parser.parse_args().archives
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        invented = write(Path(folder) / "invented.tar.gz")
        for archive in [*archives, invented]:
            figures[archive.name.partition(".")[0]] = measure(archive, Path(folder) / f"{archive.name}.db")
    print(json.dumps(figures, ensure_ascii=False, indent=1))
    save("documents", figures)


def measure(archive: Path, database: Path) -> dict[str, Any]:
    """Every step once: seconds by the clock and of the processor, and the memory above that of the empty program."""
    documents = Documents(open_store(database))
    seconds: dict[str, Any] = {}
    memory: dict[str, float] = {}
    empty = peak_mib()

    def timed(step: str, run: Callable[[], Result]) -> Result:
        began, cpu = time.perf_counter(), time.process_time()
        result = run()
        seconds[step] = {"wall": round(time.perf_counter() - began, 2), "cpu": round(time.process_time() - cpu, 2)}
        memory[step] = round(peak_mib() - empty, 1)
        return result

    def ended(start: Callable[[], None]) -> DocumentJob:
        start()
        while (job := documents.job("a")) is None or job.state == "running":
            threading.Event().wait(0.01)
        return job

    imported = timed("import", lambda: ended(lambda: documents.start_import("a", archive)))
    timed("page", lambda: documents.page("a", filter=DocumentFilter(search="話", order="longest")))
    # One article in ten remains: those of a work, as it were.
    chosen = Selection(words=("第1", "アニメ"))
    selected = timed("count", lambda: documents.count("a", chosen))
    timed("select", lambda: documents.select("a", chosen, expected=selected.number))
    timed("undo", lambda: Datasets(documents.store).undo("a"))
    near = timed("near_duplicates", lambda: ended(lambda: documents.start_near("a")))
    characters = timed("read_all", lambda: sum(len(text) for _, text in documents.frozen_documents("a")))
    timed("delete_all", lambda: documents.delete_all("a"))
    return {
        "articles": imported.imported,
        "characters": characters,
        "cleaned": imported.cleaned,
        "duplicates": imported.duplicates,
        "near_duplicates": sum(len(group.others) for group in near.alike),
        "seconds": seconds,
        "peak_memory_above_start_mib": memory,
    }


def peak_mib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path) -> Path:
    """An archive of invented articles, always the same."""
    invent = random.Random(18)
    texts: list[str] = []
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(ARTICLES):
            kind = invent.random()
            if kind < 0.03 and texts:
                text = invent.choice(texts)
                text = text if kind < 0.01 else text.replace("。", "である。", 2)
            else:
                text = article(invent, number)
                texts.append(text)
            member = tarfile.TarInfo(f"articles/{number:05}.md")
            data = text.encode()
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def article(invent: random.Random, number: int) -> str:
    """One article of invented sentences, with the leftovers of a wiki."""
    lines = [f"---\ntitle: 第{number}話\n---\n# 第{number}話"]
    for at in range(invent.randint(*SENTENCES)):
        name = "".join(chr(invent.randint(0x30A2, 0x30F3)) for _ in range(4))
        words = "の".join(invent.sample(WORDS, 4))
        leftover = invent.choice(LEFTOVERS).format(at + 1) if invent.random() < 0.2 else ""
        lines.append(f"{name}は{words}{leftover}。")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
