"""One run in several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from studio.runs.process import process_of
from tests.worker.running import losses, make_examples, make_run, spawn, wait_until, write_examples
from training import launch, recipe, worker
from training.contract import PROJECT_ROOT, RunConfig, RunFolder
from training.errors import RunError

pytestmark = pytest.mark.usefixtures("signals_restored")


def test_two_processes_give_the_losses_of_one_with_the_same_global_batch(tiny_model: Path, tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "one", tiny_model, max_steps=8, per_device_train_batch_size=4),
        make_run(tmp_path / "two", tiny_model, max_steps=8, per_device_train_batch_size=2, num_processes=2),
    ]
    for run in runs:
        write_examples(run, make_examples(facts=8))
    assert worker.main([str(runs[0].root)]) == 0
    assert spawn(runs[1]).wait(timeout=300) == 0, runs[1].log.read_text("utf-8")
    one, two = map(losses, runs)
    assert [step for step, _ in two] == list(range(1, 9))
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=1e-3)
    fifth = [run.read_metrics()[0][4] for run in runs]
    tokens = [(record.tokens_per_s or 0) * record.elapsed_s for record in fifth]  # those of every process
    assert tokens[1] == pytest.approx(tokens[0], rel=0.3)
    status = runs[1].read_status()
    assert status and (status.state, status.step) == ("finished", 8)
    assert (runs[1].adapter / "adapter_model.safetensors").is_file()


def config(**changes: object) -> RunConfig:
    return RunConfig(dataset="test", base_model="a/b", **changes)


def test_a_process_launches_others_once_and_only_where_several_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "OBOE_LAUNCHED"):
        monkeypatch.delenv(name, raising=False)
    assert not launch.is_wanted(config())
    assert launch.is_wanted(config(num_processes=2))
    assert launch.is_wanted(config(accelerate_config_file="machines.yaml"))
    monkeypatch.setenv("OBOE_LAUNCHED", "1")
    with pytest.raises(RunError, match="accelerate started 1"):
        launch.is_wanted(config(num_processes=2))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not launch.is_wanted(config(num_processes=2))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends children with their parent, others cannot")
def test_a_killed_launcher_leaves_no_process_that_trains_on() -> None:
    child = (
        "import time; from training import launch; "
        "launch.end_with_launcher(); print('ready', flush=True); time.sleep(60)"
    )
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
        "stdout=subprocess.PIPE, text=True); child.stdout.readline(); print(child.pid, flush=True); child.wait()"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", program, child],
        cwd=PROJECT_ROOT,
        env=os.environ | {"WORLD_SIZE": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout
    pid = int(launcher.stdout.readline())
    assert process_of(pid, None)
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    wait_until(lambda: process_of(pid, None) is None, seconds=20)


def test_what_cannot_be_launched_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(RunError, match=r"nowhere\.yaml"):
        launch.become_launcher(folder, config(accelerate_config_file="/nowhere.yaml"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match="has 1 GPUs"):
        launch.become_launcher(folder, config(num_processes=4))


def test_a_logger_that_is_not_installed_is_named_and_one_that_is_writes_into_the_run_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    monkeypatch.setattr(recipe.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="pip install trackio"):
        recipe._require_loggers(config(report_to=("trackio",)), RunFolder(tmp_path))
    monkeypatch.setattr(recipe.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("TRACKIO_DIR", "/somewhere")
    recipe._require_loggers(config(report_to=("trackio",)), RunFolder(tmp_path))
