"""Runs wait for the one device in an order that people choose, and a chain's later run for the one before it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import RunFailed, UnknownRun
from studio.runs.about import read_about
from studio.runs.lease import Waiting, waiting, write_waiting
from studio.runs.plans import Plan
from studio.runs.queue import RunQueue
from studio.runs.registry import Runs
from studio.runs.server import ModelServer
from tests.test_runs import config, eventually, runs_in
from tests.test_runs_server import FAKE as FAKE_SERVER
from tests.test_runs_server import base, trained
from training.contract import RunFolder

POLL_S = 0.02


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = runs_in(tmp_path)
    yield runs
    write_waiting(runs.data_dir, Waiting())
    for child in runs._children.values():
        child.kill()
        child.wait()


@pytest.fixture
def queue(runs: Runs) -> RunQueue:
    """A queue that goes on only where a test says so."""
    queue = RunQueue(runs, restore=lambda base_model: None, poll_s=POLL_S)
    queue.wake = lambda: None  # type: ignore[method-assign]
    return queue


def single(name: str = "", **fields: object) -> Plan:
    return Plan((config(name, **fields),))


def chained(*names: str) -> Plan:
    return Plan(tuple(config(name) for name in names), "chain")


def ended(runs: Runs, run_id: str) -> None:
    eventually(lambda: runs.status(run_id).ended)


def kill(runs: Runs, run_id: str) -> None:
    launch = eventually(lambda: runs.folder(run_id).read_launch())
    os.kill(launch.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    ended(runs, run_id)


def states(runs: Runs) -> dict[str, str]:
    return {run.run_id: run.state for run in runs.summaries()}


def test_the_first_run_starts_at_once_and_the_next_when_it_is_over(runs: Runs, queue: RunQueue) -> None:
    (first,) = queue.submit(single())
    (second,) = queue.submit(single("saves"))
    assert runs.active() == first and queue.ids() == [second]
    assert runs.status(second).state == "queued" and not runs.status(second).reason
    assert queue.advance() is None
    runs.stop(first)
    ended(runs, first)
    assert queue.advance() == second and queue.ids() == []
    ended(runs, second)
    assert runs.status(second).state == "finished"


def test_data_is_frozen_when_a_run_is_queued_not_when_it_starts(runs: Runs, queue: RunQueue) -> None:
    queue.submit(single())
    (second,) = queue.submit(single("saves"))
    assert len(runs.folder(second).read_examples()) == 3
    assert runs.config(second).dataset_version == "v1@5f8a"


def test_waiting_runs_change_places_and_are_cancelled(runs: Runs, queue: RunQueue) -> None:
    queue.submit(single())
    waiting_runs = [queue.submit(single(name))[0] for name in ("b", "c", "d")]
    queue.move("d-1", -2)
    assert queue.ids() == ["d-1", "b-1", "c-1"]
    queue.move("d-1", 1)
    queue.move("c-1", -99)
    assert queue.ids() == ["c-1", "b-1", "d-1"]
    assert queue.cancel("b-1") == ["b-1"] and queue.ids() == ["c-1", "d-1"]
    assert "b-1" not in runs.ids() and not (runs.root / "b-1").exists() and len(waiting_runs) == 3
    for refused in (lambda: queue.cancel("b-1"), lambda: queue.move("demo-1", 1)):
        with pytest.raises(RunFailed, match="not waiting"):
            refused()


def test_a_restarted_studio_finds_the_queue_and_goes_on_with_it(runs: Runs, queue: RunQueue, tmp_path: Path) -> None:
    (first,) = queue.submit(single())
    (second,) = queue.submit(single("saves"))
    other = runs_in(tmp_path)
    again = RunQueue(other, restore=lambda base_model: None, poll_s=POLL_S)
    assert again.ids() == [second] and other.status(second).state == "queued"
    again.wake()
    other.stop(first)
    eventually(lambda: other.status(second).state == "finished")
    eventually(lambda: not again._thread.is_alive())  # type: ignore[union-attr]


def test_two_studios_over_one_folder_start_a_waiting_run_once(runs: Runs, queue: RunQueue, tmp_path: Path) -> None:
    (first,) = queue.submit(single())
    (second,) = queue.submit(single())
    runs.stop(first)
    ended(runs, first)
    queues = [queue, *(RunQueue(runs_in(tmp_path), restore=lambda base_model: None) for _ in range(3))]
    started: list[str | None] = []
    threads = [threading.Thread(target=lambda one=one: started.append(one.advance())) for one in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, started)) == ["None", "None", "None", second]
    for one in queues:
        one.runs.stop(second)
    ended(runs, second)


def test_a_run_that_was_launched_by_a_studio_that_died_then_is_not_launched_again(runs: Runs, queue: RunQueue) -> None:
    (first,) = queue.submit(single())
    write_waiting(runs.data_dir, Waiting(runs=(first,)))
    assert runs.status(first).state != "queued"
    assert queue.advance() is None and queue.ids() == []
    runs.stop(first)
    ended(runs, first)
    (second,) = queue.submit(single("saves"))
    ended(runs, second)
    write_waiting(runs.data_dir, Waiting(runs=(second,)))
    assert queue.ids() == [] and queue.advance() is None and runs.status(second).state == "finished"


def test_a_chain_is_two_runs_of_which_the_second_goes_on_from_the_first(runs: Runs, queue: RunQueue) -> None:
    first, second = queue.submit(chained("saves", "saves"))
    assert runs.config(second).init_run == first and runs.config(first).init_run == ""
    ended(runs, first)
    assert queue.advance() == second
    ended(runs, second)
    assert [run.run_id for run in runs.summaries() if run.has_adapter] == [second, first]


def test_the_second_of_a_chain_waits_and_says_for_what(runs: Runs, queue: RunQueue) -> None:
    first, second = queue.submit(chained("", "saves"))
    assert first in runs.status(second).reason and "引き継ぐ" in runs.status(second, "ja").reason
    kill(runs, first)
    assert "without an adapter" in runs.status(second).reason and first in runs.status(second).reason
    assert queue.advance() is None and queue.ids() == [second]
    (third,) = queue.submit(single("saves"))
    assert queue.ids() == [second], "what can start does not wait behind what cannot"
    ended(runs, third)
    assert queue.cancel(second) == [second] and states(runs) == {third: "finished", first: "crashed"}


def test_a_stage_that_a_person_stopped_ends_the_chain_until_it_is_resumed(runs: Runs, queue: RunQueue) -> None:
    first, second = queue.submit(Plan((config("resumes"), config("saves")), "chain"))
    eventually(lambda: runs.status(first).state == "running")
    assert queue.stop(first) == "stopping"
    ended(runs, first)
    assert queue.advance() is None and queue.ids() == [second]
    assert "stopped midway" in runs.status(second).reason and "停止" in runs.status(second, "ja").reason
    (other,) = queue.submit(single("saves", init_run=first))
    ended(runs, other)
    assert runs.status(other).state == "finished", "what is made of a stopped run's adapter takes it as it is"
    queue.resume(first)
    ended(runs, first)
    assert runs.status(first).state == "finished" and queue.advance() == second


def test_cancelling_a_stage_cancels_what_was_to_go_on_from_it(runs: Runs, queue: RunQueue) -> None:
    queue.submit(single("busy"))
    run_ids = queue.submit(chained("a", "b", "c"))
    (other,) = queue.submit(single("d"))
    queue.move(run_ids[2], -9)
    assert sorted(queue.cancel(run_ids[0])) == sorted(run_ids) and queue.ids() == [other]


def test_a_run_goes_on_from_a_run_of_the_same_base_only(runs: Runs, queue: RunQueue) -> None:
    trained(runs, "old-1", "someone/model")
    trained(runs, "other-1", "someone/else")
    for init_run, said in (("../old-1", "old-1"), ("nobody-1", "nobody-1")):
        with pytest.raises(UnknownRun, match=said):
            queue.submit(single(init_run=init_run))
    with pytest.raises(RunFailed, match="someone/else"):
        queue.submit(single(init_run="other-1"))
    (runs.root / "old-1" / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(RunFailed, match="no adapter"):
        queue.submit(single(init_run="old-1"))
    assert len(runs.ids()) == 2 and queue.ids() == []


def test_runs_of_a_sweep_know_each_other(runs: Runs, queue: RunQueue) -> None:
    plan = Plan((config("saves", learning_rate=1e-4), config("saves", learning_rate=1e-3)), "sweep")
    run_ids = queue.submit(plan)
    assert {read_about(runs.folder(run_id)).group for run_id in run_ids} == {run_ids[0]}


def test_a_worker_that_cannot_be_spawned_is_a_failed_run_that_says_so(runs: Runs, queue: RunQueue) -> None:
    runs.command = ("/no/such/python",)
    (run_id,) = queue.submit(single())
    assert (runs.status(run_id).state, queue.ids()) == ("failed", [])
    assert "起動できません" in runs.status(run_id, "ja").reason


def test_a_broken_queue_file_is_an_empty_queue(runs: Runs, queue: RunQueue) -> None:
    runs.root.mkdir()
    (runs.data_dir / "queue.json").write_text("{")
    assert queue.ids() == [] and queue.advance() is None
    (runs.data_dir / "queue.json").write_text('{"runs": ["../x", "gone-1"]}')
    assert queue.ids() == []


def test_the_server_gives_its_memory_to_a_run_and_comes_back_when_nothing_waits(runs: Runs, tmp_path: Path) -> None:
    model = base(tmp_path)
    server = ModelServer(runs.data_dir, runs, command=(sys.executable, *FAKE_SERVER[1:]))
    queue = RunQueue(runs, server.come_back, poll_s=POLL_S)
    before = server.ensure(model)
    try:
        first, second = queue.submit(chained("completes", "saves"))
        assert server.status().state == "absent" and waiting(runs.data_dir).server_base == model
        runs.stop(first)
        eventually(lambda: server.status().state == "ready", seconds=60)
        assert runs.status(second).state == "finished" and not waiting(runs.data_dir).server_base
        assert server.ensure(model) != before
    finally:
        server.stop()


def test_a_server_that_was_not_there_does_not_come_back(runs: Runs, queue: RunQueue) -> None:
    (run_id,) = queue.submit(single("saves"))
    ended(runs, run_id)
    assert not waiting(runs.data_dir).server_base


def test_a_resumed_run_waits_its_turn_and_what_was_to_go_on_from_it_starts_after_it(
    runs: Runs, queue: RunQueue
) -> None:
    first, second = queue.submit(Plan((config("resumes"), config("saves")), "chain"))
    eventually(lambda: runs.status(first).state == "running")
    kill(runs, first)
    (other,) = queue.submit(single())
    queue.resume(first)
    assert runs.status(first).state == "queued" and runs.status(first).step == 3
    with pytest.raises(RunFailed):
        queue.resume(other)
    runs.stop(other)
    ended(runs, other)
    assert queue.advance() == first and queue.ids() == [second]
    ended(runs, first)
    assert runs.status(first).state == "finished" and queue.advance() == second
    with pytest.raises(RunFailed, match=first):
        queue.resume(first)


def test_a_cancelled_run_that_was_to_be_resumed_keeps_its_files_and_what_waits_for_it(
    runs: Runs, queue: RunQueue
) -> None:
    (first,) = queue.submit(single())
    eventually(lambda: runs.status(first).state == "running")
    (second,) = queue.submit(single("saves", init_run=first))
    kill(runs, first)
    write_waiting(runs.data_dir, Waiting(runs=(first, second)))
    assert runs.status(first).state == "queued" and runs.status(first).step == 3
    assert queue.cancel(first) == [first]
    assert runs.status(first).state == "crashed" and RunFolder(runs.root / first).examples.exists()
    assert queue.ids() == [second] and first in runs.status(second).reason
