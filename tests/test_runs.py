import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from studio.errors import RunActive, RunFailed, UnknownRun
from studio.runs.process import child_environment
from studio.runs.registry import Runs
from training.contract import Launch, ProbeQuestion, RunConfig, RunFolder, RunStatus, TrainingExample

FAKE = (sys.executable, "-m", "tests.fake_worker")
SPLITS = ("train", "train", "heldout_phrasing")


class Examples:
    """A dataset that always holds the same three examples."""

    def __init__(self, splits: tuple[str, ...] = SPLITS) -> None:
        self.splits = splits

    def frozen_examples(self, name: str, config: RunConfig) -> tuple[str, list[TrainingExample]]:
        rest = {
            "fact_id": 1,
            "kind": "seed",
            "answer_style": "short",
            "question": "主人公は？",
            "answer": "霧生ハルです。",
        }
        examples = [TrainingExample(id=at, split=split, **rest) for at, split in enumerate(self.splits, start=1)]
        return config.dataset_version or "v1@5f8a", examples

    def probe_questions(self, config: RunConfig, examples: object, general: object) -> list[ProbeQuestion]:
        return []


def config(name: str = "", **fields) -> RunConfig:
    return RunConfig(**{"preset": "demo", "name": name, "dataset": "demo", "base_model": "someone/model", **fields})


def eventually(condition: Callable[[], object], seconds: float = 15) -> object:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)
    return found


def runs_in(folder: Path, **changes) -> Runs:
    return Runs(folder, **{"datasets": Examples(), "command": FAKE, "require": lambda folder: None, **changes})


@pytest.fixture
def runs(tmp_path) -> Iterator[Runs]:
    runs = runs_in(tmp_path)
    yield runs
    for child in runs._children.values():
        child.kill()
        child.wait()


def test_a_run_starts_stops_and_is_found_again_by_another_ui(runs, tmp_path):
    run_id = runs.start(config())
    assert run_id == "demo-1"
    eventually(lambda: runs.status(run_id).state == "running")
    other = runs_in(tmp_path)
    assert other.active() == run_id and other.status(run_id).step == 3
    assert [example.split for example in other.folder(run_id).read_examples()] == list(SPLITS)
    assert other.stop(run_id).state == "stopping"
    eventually(lambda: other.status(run_id).state == "stopped")
    summary = other.summaries()[0]
    assert (summary.name, summary.has_adapter, summary.ended) == ("demo-1", True, True)
    assert runs.active() is None


def test_a_worker_that_has_not_spoken_yet_is_starting(runs):
    run_id = runs.start(config("silent"))
    assert runs.status(run_id).state == "starting" and runs.active() == run_id
    runs.stop(run_id)
    eventually(lambda: runs.status(run_id).state == "stopped")


def test_a_killed_worker_is_crashed_and_memory_is_named(runs, tmp_path):
    run_id = runs.start(config())
    eventually(lambda: runs.status(run_id).state == "running")
    os.kill(runs.folder(run_id).read_launch().pid, signal.SIGKILL)
    eventually(lambda: runs.status(run_id).state == "crashed")
    assert "memory" in runs.status(run_id).reason and "loading the base" in runs.status(run_id).reason
    assert "メモリ" in runs.status(run_id, "ja").reason
    assert runs.status(run_id).step == 3
    restarted = runs_in(tmp_path)
    assert restarted.status(run_id).state == "crashed" and "memory" in restarted.status(run_id).reason
    assert restarted.active() is None


def test_a_killed_child_is_no_zombie_that_counts_as_alive(runs, tmp_path):
    run_id = runs.start(config())
    eventually(lambda: runs.status(run_id).state == "running")
    pid = runs.folder(run_id).read_launch().pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert runs_in(tmp_path).status(run_id).state == "crashed"
    assert runs.status(run_id).state == "crashed"
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(("name", "said"), [("raises", "CUDA out of memory"), ("exits", "exit code 7")])
def test_a_worker_that_dies_before_its_first_word_is_crashed_with_its_last_line(runs, name, said):
    run_id = runs.start(config(name))
    eventually(lambda: runs.status(run_id).state == "crashed")
    assert said in runs.status(run_id).reason
    assert runs.summaries()[0].reason == runs.status(run_id).reason
    assert runs.start(config("finishes")) == "finishes-1"


def test_one_run_at_a_time(runs):
    first = runs.start(config())
    with pytest.raises(RunActive, match=first) as refused:
        runs.start(config())
    assert first in refused.value.text("ja")
    assert runs.ids() == [first]


def test_two_threads_that_start_at_once_start_one_run(runs):
    outcomes: list[object] = []

    def start() -> None:
        try:
            outcomes.append(runs.start(config()))
        except RunActive as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == runs.ids()
    assert len(outcomes) == 4 and len(runs.ids()) == 1


def test_ids_are_readable_never_reused_and_newest_first(runs):
    for name in ("銀魂", "Anime facts v1.2", "finishes"):
        run_id = runs.start(config(name))
        runs.stop(run_id)
        eventually(lambda run_id=run_id: runs.status(run_id).ended)
    again = runs.start(config("finishes"))
    assert runs.ids() == [again, "finishes-1", "anime-facts-v1-2-1", "demo-1"]
    assert again == "finishes-2"
    assert [summary.name for summary in runs.summaries()][-1] == "銀魂"


@pytest.mark.parametrize("run_id", ["../demo-1", "", ".", ".new", "demo-1/", "demo-1/../demo-1", "nothing-1"])
def test_an_id_is_looked_up_never_joined(runs, run_id):
    runs.start(config())
    with pytest.raises(UnknownRun):
        runs.folder(run_id)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_model": "assets/demo/nothing"}, "assets/demo/nothing"),
        ({"base_model": "/no/such/folder"}, "/no/such/folder"),
        ({"base_model": "a/b/c"}, "a/b/c"),
        ({"base_model": "日本語モデル"}, "日本語モデル"),
    ],
)
def test_a_base_model_that_cannot_be_is_refused_by_name_and_leaves_nothing(runs, fields, said):
    with pytest.raises(RunFailed, match=said):
        runs.start(config(**fields))
    assert runs.ids() == []


def test_a_folder_without_a_model_in_it_is_refused(runs, tmp_path):
    with pytest.raises(RunFailed, match=r"config\.json"):
        runs.start(config(base_model=str(tmp_path)))


@pytest.mark.parametrize("splits", [(), ("heldout_phrasing",)])
def test_a_dataset_with_nothing_to_train_on_is_refused(tmp_path, splits):
    with pytest.raises(RunFailed, match="no accepted examples"):
        runs_in(tmp_path, datasets=Examples(splits)).start(config())
    assert not list(tmp_path.glob("runs/*"))


def test_a_worker_that_cannot_be_spawned_leaves_nothing(tmp_path):
    runs = runs_in(tmp_path, command=("/no/such/python",))
    with pytest.raises(RunFailed, match="could not be started"):
        runs.start(config())
    assert not list(tmp_path.glob("runs/*"))


def test_a_full_disk_gets_a_sentence_and_leaves_nothing(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        with pytest.raises(RunFailed, match="is full") as refused:
            runs_in(small, datasets=Examples(("train",) * 2000)).start(config())
        assert str(small) in refused.value.text("ja")
        assert not list(small.glob("runs/*")) + list(small.glob("runs/.*"))
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_run_from_another_machine_without_a_launch_is_fine_when_it_had_ended(runs, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "theirs-1")
    folder.root.mkdir(parents=True)
    folder.config.write_text(config().model_dump_json())
    folder.status.write_text(RunStatus(state="finished", step=9, total_steps=9).model_dump_json())
    assert runs.status("theirs-1").state == "finished"
    folder.status.write_text(RunStatus(state="running", pid=os.getpid(), pid_started=1.0).model_dump_json())
    assert runs.status("theirs-1").state == "crashed"
    folder.launch.write_text(Launch(pid=os.getpid(), pid_started=1.0).model_dump_json())
    assert "restarted" in runs.status("theirs-1").reason


def test_a_folder_whose_worker_was_never_started_is_crashed_once_it_is_old(runs, tmp_path):
    folder = RunFolder(tmp_path / "runs" / "orphan-1")
    folder.root.mkdir(parents=True)
    folder.config.write_text(config().model_dump_json())
    assert runs.status("orphan-1").state == "starting"
    os.utime(folder.config, (1, 1))
    assert runs.status("orphan-1").state == "crashed"


def test_a_broken_file_spoils_its_own_run_only(runs, tmp_path):
    good = runs.start(config("finishes"))
    eventually(lambda: runs.status(good).ended)
    broken = tmp_path / "runs" / "broken-1"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    (broken / "status.json").write_text("not json")
    (tmp_path / "runs" / "not a run.txt").write_text("")
    os.utime(broken / "config.json", (1, 1))
    assert [(line.run_id, line.state) for line in runs.summaries()] == [(good, "finished"), ("broken-1", "crashed")]
    with pytest.raises(RunFailed, match="broken-1"):
        runs.config("broken-1")


def test_the_sample_run_is_installed_once_and_stays_away_when_deleted(runs, tmp_path):
    sample = tmp_path / "sample"
    (sample / "adapter").mkdir(parents=True)
    (sample / "config.json").write_text(config("見本").model_dump_json())
    (sample / "status.json").write_text(RunStatus(state="finished").model_dump_json())
    runs.install_sample(tmp_path / "missing")
    assert runs.ids() == []
    runs.install_sample(sample)
    runs.install_sample(sample)
    assert [(line.run_id, line.name, line.state) for line in runs.summaries()] == [("demo-sample", "見本", "finished")]
    shutil.rmtree(tmp_path / "runs" / "demo-sample")
    runs.install_sample(sample)
    assert runs.ids() == []


def test_children_find_our_own_studio_package_from_any_folder(tmp_path):
    printed = subprocess.run(
        [sys.executable, "-c", "import studio; print(studio.__file__)"],
        cwd=tmp_path,
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(printed.stdout.strip()).parents[1] == Path(__file__).parents[1]


def test_starting_on_a_machine_that_cannot_train_is_refused_before_anything_is_written(tmp_path):
    def refuse(folder: Path) -> None:
        raise RunFailed("environment.gpu_unusable", cuda="13.0", driver="535.1")

    with pytest.raises(RunFailed, match="fall back"):
        runs_in(tmp_path, require=refuse).start(config())
    assert not list(tmp_path.iterdir())
