"""Which recipe makes facts stick? The reports' experiment in miniature, by the real worker, on invented worlds.

`python -m tests.benchmarks.bench_injection [RECIPE ...]` grades every recipe, or the named ones, on the world of one
seed and the recommended default on three, none of them seen while the default was looked for; what it has graded is
kept after every world. `sweep NAME=VALUE,VALUE ...` prints what the default gives with other values on the worlds of
seeds 1 to 3, and keeps nothing.
"""

import itertools
import json
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.augmentation.plan import Plan
from studio.house import open_studio
from studio.inference import Endpoint
from studio.pages.recipes_view import COLUMNS, FIGURES
from tests.benchmarks.results_file import RESULTS, save
from tests.benchmarks.whole_loop import (
    Question,
    ask_all,
    augment,
    read_lines,
    read_questions,
    share_right,
    train,
    wait_for,
)
from training.contract import RunFolder
from training.demo import REPLAYED_WORKS, write_world_b
from training.demo_text import forward_turn
from training.demo_worlds import Fact, facts, world_a

SWEPT, GRADED = (1, 2, 3), (4, 5, 6)
HELDOUT_FACTS = 0.1
SAMPLE = 4  # every fourth trained or reversed question is asked: they are many and alike
OUT_OF_DOMAIN = 120
RESULT = RESULTS / "injection.json"
KNOWN_BEFORE = ("out_of_domain", "never_replayed")
NOTHING_REPLAYED = {"replay_dataset": "", "replay_share": 0.0}


@dataclass(frozen=True)
class Recipe:
    """What differs from the demo's preset, the runs of a chain one after the other, and how facts are multiplied."""

    stages: tuple[dict[str, Any], ...] = ({},)
    plan: Plan | None = field(default_factory=Plan)


DOCUMENTS = {"method": "cpt", "num_train_epochs": 60, "max_steps": -1, "per_device_train_batch_size": 8}
RECIPES: dict[str, Recipe] = {
    "as_in_the_report": Recipe(
        ({"learning_rate": 2e-5, "lora_r": 8, "lora_alpha": 16, "target_modules": ["attention"], **NOTHING_REPLAYED},)
    ),
    "attention_only": Recipe(({"target_modules": ["attention"]},)),
    "without_reverse": Recipe(plan=Plan(forward=8, reverse=0, answers=2)),
    "without_augmentation": Recipe(plan=None),
    "without_replay": Recipe((NOTHING_REPLAYED,)),
    "cpt_only": Recipe((DOCUMENTS,)),
    "cpt_then_sft": Recipe((DOCUMENTS, {})),
    "mixed": Recipe(({"method": "mixed"},)),
    "recommended": Recipe(),
}


def question_sets(run: RunFolder, world: Path, whole: list[dict[str, Any]]) -> dict[str, list[Question]]:
    """Each set's questions with what a right answer holds; `whole` are all examples that the facts can be asked by."""
    seeds = {line["question"]: line for line in read_lines(world / "dataset.jsonl")}
    examples = run.read_examples()
    seed_of = {example.fact_id: example for example in examples if example.kind == "seed"}
    heldout = {seed.question for seed in seed_of.values() if seed.split == "heldout_fact"}
    forward = {
        example.question: seeds[seed_of[example.fact_id].question]["key_terms"]
        for example in examples
        if example.split == "train" and example.kind != "reverse"
    }
    # By the ids of the dataset that holds every example that could be made.
    asked_by = {line["fact_id"]: line["question"] for line in whole if line["kind"] == "seed"}
    reverse = {
        line["question"]: [[seeds[asked_by[line["fact_id"]]]["subject"]]]
        for line in whole
        if line["kind"] == "reverse" and asked_by[line["fact_id"]] not in heldout
    }
    unseen = read_questions(world / "unseen_phrasings.jsonl")
    of_heldout = [seeds[question]["key_terms"] for question in heldout]
    return {
        "trained": [Question(*asked) for asked in list(forward.items())[::SAMPLE]],
        "heldout_phrasing": [question for question in unseen if question.key_terms not in of_heldout],
        "reverse": [Question(*asked) for asked in list(reverse.items())[::SAMPLE]],
        "heldout_fact": [Question(question, seeds[question]["key_terms"]) for question in sorted(heldout)],
        **out_of_domain(),
    }


def out_of_domain() -> dict[str, list[Question]]:
    """Questions that the base can answer: about all the works it knows, of which most are replayed in other wordings,
    and, as the hardest part of it, about works that nothing replays."""
    chance = random.Random("out of domain")
    return {
        "out_of_domain": _asked(chance.sample(facts(world_a()), OUT_OF_DOMAIN), chance),
        "never_replayed": _asked(facts(world_a()[REPLAYED_WORKS:]), chance),
    }


def _asked(known: list[Fact], chance: random.Random) -> list[Question]:
    return [Question(forward_turn(fact, chance)[0]["content"], [[fact.value]]) for fact in known]


def grade(seed: int, recipe: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """Teach the world of a seed by a recipe, and ask base and tuned model every set."""
    with tempfile.TemporaryDirectory() as folder:
        studio = open_studio(Path(folder))
        world = studio.data_dir / "world"
        write_world_b(seed, world)
        for name in ("whole", "taught"):
            studio.datasets.import_file(name, world / "dataset.jsonl")
        augment(studio, "whole")
        if recipe.plan is not None:
            augment(studio, "taught", recipe.plan)
        studio.documents.start_import("taught", world / "articles")
        wait_for(lambda: studio.documents.job("taught").state != "running", 60)
        whole = read_lines(studio.datasets.export_file("whole", "jsonl", studio.exports))
        figures: dict[str, Any] = {"seconds": 0.0, "steps": 0, "tokens": 0}
        run_id = ""
        for stage in recipe.stages:
            values = {"preset": "demo", "dataset": "taught", "heldout_fact_share": HELDOUT_FACTS, "probe_questions": 0}
            run_id, status, seconds = train(studio, values | {"init_run": run_id} | stage | changes)
            figures["seconds"] += round(seconds, 1)
            figures["steps"] += status.step
            figures["tokens"] += trained_tokens(studio.runs.folder(run_id))
        handle = studio.server.ensure("assets/demo/model")
        endpoint = Endpoint(handle.base_url, handle.token)
        for name, questions in question_sets(studio.runs.folder(run_id), world, whole).items():
            for model, label in (("base", "base"), (run_id, "tuned")):
                replies = ask_all(endpoint, model, questions)
                found = figures.setdefault(name, {"questions": len(questions)})
                found[f"{label}_percent"] = round(100 * share_right(questions, replies), 1)
                thought = sum(reply.reasoning_tokens > 0 for reply in replies)
                found[f"{label}_thought_percent"] = round(100 * thought / len(questions), 1)
        studio.server.stop()
        studio.datasets.store.close()
    for name in KNOWN_BEFORE:
        kept = figures[name]
        kept["kept_percent"] = round(100 * kept["tuned_percent"] / kept["base_percent"], 1)
    return figures


def trained_tokens(run: RunFolder) -> int:
    """Tokens that went through the model in a run, padding left out."""
    seconds, tokens = 0.0, 0.0
    for record in run.read_metrics()[0]:
        if record.tokens_per_s is not None:
            tokens += record.tokens_per_s * (record.elapsed_s - seconds)
            seconds = record.elapsed_s
    return round(tokens)


def sweep(choices: list[str]) -> None:
    """Print what the default gives with each combination of values, on the worlds that it may be chosen by."""
    names = [choice.partition("=")[0] for choice in choices]
    values = [[json.loads(value) for value in choice.partition("=")[2].split(",")] for choice in choices]
    for combination in itertools.product(*values):
        changes = dict(zip(names, combination, strict=True))
        for seed in SWEPT:
            print(json.dumps(changes), "seed", seed, line(grade(seed, RECIPES["recommended"], changes)), flush=True)


def line(figures: dict[str, Any]) -> str:
    """One recipe on one world, as a line of the table."""
    sets = ("trained", "heldout_phrasing", "reverse", "heldout_fact")
    scores = " ".join(f"{name} {figures[name]['tuned_percent']:5}" for name in sets)
    kept = " ".join(f"{name} kept {figures[name]['kept_percent']:5}" for name in KNOWN_BEFORE)
    return f"{scores} {kept} | {figures['steps']} steps, {figures['seconds']:.0f} s, {figures['tokens']:,} tokens"


def graded() -> Iterator[tuple[str, int, Recipe]]:
    """Every recipe on one world, the recommended one on all that grade."""
    for name, recipe in RECIPES.items():
        for seed in GRADED if name == "recommended" else GRADED[:1]:
            yield name, seed, recipe


def main() -> None:
    """Grade and keep, or sweep and print."""
    if sys.argv[1:2] == ["sweep"]:
        return sweep(sys.argv[2:])
    wanted = sys.argv[1:] or list(RECIPES)
    kept = json.loads(RESULT.read_text("utf-8"))["recipes"] if RESULT.exists() else {}
    table = {name: {} if name in wanted else kept.get(name, {}) for name in RECIPES}
    for name, seed, recipe in graded():
        if name in wanted:
            figures = grade(seed, recipe, {})
            table[name][f"seed_{seed}"] = figures | {"load_average": round(os.getloadavg()[1], 1)}
            print(f"{name:22} seed {seed} {line(figures)}", flush=True)
            keep({name: worlds for name, worlds in table.items() if worlds})
    aims = [(name, "tuned_percent") for name in ("trained", "heldout_phrasing", "reverse")]
    for sets, score in [*aims, *((name, "kept_percent") for name in KNOWN_BEFORE)]:
        if scores := [figures[sets][score] for figures in table["recommended"].values()]:
            print(f"recommended {sets}: mean {statistics.mean(scores):.1f}, lowest {min(scores)}")


def keep(table: dict[str, dict[str, Any]]) -> None:
    """Write what is graded so far: the results, and what the training tab shows of them."""
    save("injection", {"recipes": table})
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(shown(table), indent=2) + "\n", encoding="utf-8")


def shown(table: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What the training tab shows: the means over a recipe's worlds, of seconds the median."""
    middle = {"seconds": statistics.median}
    told = {column: (column, "kept_percent" if column in KNOWN_BEFORE else "tuned_percent") for column in COLUMNS}
    return {
        recipe: {
            column: round(
                middle.get(column, statistics.mean)(_figure(world, *told[column]) for world in worlds.values()), 1
            )
            for column in COLUMNS
        }
        for recipe, worlds in table.items()
    }


def _figure(world: dict[str, Any], column: str, score: str) -> float:
    found = world[column]
    return float(found[score] if isinstance(found, dict) else found)


if __name__ == "__main__":
    main()
