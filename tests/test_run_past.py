"""Past runs are found, named, compared and deleted; nothing that is still needed goes."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from studio.errors import RunFailed, UnknownRun
from studio.runs.exports import RunExports
from studio.runs.lease import Waiting, write_waiting
from studio.runs.past import PastRuns
from studio.runs.registry import Runs
from tests.fake_worker import save_adapter
from tests.test_runs import config, eventually, runs_in
from training.contract import Launch, ProbeRecord, RunFolder, RunStatus


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = runs_in(tmp_path)
    yield runs
    for child in runs._children.values():
        child.kill()
        child.wait()


@pytest.fixture
def past(runs: Runs) -> PastRuns:
    return PastRuns(runs)


def made(runs: Runs, run_id: str, state: str = "finished", **fields: object) -> RunFolder:
    folder = RunFolder(runs.root / run_id)
    folder.root.mkdir(parents=True)
    folder.config.write_text(config(**fields).model_dump_json())
    folder.status.write_text(RunStatus.model_validate({"state": state, "step": 9}).model_dump_json())
    age = len(runs.ids())
    os.utime(folder.config, (age, age))
    return folder


def probe(folder: RunFolder, step: int, right: int) -> None:
    record = ProbeRecord(
        step=step, epoch=1, question_set="heldout_phrasing", asked=20, right=right, partly=0, seconds=1.0
    )
    with folder.probes.open("a") as lines:
        lines.write(record.model_dump_json() + "\n")


def test_a_run_is_found_by_any_word_of_its_name_note_data_or_base(runs: Runs, past: PastRuns) -> None:
    made(runs, "a-1", name="銀魂 SFT", base_model="llm-jp/llm-jp-3.1-13b")
    made(runs, "b-1", name="other")
    past.describe("b-1", name="", note="学習率を上げた")

    def found(search: str) -> list[str]:
        return [run.run_id for run in past.find(search)]

    assert found("") == ["b-1", "a-1"]
    assert found("銀魂 ｓｆｔ") == found("LLM-JP") == ["a-1"]
    assert found("学習率") == ["b-1"] and found("学習率 銀魂") == []


def test_a_name_and_a_note_stay_and_the_configuration_stays_as_it_was_started(runs: Runs, past: PastRuns) -> None:
    folder = made(runs, "a-1", name="first")
    before = folder.config.read_bytes()
    assert past.about("a-1").name == "first"
    past.describe("a-1", name=" 二回目 ", note="良い\n結果\ud800")
    assert (past.about("a-1").name, past.about("a-1").note) == ("二回目", "良い\n結果")
    assert (runs.summaries()[0].name, folder.config.read_bytes()) == ("二回目", before)
    with pytest.raises(RunFailed, match=r"81 .* 80 "):
        past.describe("a-1", name="長" * 81, note="")
    with pytest.raises(UnknownRun):
        past.describe("../a-1", name="x", note="")


def test_a_deleted_run_is_gone_with_its_size_and_its_id_is_not_given_again(runs: Runs, past: PastRuns) -> None:
    folder = made(runs, "finishes-1")
    (folder.checkpoints / "checkpoint-5").mkdir(parents=True)
    (folder.checkpoints / "checkpoint-5" / "weights").write_bytes(b"0" * 5000)
    assert past.size_bytes("finishes-1") > 5000
    assert past.delete("finishes-1") > 5000
    assert runs.ids() == [] and list(folder.root.iterdir()) == [] and not list(runs.root.glob(".deleted*"))
    assert runs.start(config("finishes")) == "finishes-2"


def test_what_runs_waits_or_is_needed_is_not_deleted(runs: Runs, past: PastRuns) -> None:
    run_id = runs.start(config())
    eventually(lambda: runs.status(run_id).state == "running")
    with pytest.raises(RunFailed, match="is training"):
        past.delete(run_id)
    made(runs, "first-1")
    made(runs, "second-1", state="failed", init_run="first-1")
    write_waiting(runs.data_dir, Waiting(runs=("second-1",)))
    with pytest.raises(RunFailed, match="queue"):
        past.delete("second-1")
    for state in ("queued", "failed"):
        assert runs.status("second-1").state == state
        with pytest.raises(RunFailed, match="second-1"):
            past.delete("first-1")
        write_waiting(runs.data_dir, Waiting())
    past.delete("second-1")
    assert past.delete("first-1")


def test_a_run_that_is_being_written_out_is_not_deleted(runs: Runs, past: PastRuns) -> None:
    folder = made(runs, "a-1")
    (folder.exports / "merged").mkdir(parents=True)
    launch = Launch(pid=os.getpid(), pid_started=psutil.Process().create_time())
    (folder.exports / "merged" / "launch.json").write_text(launch.model_dump_json())
    with pytest.raises(RunFailed, match="written out"):
        past.delete("a-1")
    (folder.exports / "merged" / "launch.json").write_text(Launch(pid=os.getpid(), pid_started=1.0).model_dump_json())
    assert past.delete("a-1")


def test_a_run_that_trains_on_is_not_written_out(runs: Runs) -> None:
    run_id = runs.start(config())
    save_adapter(runs.folder(run_id))  # what an earlier start of it left
    with pytest.raises(RunFailed, match="is training"):
        RunExports(runs).start(run_id, "merged")


def test_a_run_whose_later_stage_is_finished_can_go(runs: Runs, past: PastRuns) -> None:
    made(runs, "first-1")
    second = made(runs, "second-1", "stopped", init_run="first-1")
    with pytest.raises(RunFailed, match="second-1"):  # resuming it takes the adapter again
        past.delete("first-1")
    second.status.write_text(RunStatus(state="finished").model_dump_json())
    assert past.delete("first-1") and runs.ids() == ["second-1"]


def test_runs_are_compared_by_what_differs_and_by_their_last_probes(runs: Runs, past: PastRuns) -> None:
    one = made(runs, "a-1", name="a", learning_rate=1e-4)
    made(runs, "b-1", name="b", learning_rate=1e-3, target_modules=("attention",))
    for step, right in ((0, 0), (100, 12), (200, 11)):
        probe(one, step, right)
    with one.probes.open("a") as lines:
        lines.write('{"step": 300')
    seen = past.compare(["a-1", "b-1", "a-1"])
    assert seen.names == ("a", "b") and set(seen.settings) == {"learning_rate", "target_modules"}
    assert seen.settings["learning_rate"] == (1e-4, 1e-3)
    last, none = seen.scores["heldout_phrasing"]
    assert last is not None and last.right == 11 and none is None
    one.status.write_text(RunStatus(state="finished", best_step=100).model_dump_json())
    best = past.compare(["a-1"]).scores["heldout_phrasing"][0]
    assert best is not None and best.right == 12


def test_the_runs_of_a_sweep_are_found_from_any_of_them(runs: Runs, past: PastRuns) -> None:
    for run_id in ("s-1", "s-2"):
        made(runs, run_id)
        (runs.root / run_id / "about.json").write_text('{"group": "s-1"}')
    made(runs, "alone-1")
    assert past.siblings("s-2") == ["s-1", "s-2"] and past.siblings("alone-1") == ["alone-1"]
    past.describe("s-1", name="最初", note="")
    assert past.siblings("s-1") == ["s-1", "s-2"]
