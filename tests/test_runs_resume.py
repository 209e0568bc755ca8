"""A run that broke off can go on, and what went wrong is told in words."""

import os
import signal

import pytest

from studio.errors import RunFailed
from studio.runs import last_words
from studio.runs.lease import handover
from studio.runs.resume import require_resumable, resume
from tests.test_runs import config, eventually, runs, runs_in
from training.contract import RunFolder, RunStatus

__all__ = ["runs"]


def go_on(runs, run_id):
    with handover(runs.data_dir):
        require_resumable(run_id, runs.status(run_id))
        resume(runs.folder(run_id), runs.launch)


def test_a_killed_run_goes_on_under_its_own_id(runs):
    run_id = runs.start(config())
    eventually(lambda: runs.status(run_id).state == "running")
    os.kill(runs.folder(run_id).read_launch().pid, signal.SIGKILL)
    eventually(lambda: runs.status(run_id).state == "crashed")
    go_on(runs, run_id)
    assert not runs.status(run_id).ended and runs.active() == run_id
    runs.stop(run_id)
    eventually(lambda: runs.status(run_id).state == "stopped")


def test_a_failed_run_says_nothing_of_its_failure_once_it_goes_on_and_keeps_what_it_learned(runs):
    run_id = runs.start(config("exits"))
    eventually(lambda: runs.status(run_id).ended)
    folder = runs.folder(run_id)
    known = RunStatus(state="failed", reason="the disk is full", step=7, per_device_train_batch_size=2)
    folder.status.write_text(known.model_dump_json())
    folder.stop.touch()
    go_on(runs, run_id)
    status = folder.read_status()
    assert (status.state, status.reason, status.step, status.per_device_train_batch_size) == ("starting", "", 7, 2)
    assert not folder.stop.exists()


def test_a_run_that_cannot_be_launched_again_keeps_its_last_words(runs, tmp_path):
    run_id = runs.start(config("finishes"))
    eventually(lambda: runs.status(run_id).ended)
    folder = runs.folder(run_id)
    folder.status.write_text(RunStatus(state="failed", reason="a reason").model_dump_json())
    with pytest.raises(RunFailed, match="could not be started"):
        go_on(runs_in(tmp_path, command=("/no/such/python",)), run_id)
    assert runs.status(run_id).reason == "a reason"


def test_a_finished_and_a_living_run_cannot_be_resumed(runs):
    finished = runs.start(config("finishes"))
    eventually(lambda: runs.status(finished).state == "finished")
    with pytest.raises(RunFailed, match="nothing left to train"):
        require_resumable(finished, runs.status(finished))
    living = runs.start(config())
    with pytest.raises(RunFailed, match="is training"):
        require_resumable(living, runs.status(living))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch.AcceleratorError: CUDA error: an illegal memory access was encountered", "The GPU reported an error"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "ran out of memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", "ran out of memory"),
        ("something else", "killed"),
    ],
)
def test_the_log_says_more_surely_than_the_exit_code_why_a_worker_died(tmp_path, line, said):
    folder = RunFolder(tmp_path)
    folder.log.write_text(f"10:00 training.worker: begins\nloading\n{line}\n")
    assert said in last_words.reason(folder, -signal.SIGKILL, "en")


def test_the_failure_of_an_earlier_process_is_not_blamed_on_the_one_that_went_on(tmp_path):
    folder = RunFolder(tmp_path)
    folder.log.write_text("x training.worker: begins\nRuntimeError: CUDA error\nx training.worker: begins\nloading\n")
    assert last_words.last_line(folder.log) == "loading"
