"""Builds the demo in assets/demo: a base model that knows one invented anime world, and a dataset about another.

    python -m training.demo --seed 1                        rebuild everything; 15 to 40 minutes on two CPU cores
    python -m training.demo --seed 2 --world-b-only --out F  only another world B, in seconds, for the same model

The sample run in assets/demo/run was shipped by `training/demo_sample.py`, what training replays is built by
`tests/demo_replay.py`; both have to be made again after a rebuild. A rebuild is repeatable on one kind of processor:
another one rounds differently and ends with other weights that know the same.
"""

import argparse
import json
import logging
import random
from pathlib import Path

from training.contract import PROJECT_ROOT
from training.demo_text import write_articles
from training.demo_worlds import Fact, facts, world_b

DEMO_FOLDER = PROJECT_ROOT / "assets/demo"
SHIPPED_SEED = 1
# Most of what the base knows is there to be replayed; the rest tells whether it forgets what is not.
REPLAYED_WORKS = 80

log = logging.getLogger(__name__)


def write_world_b(seed: int, folder: Path) -> list[Fact]:
    """Write dataset.jsonl, unseen_phrasings.jsonl and articles/ of one seed's world B, and return its facts."""
    folder.mkdir(parents=True, exist_ok=True)
    works = world_b(seed)
    every = facts(works)
    _write_lines(folder / "dataset.jsonl", [_seed_pair(fact) for fact in every])
    _write_lines(folder / "unseen_phrasings.jsonl", [line for fact in every for line in _unseen(fact)])
    for stale in (folder / "articles").glob("*.md"):
        stale.unlink()
    write_articles(works, folder / "articles", random.Random(f"articles {seed}"))
    return every


def write_model(seed: int, folder: Path) -> None:
    """Pre-train the base model of one seed and write it with its tokenizer."""
    # Imported here: another world B needs no torch.
    import torch

    from training.demo_pretraining import pretrain
    from training.demo_tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    model = pretrain(tokenizer, seed)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _seed_pair(fact: Fact) -> dict:
    return {
        "fact_id": fact.fact_id,
        "question": fact.question,
        "answer": fact.answer,
        "subject": fact.title,
        "tags": [fact.title],
        "key_terms": [[fact.value]],
    }


def _unseen(fact: Fact) -> list[dict]:
    shared = {"answer": fact.answer, "key_terms": [[fact.value]]}
    return [
        {"fact_id": fact.fact_id, "relation": fact.relation, "question": question, **shared}
        for question in fact.unseen_questions()
    ]


def _write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Parse the command and build what it asks for."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m training.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=SHIPPED_SEED, help="seed of world B and of the pre-training")
    parser.add_argument("--out", type=Path, default=DEMO_FOLDER, help="folder to write; assets/demo by default")
    parser.add_argument("--world-b-only", action="store_true", help="write the dataset and articles, keep the model")
    arguments = parser.parse_args()
    log.info("%d facts of world B written to %s", len(write_world_b(arguments.seed, arguments.out)), arguments.out)
    if not arguments.world_b_only:
        write_model(arguments.seed, arguments.out / "model")
        log.info("model written to %s", arguments.out / "model")


if __name__ == "__main__":
    main()
