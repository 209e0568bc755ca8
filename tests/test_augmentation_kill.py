"""A job that is killed at any moment goes on where it was: nothing is paid for twice, nothing is missing or doubled."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from studio.augmentation.jobs import AugmentJobs
from studio.augmentation.ledger import read_entries
from studio.augmentation.plan import Plan
from studio.datasets import Datasets
from studio.store import open_store
from tests.openai_server import Answer, Server, openai_server, wordings
from training.contract import PROJECT_ROOT

FACTS = 90
KILLS = 10
CONCURRENCY = 6
PLAN = Plan(forward=4, reverse=2, answers=2)
# What the app does when it starts, and no more: it opens its folder and goes on with what was cut off.
PROGRAM = """
import sys, time
from pathlib import Path
from studio.augmentation.jobs import AugmentJobs
from studio.datasets import Datasets
from studio.store import open_store
folder = Path(sys.argv[1])
jobs = AugmentJobs(Datasets(open_store(folder / "studio.db")), folder / "augmentation")
(job_id,) = jobs.resume_interrupted()
ends = time.monotonic() + 100
while jobs.status(job_id).state == "running" and time.monotonic() < ends:
    time.sleep(0.02)
"""


def reached(condition: Callable[[], bool], bound_s: float = 100) -> None:
    ends = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < ends, "the condition did not come true in time"
        threading.Event().wait(0.002)


def question_of(request: dict) -> str:
    return re.findall(r"^質問: (.*)$", request["messages"][0]["content"], re.MULTILINE)[-1]


def asked_late(state: Server, request: dict) -> Answer:
    threading.Event().wait(random.uniform(0.0, 0.03))  # so that every moment of a request's life is hit
    return wordings(request)


def cut_off_job(folder: Path, server: Server) -> str:
    """A job as the end of the app leaves it before its first request."""
    datasets = Datasets(open_store(folder / "studio.db"))
    datasets.create("anime")
    for number in range(FACTS):
        datasets.add_fact("anime", f"作品{number}の主人公は誰ですか？", f"作品{number}の主人公は人物{number}です。")
    jobs = AugmentJobs(datasets, folder / "augmentation")
    options = {"base_url": server.base_url, "model": "tiny", "concurrency": CONCURRENCY}
    job = jobs.plan_job("anime", generator="endpoint", plan=PLAN, options=options)
    job_folder = folder / "augmentation" / "20260101-000000-abcdef"
    job_folder.mkdir(parents=True)
    (job_folder / "plan.json").write_text(job.model_dump_json(), encoding="utf-8")
    running = '{"state": "running", "dataset": "anime", "generator": "endpoint"}'
    (job_folder / "status.json").write_text(running, encoding="utf-8")
    datasets.store.close()
    return job_folder.name


def resumed(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], cwd=PROJECT_ROOT)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)


def test_ten_kills_pay_for_nothing_twice_and_leave_every_example_once(tmp_path):
    random.seed(7)
    with openai_server(asked_late) as server:
        job_id = cut_off_job(tmp_path, server)
        ledger = tmp_path / "augmentation" / job_id / "ledger.jsonl"
        paid: list[tuple[int, set[int]]] = []  # requests seen by then, and the facts whose reply was on disk
        for number in range(KILLS):
            before, wait = len(server.requests), random.randrange(1, FACTS // KILLS)
            process = resumed(tmp_path)
            if number == KILLS - 1:  # the last one hits while the examples are being added
                reached(lambda: len({entry.key for entry in read_entries(ledger)}) == FACTS)
            else:
                reached(lambda before=before, wait=wait: len(server.requests) >= before + wait)
                threading.Event().wait(random.uniform(0, 0.05))
            kill(process)
            reached(lambda: server.under_way == 0)
            paid.append((len(server.requests), {entry.fact_id for entry in read_entries(ledger)}))
        last = resumed(tmp_path)
        assert last.wait(100) == 0

        asked = [question_of(request) for request in server.requests]
        datasets = Datasets(open_store(tmp_path / "studio.db"))
        facts = {fact.id: fact.question for fact in datasets.facts("anime")}
        for seen, on_disk in paid:
            assert not {facts[fact_id] for fact_id in on_disk} & set(asked[seen:])
        # Counted at the server alone: a connection brings its next request only when the last reply was kept.
        assert server.taken and not [at for at in server.taken if asked[at] in asked[at + 1 :]]
        assert set(asked) == set(facts.values()) and len(asked) <= FACTS + KILLS * (CONCURRENCY * 3 // 2 + 1)
        status = AugmentJobs(datasets, tmp_path / "augmentation").status(job_id)
        assert (status.state, status.done, status.failed_facts) == ("finished", FACTS, 0)
        rows = datasets.store.read().execute("SELECT fact_id, question, answer FROM example").fetchall()
        assert len(rows) == len(set(rows)) == FACTS * PLAN.per_fact
        assert set(Counter(fact_id for fact_id, _, _ in rows).values()) == {PLAN.per_fact}
