"""Facts recovered from flat files without ids: how well and how fast. Writes results/recovery.json.

`python -m tests.benchmarks.bench_recovery [a JSONL file of question and answer ...]`
"""

import json
import sys
import time
from pathlib import Path

from studio.augmentation.plan import Plan
from studio.datasets.recovery import propose
from tests.benchmarks import results_file
from tests.made_facts import Row, flat_file, made_facts
from tests.test_recovery import Pair, f1

SIZES = (300, 2000)


def main(paths: list[str]) -> None:
    measured = {}
    for facts in SIZES:
        rows = flat_file(made_facts(facts, seed=1), Plan(), seed=1)
        groups, cpu_s = timed(rows)
        kinds = {at for group in groups for at in group.reverse}
        told = sum((row.kind == "reverse") == (at in kinds) for at, row in enumerate(rows)) / len(rows)
        measured[f"facts_{facts}"] = {
            "rows": len(rows),
            "groups": len(groups),
            "pairwise_f1": round(f1(groups, [row.fact for row in rows]), 4),
            "kinds_right": round(told, 4),
            "cpu_s": round(cpu_s, 2),
        }
    for path in map(Path, paths):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        groups, cpu_s = timed([Pair(line["question"], line["answer"]) for line in lines])
        several = [group for group in groups if len(group.members) > 1]
        measured[path.stem] = {
            "rows": len(lines),
            "groups_of_several": len(several),
            "rows_in_them": sum(len(group.members) for group in several),
            "cpu_s": round(cpu_s, 2),
        }
    results_file.save("recovery", measured)
    print(json.dumps(measured, indent=1))


def timed(rows: list[Row] | list[Pair]) -> tuple[list, float]:
    """The groups, and the processor's seconds: other programs' work is not this one's."""
    started = time.process_time()
    groups = propose(rows)
    return groups, time.process_time() - started


if __name__ == "__main__":
    main(sys.argv[1:])
