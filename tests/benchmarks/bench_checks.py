"""All quality checks at 64,000 examples: `python -m tests.benchmarks.bench_checks [FILE.jsonl ...]`.

Builds 2,000 invented facts x 32 with the built-in rules, plants faults whose number is known, and says how long each
stage takes and what was found. Files named besides are imported and checked, too.
"""

import argparse
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from studio.augmentation.plan import Plan
from studio.augmentation.rules import make
from studio.datasets import Datasets
from studio.datasets.checks import Checks
from studio.datasets.model import Fact
from studio.store import open_store
from tests.benchmarks.results_file import save

FACTS = 2_000
PER_FACT = Plan(forward=8, reverse=8, answers=2)
RELATIONS = ("主人公", "作者", "監督", "舞台", "制作会社", "主題歌")
SYLLABLES = (
    "アイウエカキクケコサシスセソタチツテトナニネノハヒフヘホマミムメモヤユヨラリルレロワガギグゲゴザダデドバビブベボ"
)
KANJI = "竜虹雷剣月影塔花星海森風雪炎空鈴狐王姫城谷町光闇夢旅時鏡"


def main() -> None:
    """Build, check, and save the figures under `checks`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*")
    files: list[Path] = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        datasets = Datasets(open_store(Path(folder) / "studio.db"))
        made = Path(folder) / "invented.jsonl"
        examples = list(invented())
        planted = plant(examples)
        made.write_text("".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples), "utf-8")
        datasets.import_file(made.stem, made)
        planted["leak"] = ask(datasets, made.stem, examples)
        figures = {made.stem: checked(datasets, made.stem) | {"planted": planted}}
        for path in files:
            datasets.import_file(path.stem, path)
            figures[path.stem] = checked(datasets, path.stem)
    print(json.dumps(figures, ensure_ascii=False, indent=1))
    save("checks", figures)


def checked(datasets: Datasets, name: str) -> dict[str, Any]:
    """Check a dataset, stage by stage."""
    checks, reached, cpu_began = Checks(datasets.store), [], time.process_time()
    for stage in checks.stages(name):
        reached.append((stage, time.perf_counter()))
    reached.append(("", time.perf_counter()))
    cpu_s = time.process_time() - cpu_began
    stages = {stage: round(end - begin, 2) for (stage, begin), (_, end) in pairwise(reached)}
    report = checks.report(name)
    assert report is not None
    return {
        "facts": report.facts,
        "examples": report.examples,
        "seconds": round(reached[-1][1] - reached[0][1], 2),
        # Processor time: what other work on the machine does not move.
        "cpu_seconds": round(cpu_s, 2),
        "processes_running_beside": round(os.getloadavg()[0], 1),
        "seconds_by_stage": stages,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "findings": {count.code: count.findings for count in report.counts},
    }


def invented() -> Iterator[dict[str, Any]]:
    """32 examples of each of 2,000 facts on works that do not exist."""
    draw = random.Random(5)
    works, names = _distinct(draw, FACTS // len(RELATIONS) + 1, _title), _distinct(draw, FACTS, _name)
    for number in range(FACTS):
        work, relation, value = works[number // len(RELATIONS)], RELATIONS[number % len(RELATIONS)], names[number]
        question, answer = f"{work}の{relation}は何ですか？", f"{work}の{relation}は{value}です。"
        about = {"fact_id": number, "subject": work, "tags": [work], "key_terms": [[value]]}
        yield {**about, "kind": "seed", "question": question, "answer": answer}
        for example in make(Fact(id=number + 1, question=question, answer=answer), PER_FACT):
            yield {**about, **example.model_dump(include={"kind", "question", "answer", "answer_style"})}


def plant(examples: list[dict[str, Any]]) -> dict[str, int]:
    """Put known faults in: an answer without its key term, a doubled fact, a contradiction, a misspelt work."""
    draw = random.Random(6)
    seeds = [example for example in examples if example["kind"] == "seed"]
    for example in draw.sample([example for example in examples if example["kind"] == "paraphrase"], 50):
        example["answer"] = f"{example['subject']}についてはよく知られています。"
    new = FACTS
    for seed in draw.sample(seeds, 40):
        examples.append(
            {**seed, "fact_id": (new := new + 1), "question": seed["question"].replace("ですか", "でしょうか")}
        )
    for seed in draw.sample(seeds, 40):
        wrong = seed["answer"].replace(seed["key_terms"][0][0], _name(draw))
        examples.append({**seed, "fact_id": (new := new + 1), "answer": wrong, "key_terms": []})
    for seed in draw.sample(seeds, 10):
        slip = seed["subject"][:-1] + "ー"
        texts = {field: seed[field].replace(seed["subject"], slip) for field in ("subject", "question", "answer")}
        examples.append({**seed, **texts, "fact_id": (new := new + 1), "tags": []})
    return {"lost_key_term": 50, "near_duplicate": 40, "conflict": 40, "spelling": 10}


def ask(datasets: Datasets, name: str, examples: list[dict[str, Any]]) -> int:
    """A question set of 75 of which this many leak: 25 are trained word for word, 25 ask trained facts as untrained."""
    draw = random.Random(7)
    seeds = draw.sample([example for example in examples if example["kind"] == "seed" and example["key_terms"]], 50)
    asked = [(seed["question"], "heldout_phrasing", "") for seed in seeds[:25]]
    for seed in seeds[25:]:
        asked.append((seed["question"].replace("は何ですか", "を挙げてください"), "heldout_fact", seed["answer"]))
    asked += [(f"{_name(draw)}の標高は何メートルですか？", "out_of_domain", "") for _ in range(25)]
    with datasets.store.write() as db:
        db.executemany(
            "INSERT INTO question (dataset_id, question_set, question, kind, reference) VALUES (?, '75', ?, ?, ?)",
            ((datasets.require(name), *question) for question in asked),
        )
    return len(seeds)


def _distinct(draw: random.Random, number: int, make_name: Any) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < number:
        found[make_name(draw)] = None
    return list(found)


def _title(draw: random.Random) -> str:
    return "".join(draw.choices(KANJI, k=2)) + "の" + "".join(draw.choices(SYLLABLES, k=4))


def _name(draw: random.Random) -> str:
    return "".join(draw.choices(KANJI, k=2)) + "".join(draw.choices(SYLLABLES, k=3))


if __name__ == "__main__":
    main()
