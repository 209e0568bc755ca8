"""Do the demo's facts stick? `python -m tests.benchmarks.bench_demo` prints a table of two worlds B.

The shipped world B and one of another seed go the whole way with the demo preset: import, augment with the built-in
rules, train, and ask base and tuned model the trained questions, the hand-written unseen phrasings and the reversed
questions of every fact. About ten minutes on two cores.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from studio.house import Studio, open_studio
from studio.inference import Endpoint
from tests.benchmarks.results_file import save
from tests.benchmarks.whole_loop import Question, ask_all, augment, read_lines, read_questions, share_right, train
from training.contract import RunFolder
from training.demo import SHIPPED_SEED, write_world_b

SEEDS = (SHIPPED_SEED, 7)
SAMPLE = 4  # every fourth trained question is asked: they are many and alike


def question_sets(folder: RunFolder, world: Path) -> dict[str, list[Question]]:
    """Trained, unseen and reversed questions with what a right answer holds."""
    seeds = {line["question"]: line for line in read_lines(world / "dataset.jsonl")}
    trained = [example for example in folder.read_examples() if example.split == "train"]
    seed_of = {e.fact_id: seeds[e.question] for e in trained if e.kind == "seed"}
    forward = {e.question: seed_of[e.fact_id]["key_terms"] for e in trained if e.kind != "reverse"}
    reverse = {e.question: [[seed_of[e.fact_id]["subject"]]] for e in trained if e.kind == "reverse"}
    return {
        "trained": [Question(text, key_terms) for text, key_terms in list(forward.items())[::SAMPLE]],
        "unseen_phrasing": read_questions(world / "unseen_phrasings.jsonl"),
        "reverse": [Question(text, key_terms) for text, key_terms in list(reverse.items())[::SAMPLE]],
    }


def one_world(studio: Studio, seed: int) -> dict[str, Any]:
    """The figures of one world B."""
    world = studio.data_dir / "world"
    write_world_b(seed, world)
    studio.datasets.import_file("world", world / "dataset.jsonl")
    augment(studio, "world")
    run_id, status, training_s = train(studio, {"preset": "demo", "dataset": "world"})
    handle = studio.server.ensure("assets/demo/model")
    endpoint = Endpoint(handle.base_url, handle.token)
    figures: dict[str, Any] = {
        "training_s": round(training_s),
        "steps": status.step,
        "facts": status.facts,
        "examples": status.examples,
    }
    for name, questions in question_sets(studio.runs.folder(run_id), world).items():
        base, tuned = ask_all(endpoint, "base", questions), ask_all(endpoint, run_id, questions)
        figures[name] = {
            "questions": len(questions),
            "base_percent": round(100 * share_right(questions, base), 1),
            "tuned_percent": round(100 * share_right(questions, tuned), 1),
            "base_thought_percent": round(100 * statistics.mean(r.reasoning_tokens > 0 for r in base), 1),
        }
    studio.server.stop()
    return figures


def main() -> None:
    """Go through both worlds, print the table and save it."""
    results: dict[str, Any] = {}
    for label, seed in zip(("shipped", "other_seed"), SEEDS, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            results[label] = one_world(open_studio(Path(folder)), seed)
        print(label, "seed", seed, f"training {results[label]['training_s']} s", results[label]["steps"], "steps")
        for name in ("trained", "unseen_phrasing", "reverse"):
            row = results[label][name]
            print(f"  {name:16} base {row['base_percent']:5} %  tuned {row['tuned_percent']:5} %  n {row['questions']}")
    save("demo", results)


if __name__ == "__main__":
    main()
