"""Prints what padding costs on a 32-fold dataset: `python -m tests.benchmarks.bench_batches`.

200 fixed questions, multiplied by the built-in rules as the studio does it, are trained on the demo's base in batches
of eight: in random order, grouped by length as a run does it, and packed. Useful tokens are those that are no padding.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.augmentation import rules
from studio.augmentation.plan import Plan
from tests.benchmarks.bench_rules import read_questions
from tests.benchmarks.results_file import save
from training import mixture
from training.contract import PROJECT_ROOT, RunConfig, RunFolder, TrainingExample
from training.mixture import TrainingData
from training.sampling import useful_share

BASE = PROJECT_ROOT / "assets" / "demo" / "model"
BATCH = 8
STEPS, ROUNDS = 4, 6


def examples() -> Iterator[TrainingExample]:
    """Every question that the rules can reword, with all that they make of it."""
    for fact in read_questions():
        try:
            made = rules.make(fact, Plan())
        except rules.NeedsModel:
            continue
        pairs = [(fact.question, fact.answer, "seed"), *((one.question, one.answer, one.kind) for one in made)]
        for place, (question, answer, kind) in enumerate(pairs):
            yield TrainingExample(
                id=fact.id * 100 + place, fact_id=fact.id, split="train", kind=kind, answer_style="short",
                question=question, answer=answer,
            )  # fmt: skip


def load(folder: RunFolder, tokenizer: Any, *, packing: bool) -> TrainingData:
    """The examples as a run encodes them."""
    config = RunConfig(
        dataset="bench", base_model=str(BASE), packing=packing, per_device_train_batch_size=1 if packing else BATCH
    )
    return mixture.load(folder, config, tokenizer)


def tokens_per_second(model: Any, collate: Any, rows: list[dict[str, Any]]) -> float:
    """Useful tokens that go forwards and backwards in a second."""
    batch = collate(rows)
    began = time.perf_counter()
    model(**batch, use_cache=False).loss.backward()
    model.zero_grad()
    return sum(len(row["input_ids"]) for row in rows) / (time.perf_counter() - began)


def main() -> None:
    """Measure, print, and keep the figures."""
    tokenizer, model = AutoTokenizer.from_pretrained(BASE), AutoModelForCausalLM.from_pretrained(BASE)
    model.train()
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder(Path(root))
        lines = [example.model_dump_json() + "\n" for example in examples()]
        folder.examples.write_text("".join(lines), "utf-8")
        apart, packed = (load(folder, tokenizer, packing=packing) for packing in (False, True))
    lengths = [sum(pieces) for pieces in apart.train["seq_lengths"]]
    shuffled = random.Random(0).sample(range(len(lengths)), len(lengths))
    ways = {
        "random": (apart, shuffled, BATCH, useful_share(lengths, shuffled, BATCH)),
        "grouped": (apart, list(apart.sampler(BATCH)), BATCH, apart.useful_token_share),
        "packed": (packed, list(packed.sampler(1)), 1, packed.useful_token_share),
    }
    collators = {name: data.collator(model, tokenizer) for name, (data, _, _, _) in ways.items()}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS):
        for name, (data, order, size, _) in ways.items():
            start = round_number * STEPS * size
            for place in range(start, start + STEPS * size, size):
                rows = [data.train[index] for index in order[place : place + size]]
                speeds[name].append(tokens_per_second(model, collators[name], rows))
    figures: dict[str, Any] = {"facts": apart.facts, "examples": apart.examples, "threads": torch.get_num_threads()}
    for name, (_, _, _, share) in ways.items():
        figures[name] = {
            "useful_percent": round(100 * share, 1),
            "tokens_per_s": round(statistics.harmonic_mean(speeds[name])),
        }
        print(f"{name:8} {figures[name]['useful_percent']:5.1f} % useful {figures[name]['tokens_per_s']:7,} tokens/s")
    save("batches", figures)


if __name__ == "__main__":
    main()
