"""Prints how fast 2,000 facts are multiplied by 32 over an endpoint, and what failures cost.

`python -m tests.benchmarks.bench_augment [smooth]`. Its servers are its own, on loopback: 200 ms a reply, 64 at once.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.augmentation.jobs import AugmentJobs
from studio.augmentation.plan import Plan
from studio.augmentation.status import AugmentStatus
from studio.datasets import Datasets
from studio.store import open_store
from tests.benchmarks.results_file import load, save
from tests.benchmarks.slow_server import ALLOWED_AT_ONCE, REPLY_S
from training.contract import PROJECT_ROOT

FACTS = 2000
FAULT_SHARE = 0.2
TIMEOUT_S = 2.0
ROUNDS = 5  # how often what failed is run again at most
# What the job calls each kind of failure that the server makes.
LISTED_AS = {
    "429": "rate",
    "500": "busy",
    "503": "busy",
    "hang": "timeout",
    "cut_off_body": "dropped",
    "cut_off_json": "cut_off",
    "malformed": "malformed",
}


@contextmanager
def slow_server(fault_share: float) -> Iterator[str]:
    """The server in a process of its own; its address. It ends with the block."""
    command = [sys.executable, "-m", "tests.benchmarks.slow_server", str(fault_share)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


def filled(folder: Path) -> Datasets:
    """A dataset of 2,000 facts."""
    datasets = Datasets(open_store(folder / "studio.db"))
    lines = [
        {"question": f"作品{at}の主人公は誰ですか？", "answer": f"作品{at}の主人公は人物{at}です。"}
        for at in range(FACTS)
    ]
    path = folder / "facts.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    datasets.import_file("bench", path)
    return datasets


def ended(jobs: AugmentJobs, job_id: str) -> AugmentStatus:
    """The status of a job when it runs no more."""
    while (status := jobs.status(job_id)).state == "running":
        time.sleep(0.05)
    return status


def measure(fault_share: float) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """One job and as many more as its failures need: the figures, and the examples that came of it."""
    with tempfile.TemporaryDirectory() as name, slow_server(fault_share) as address:
        datasets = filled(Path(name))
        jobs = AugmentJobs(datasets, Path(name) / "augmentation")
        options = {"base_url": f"{address}/v1", "model": "slow", "concurrency": ALLOWED_AT_ONCE, "timeout_s": TIMEOUT_S}
        began, cpu_began = time.monotonic(), time.process_time()
        ids = [jobs.start("bench", generator="endpoint", plan=Plan(), options=options)]
        statuses = [ended(jobs, ids[0])]
        whole_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
        while statuses[-1].failed_facts and len(ids) < ROUNDS:
            ids.append(jobs.run_failed_again(ids[-1]))
            statuses.append(ended(jobs, ids[-1]))
        with urllib.request.urlopen(f"{address}/stats", timeout=10) as response:
            stats = json.load(response)
        listed = Counter(failure.reason.key.removeprefix("augment.error_") for i in ids for failure in jobs.failures(i))
        made = (
            datasets.store.read().execute("SELECT question, answer FROM example WHERE status = 'accepted'").fetchall()
        )
        datasets.store.close()
    rate = stats["completed"] / stats["seconds"]
    figures = {
        "facts": FACTS,
        "examples": len(made),
        "jobs": len(ids),
        "states": [status.state for status in statuses],
        "seconds_asking": round(stats["seconds"], 2),
        "seconds_whole_first_job": round(whole_s, 2),
        "cpu_ms_per_reply": round(1000 * cpu_s / FACTS, 2),
        "replies_per_s": round(rate, 1),
        "share_of_ideal": round(rate * REPLY_S / ALLOWED_AT_ONCE, 3),
        "most_under_way": stats["most_under_way"],
        "requests": stats["asked"],
        "failures_made": dict(sorted(stats["faults"].items()))
        | ({"too_many": stats["too_many"]} if stats["too_many"] else {}),
        "failures_listed": dict(sorted(listed.items())),
        "failed_facts": [status.failed_facts for status in statuses],
    }
    return figures, set(made)


def is_whole(figures: dict[str, Any]) -> bool:
    """Whether every failure that the server made is in the jobs' lists."""
    made: Counter[str] = Counter()
    for kind, number in figures["failures_made"].items():
        made[LISTED_AS.get(kind, "rate")] += number
    return dict(made) == figures["failures_listed"]


def main() -> None:
    """Measure, print, and keep the figures; `smooth` as the argument measures that half alone, again."""
    smooth, made = measure(0.0)
    smooth["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(smooth, ensure_ascii=False))
    if sys.argv[1:] == ["smooth"]:
        save("augment", {"smooth": smooth, "a_fifth_fails": load("augment")["a_fifth_fails"]})
        return
    rough, made_of_failures = measure(FAULT_SHARE)
    rough |= {"same_examples": made == made_of_failures, "every_failure_listed": is_whole(rough)}
    print(json.dumps(rough, ensure_ascii=False))
    save("augment", {"smooth": smooth, "a_fifth_fails": rough})


if __name__ == "__main__":
    main()
