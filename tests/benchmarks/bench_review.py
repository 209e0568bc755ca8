"""Prints what one decision in the review queue costs at 64,000 examples: `python -m tests.benchmarks.bench_review`.

Server side: the decision kept on the disk and the next screen drawn. In Chromium: from the key to the next screen.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from studio.datasets import Datasets, MadeExample
from studio.datasets.review import Reader, ReviewQueue, Sheet, stamp_of
from studio.pages.review_view import sheet_of
from studio.store import open_store
from tests.benchmarks.results_file import save
from tests.browser.studio_app import chromium, running_app

FACTS, DECISIONS = 2000, 100
PHRASINGS = 8
# From the key to the moment when the screen that it led to has been painted.
PRESS_JS = """async ([code, shiftKey]) => {
  const sheet = document.querySelector('[data-part=sheet]');
  const start = performance.now();
  const drawn = new Promise((resolve) => {
    new MutationObserver((_, observer) => { observer.disconnect(); resolve(); }).observe(sheet, {childList: true});
  });
  document.body.dispatchEvent(new KeyboardEvent('keydown', {code, shiftKey, bubbles: true}));
  await drawn;
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  return performance.now() - start;
}"""


def fill(path: Path) -> int:
    """A dataset of 2,000 facts x 32 examples, all but the seeds waiting; how many examples it holds."""
    store = open_store(path)
    datasets = Datasets(store)
    datasets.create("review")
    made = []
    for number in range(FACTS):
        question, answer = f"第{number}話の主人公は誰ですか？", f"主人公は人物{number}です。"
        fact_id = datasets.add_fact("review", question, answer).fact_id
        made += made_of(fact_id, question, answer)
    datasets.add_examples("review", made)
    examples = datasets.counts("review").examples
    store.close()
    return examples


def made_of(fact_id: int, question: str, answer: str) -> list[MadeExample]:
    """Eight phrasings and eight reversed questions with two answers each; the seed is one of them."""
    examples = []
    for direction in ("paraphrase", "reverse"):
        for place in range(PHRASINGS):
            asked = question if (direction, place) == ("paraphrase", 0) else f"{question}（{direction} {place}）"
            for style, given in (("short", answer), ("detailed", f"{answer}この話では、その一日が描かれています。")):
                values = {"fact_id": fact_id, "kind": direction, "answer_style": style, "question": asked}
                values |= {"answer": given, "generator": "rules", "status": "pending"}
                examples.append(MadeExample.model_validate(values))
    return examples[1:]


def on_the_server(path: Path) -> dict[str, Any]:
    """A decision, an undo and a whole fact accepted, each with the next screen drawn, in milliseconds."""
    store = open_store(path)
    queue, reader = ReviewQueue(Datasets(store)), Reader(page="bench", person="bench")

    def screen(sheet: Sheet | None) -> Sheet:
        assert sheet is not None
        sheet_of(sheet, "ja")
        return sheet

    def decide(ids: Callable[[Sheet], list[int]]) -> None:
        nonlocal current
        seen = {example.id: stamp_of(example) for example in current.examples if example.id in ids(current)}
        current = screen(queue.decide("review", seen, "accepted", reader)[0])

    current = screen(queue.open("review", reader))
    figures = {
        "decision_ms": repeated(clocked(lambda: decide(lambda sheet: [sheet.cursor]))),
        "undo_ms": repeated(clocked(lambda: screen(queue.undo("review", reader)[0]))),
    }
    current = screen(queue.open("review", reader))
    figures["fact_ms"] = repeated(clocked(lambda: decide(lambda sheet: sheet.waiting)))
    store.close()
    return figures


def in_chromium(data_dir: Path) -> dict[str, Any]:
    """From a key to the painted screen, in milliseconds."""
    with running_app(data_dir) as address, chromium() as browser:
        page = browser.new_page(locale="ja-JP", viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/?dataset=review")
        page.get_by_role("tab", name="レビュー", exact=True).click()
        expect(page.locator(".oboe-sheet")).to_be_visible()
        return {
            "key_to_screen_ms": repeated(lambda: pressed(page, "KeyA")),
            "accept_all_to_screen_ms": repeated(lambda: pressed(page, "KeyA", shift=True)),
        }


def pressed(page: Page, code: str, shift: bool = False) -> float:
    """Milliseconds from one key to its screen."""
    milliseconds: float = page.evaluate(PRESS_JS, [code, shift])
    return milliseconds


def clocked(do: Callable[[], object]) -> Callable[[], float]:
    """The same, giving the milliseconds that it took."""

    def measure() -> float:
        start = time.perf_counter()
        do()
        return (time.perf_counter() - start) * 1000

    return measure


def repeated(measure: Callable[[], float]) -> dict[str, float]:
    """Median and 95th percentile of many repetitions."""
    times = [measure() for _ in range(DECISIONS)]
    return {"median": round(statistics.median(times), 1), "p95": round(statistics.quantiles(times, n=20)[-1], 1)}


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write results/review.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data" / "studio.db"
        figures: dict[str, Any] = {"examples": fill(path), "load_average": os.getloadavg()[0]}
        figures |= on_the_server(path) | in_chromium(path.parent)
    for name, value in figures.items():
        print(name, value)
    if arguments.keep:
        print(save("review", figures))


if __name__ == "__main__":
    main()
