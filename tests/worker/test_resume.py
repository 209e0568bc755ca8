"""A run that breaks off goes on as if nothing had happened."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.worker.running import losses, make_run, spawn, wait_until
from training import checkpoints, launch, worker
from training.contract import PROJECT_ROOT as ROOT
from training.contract import MetricRecord, ProbeAnswer, ProbeRecord, RunFolder, RunStatus
from training.trainer import RunTrainer

pytestmark = pytest.mark.usefixtures("signals_restored")

# Five steps an epoch. Dropout makes every random number count.
STEPS = {"max_steps": 12, "lora_dropout": 0.2, "save_steps": 4}


def finish(folder: RunFolder) -> RunFolder:
    assert worker.main([str(folder.root)]) == 0, folder.log
    return folder


def status_of(folder: RunFolder) -> RunStatus:
    status = folder.read_status()
    assert status
    return status


def adapter_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.adapter / "adapter_model.safetensors")


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, do: Callable[[], object]) -> None:
    """Do something in the middle of a step."""
    training_step = RunTrainer.training_step

    def watched(trainer: RunTrainer, *rest: Any) -> Any:
        if trainer.state.global_step + 1 == step:
            do()
        return training_step(trainer, *rest)

    monkeypatch.setattr(RunTrainer, "training_step", watched)


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nothing disturbed."""
    return finish(make_run(tmp_path_factory.mktemp("whole"), tiny_model, **STEPS))


@pytest.fixture(scope="module")
def killed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run, killed with -9 in step 11: its checkpoints are of steps 4 and 8."""
    folder = make_run(tmp_path_factory.mktemp("killed"), tiny_model, **STEPS)
    assert spawn(folder, "11").wait(timeout=300) == -9
    return folder


def copied(folder: RunFolder, root: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(folder.root, root / "run")))


def assert_same_course(folder: RunFolder, whole: RunFolder, resumed_from: int | None) -> None:
    status = folder.read_status()
    assert status and (status.state, status.resumed_from_step) == ("finished", resumed_from)
    assert losses(folder) == losses(whole)
    evaluated = [[(r.step, r.eval_loss) for r in run.read_metrics()[0] if r.eval_loss] for run in (folder, whole)]
    assert evaluated[0] == evaluated[1]
    elapsed = [record.elapsed_s for record in folder.read_metrics()[0]]
    assert elapsed == sorted(elapsed)
    mine, theirs = adapter_of(folder), adapter_of(whole)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_run_killed_within_an_epoch_goes_on_to_the_very_same_adapter(
    killed: RunFolder, whole: RunFolder, tmp_path: Path
) -> None:
    assert [step for step, _ in losses(killed)] == list(range(1, 11))
    assert_same_course(finish(copied(killed, tmp_path)), whole, 8)


@pytest.mark.parametrize(
    "damage",
    [
        lambda checkpoint: (checkpoint / "trainer_state.json").unlink(),
        lambda checkpoint: os.truncate(checkpoint / "optimizer.pt", 2000),
        lambda checkpoint: os.truncate(checkpoint / "adapter_model.safetensors", 5000),
    ],
)
def test_a_half_written_checkpoint_is_passed_over(
    killed: RunFolder, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = copied(killed, tmp_path)
    damage(folder.checkpoints / "checkpoint-8")
    found = checkpoints.last_whole(folder.checkpoints)
    assert found and checkpoints.step_of(found) == 4


def test_a_stopped_run_goes_on_from_the_step_of_the_stop(
    tiny_model: Path, whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path, tiny_model, **STEPS)
    with monkeypatch.context() as patched:
        at_step(patched, 7, folder.stop.touch)
        finish(folder)
    status = folder.read_status()
    assert status and (status.state, status.step) == ("stopped", 7)
    assert folder.adapter.is_dir()
    folder.stop.unlink()
    assert_same_course(finish(folder), whole, 7)


def test_a_run_that_ends_while_it_loads_again_stands_where_it_stood(killed: RunFolder, tmp_path: Path) -> None:
    folder = copied(killed, tmp_path)
    again = spawn(folder)
    wait_until(lambda: status_of(folder).pid == again.pid)
    again.kill()
    again.wait()
    assert (status_of(folder).state, status_of(folder).total_steps) == ("starting", 12)
    assert 8 <= status_of(folder).step <= 10
    folder.stop.touch()
    status = status_of(finish(folder))
    assert (status.state, status.step, status.total_steps) == ("stopped", 8, 12)


def test_a_run_killed_between_its_adapter_and_its_last_word_goes_on_from_its_checkpoints(
    killed: RunFolder, whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt  # like SIGKILL, nothing in the worker outlives it

    folder = copied(killed, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(worker.Report, "end", die)
        with pytest.raises(KeyboardInterrupt):
            worker.main([str(folder.root)])
    assert folder.adapter.is_dir()
    assert_same_course(finish(folder), whole, 8)
    assert list(folder.checkpoints.iterdir()) == []


def test_a_failure_at_the_beginning_of_an_epoch_loses_nothing(
    tiny_model: Path, whole: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    folder = make_run(tmp_path, tiny_model, **STEPS | {"save_steps": 5})
    with monkeypatch.context() as patched:
        at_step(patched, 6, fail)
        assert worker.main([str(folder.root)]) == 1
    status = folder.read_status()
    assert status and status.reason_code == "worker.error_cuda"
    assert_same_course(finish(folder), whole, 5)


def test_memory_that_runs_out_is_survived_with_smaller_passes_and_the_same_steps(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = STEPS | {"lora_dropout": 0.0, "save_steps": 2, "max_steps": 6}
    calm = finish(make_run(tmp_path / "calm", tiny_model, **settings))
    folder = make_run(tmp_path / "tight", tiny_model, **settings)
    training_step = RunTrainer.training_step

    def tight(trainer: RunTrainer, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        if trainer.state.global_step >= 3 and len(inputs["input_ids"]) >= 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return training_step(trainer, model, inputs, *rest)

    class StartsAgain(Exception):
        """Stands for the new process, which this one cannot become."""

    def start_again() -> None:
        raise StartsAgain

    monkeypatch.setattr(RunTrainer, "training_step", tight)
    monkeypatch.setattr(launch, "start_again", start_again)
    with pytest.raises(StartsAgain):
        worker.main([str(folder.root)])
    status = finish(folder).read_status()
    assert status and (status.per_device_train_batch_size, status.gradient_accumulation_steps) == (2, 2)
    assert (status.out_of_memory_retries, status.resumed_from_step) == (1, 2)
    assert [loss for _, loss in losses(folder)] == pytest.approx([loss for _, loss in losses(calm)], rel=1e-4)


def test_a_process_that_starts_again_keeps_its_pid_and_its_command() -> None:
    again = (
        "import os, sys; from training import launch; print(os.getpid(), sys.argv[1:], flush=True); "
        "'OBOE_LAUNCHED' in os.environ or launch.start_again()"
    )
    said = subprocess.run([sys.executable, "-c", again, "run"], capture_output=True, text=True, check=True, cwd=ROOT)
    first, second = said.stdout.splitlines()
    assert first == second and first.endswith("['run']")


def test_memory_that_does_not_suffice_for_one_sequence_gets_a_sentence(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    at_step(monkeypatch, 2, fail)
    folder = make_run(tmp_path, tiny_model, per_device_train_batch_size=1)
    assert worker.main([str(folder.root)]) == 1
    status = folder.read_status()
    assert status and status.reason_code == "worker.error_out_of_memory"
    assert status.reason_values["batch_size"] == "1"


def test_a_full_disk_ends_the_run_cleanly_and_keeps_the_last_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(small)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        folder = make_run(small / "run", tiny_model, max_steps=6, save_steps=1)
        assert worker.main([str(folder.root)]) == 1
        status = folder.read_status()
        assert status and (status.state, status.reason_code) == ("failed", "worker.error_disk_full")
        found = checkpoints.last_whole(folder.checkpoints)
        assert found and not (folder.checkpoints / checkpoints.UNFINISHED).exists()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        finish(folder)
        assert [step for step, _ in losses(folder)] == list(range(1, 7))
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_records_after_the_checkpoint_are_cut_and_a_half_line_with_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    records = [MetricRecord(step=step, total_steps=9, epoch=0, elapsed_s=step / 2, loss=1.0) for step in range(1, 7)]
    lines = "".join(record.model_dump_json() + "\n" for record in records)
    folder.metrics.write_text(lines + '{"step": 4, "total_st')
    assert checkpoints.cut_records(folder, 4) == 2.0
    assert [record.step for record in folder.read_metrics()[0]] == [1, 2, 3, 4]
    assert checkpoints.cut_records(folder, 0) == 0.0
    assert folder.metrics.read_bytes() == b""


def test_answers_are_kept_whatever_they_hold_and_a_half_character_is_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    answer = ProbeAnswer(question="誰？", answer="一行目\u2028二行目\u0085", reply_state="ok", verdict="right")
    asked = {"epoch": 1, "question_set": "trained", "asked": 1, "right": 1, "partly": 0, "seconds": 1}
    line = ProbeRecord(step=4, answers=(answer,), **asked).model_dump_json() + "\n"
    folder.probes.write_bytes(line.encode() + line.encode()[: line.encode().index("誰".encode()) + 1])
    checkpoints.cut_records(folder, 4)
    (record,) = folder.read_probes()[0]
    assert record.answers == (answer,) and folder.probes.read_text("utf-8") == line
