"""Prints how long a large dataset takes to import, page, search, decide, change in bulk, undo, check, split and export.

`python -m tests.benchmarks.bench_dataset` measures 64,000 and 1,000,000 examples, each in a process and folder of its
own; with a number it measures only that many and keeps nothing.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from studio.datasets import Datasets, Filter
from studio.datasets.checks import Checks
from studio.datasets.versions import Versions
from studio.store import open_store
from tests.benchmarks.results_file import save

SIZES = (64_000, 1_000_000)
PER_FACT = 32
NAME = "bench"
# The worst of so many is given: a person feels the slow one.
REPEATS = 5
KANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロン"
ASPECTS = ("主人公", "監督", "原作者", "舞台", "放送開始の年", "主題歌", "制作会社", "音楽の担当者")
QUESTIONS = (
    "「{title}」の{aspect}は誰または何ですか？",
    "{title}について教えてください。{aspect}は？",
    "作品「{title}」で{aspect}とされているのは何でしょうか。",
    "{title}の{aspect}を答えてください。",
    "質問です。{title}の{aspect}を知っていますか？",
    "{aspect}を教えてください。作品は{title}です。",
    "{title}という作品の{aspect}は何と呼ばれていますか？",
    "「{title}」といえば、その{aspect}は？",
)
ANSWERS = ("{value}です。", "「{title}」の{aspect}は{value}です。作中では何度もその名が語られ、広く知られています。")


class Seconds(NamedTuple):
    """How long something took; where other programs keep the processor busy, the second is what it needs alone."""

    clock: float
    processor: float


def main() -> None:
    """Measure one size in this process, or every size in processes of their own."""
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(int(sys.argv[1]), Path(folder)), indent=2))
        return
    figures = {}
    for size in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.bench_dataset", str(size)]
        figures[f"{size}"] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(size, json.dumps(figures[f"{size}"], indent=2))
    save("dataset", {"load_average": os.getloadavg()[1], "examples": figures})


def measure(size: int, folder: Path) -> dict[str, dict[str, float]]:
    """Each step's seconds, and the most memory in MiB that the process held after the import and at the end."""
    file = folder / "facts.jsonl"
    write_examples(file, size)
    store = open_store(folder / "studio.db")
    datasets, memory_mib = Datasets(store), {}
    seconds = {"import": once(lambda: datasets.import_file(NAME, file))}
    memory_mib["import"] = round(peak_mib())
    seconds |= reading(datasets, size)
    seconds |= changing(datasets)
    memory_mib["curating"] = round(peak_mib())
    seconds |= finishing(datasets, folder)
    memory_mib["checks_and_export"] = round(peak_mib())
    store.close()
    return {
        "seconds": {name: round(took.clock, 4) for name, took in seconds.items()},
        "processor_seconds": {name: round(took.processor, 4) for name, took in seconds.items()},
        "memory_mib": memory_mib,
    }


def reading(datasets: Datasets, size: int) -> dict[str, Seconds]:
    """Pages and searches; a search is its first page with the number of all it found."""

    def page(number: int = 1, **fields: Any) -> Callable[[], object]:
        return lambda: datasets.page(NAME, filter=Filter(**fields), number=number, size=50)

    middle = size // 100
    return {
        "first_page": worst(page()),
        "middle_page": worst(page(middle)),
        "last_page": worst(page(2 * middle)),
        "filtered_page": worst(page(middle // 4, kind="reverse", answer_style="detailed")),
        "newest_page": worst(page(sort="newest")),
        "search_rare": worst(page(search=title_of(7))),
        "search_common": worst(page(search="を教えてください")),
        "search_two_characters": worst(page(search="監督")),
        "search_two_rare_characters": worst(page(search="ヌヲ")),
        "search_one_character": worst(page(search="は")),
        "counts": worst(lambda: datasets.counts(NAME)),
    }


def changing(datasets: Datasets) -> dict[str, Seconds]:
    """A decision, an edit, and everything at once with its undo."""
    ids = iter(example.id for example in datasets.page(NAME, size=100).examples)
    everything = Filter()
    return {
        "decision": worst(lambda: datasets.set_status(NAME, [next(ids)], "rejected")),
        "edit": worst(lambda: datasets.edit_example(NAME, (key := next(ids)), question=f"新しい質問{key}")),
        "undo_of_an_edit": worst(lambda: datasets.undo(NAME)),
        "bulk_reject": once(lambda: datasets.set_status(NAME, everything, "rejected")),
        "bulk_accept": once(lambda: datasets.set_status(NAME, everything, "accepted")),
        "undo_of_bulk_accept": once(lambda: datasets.undo(NAME)),
        "undo_of_bulk_reject": once(lambda: datasets.undo(NAME)),
        "bulk_tag": once(lambda: datasets.add_tag(NAME, everything, "新しい")),
        "undo_of_bulk_tag": once(lambda: datasets.undo(NAME)),
        "bulk_delete": once(lambda: datasets.delete_examples(NAME, Filter(kind="reverse"))),
        "undo_of_bulk_delete": once(lambda: datasets.undo(NAME)),
    }


def finishing(datasets: Datasets, folder: Path) -> dict[str, Seconds]:
    """What comes before training: checks, splits and a file for others."""
    room = Checks(datasets.store)
    return {
        "checks": once(lambda: room.run(NAME)),
        "split": once(lambda: Versions(datasets.store).split_counts(NAME)),
        "split_page": worst(lambda: datasets.page(NAME, filter=Filter(split="heldout_phrasing"))),
        "export_jsonl": once(lambda: datasets.export_file(NAME, "jsonl", folder)),
        "export_csv": once(lambda: datasets.export_file(NAME, "csv", folder)),
    }


def write_examples(file: Path, size: int) -> None:
    """A file of facts with 32 examples each, the same at every call."""
    with file.open("w", encoding="utf-8") as lines:
        for line in _lines(size):
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")


def title_of(fact: int) -> str:
    """The title that a fact is about."""
    draw = random.Random(fact)
    return "".join(draw.choices(KANA, k=draw.randint(4, 9)))


def _lines(size: int) -> Iterator[dict[str, object]]:
    for at in range(size):
        fact, place = divmod(at, PER_FACT)
        title, aspect = title_of(fact), ASPECTS[fact % len(ASPECTS)]
        value = title_of(-fact - 1)
        words = {"title": title, "aspect": aspect, "value": value}
        reverse = place >= PER_FACT // 2
        question = QUESTIONS[place // 2 % len(QUESTIONS)].format(**words)
        answer = ANSWERS[place % 2].format(**words)
        if reverse:
            question, answer = f"{value}が{aspect}である作品は？（{place // 2}）", f"{title}です。" * (1 + place % 2)
        yield {
            "fact_id": fact,
            "kind": "reverse" if reverse else "paraphrase" if place else "seed",
            "question": question,
            "answer": answer,
            "answer_style": "detailed" if place % 2 else "short",
            "subject": title,
            "tags": [aspect],
            "key_terms": [[value]],
            "generator": "rules" if place else "",
        }


def once(step: Callable[[], object]) -> Seconds:
    """How long a step takes, by the clock and of the processor."""
    start, start_cpu = time.perf_counter(), time.process_time()
    step()
    return Seconds(time.perf_counter() - start, time.process_time() - start_cpu)


def worst(step: Callable[[], object]) -> Seconds:
    """The longest that a step takes out of a few times."""
    return max(once(step) for _ in range(REPEATS))


def peak_mib() -> float:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
