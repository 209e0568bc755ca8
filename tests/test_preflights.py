"""The check before a start as the UI drives it: a bounded child, a kept result, a sentence for all that fails."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from studio.datasets import Datasets
from studio.datasets.documents import Documents
from studio.datasets.versions import Versions
from studio.errors import RunFailed
from studio.house import DEMO
from studio.runs import preflight
from studio.runs.preflight import AsTheyAre, Preflights
from studio.runs.speed import Speed, expected_seconds, measured_speed, within
from studio.store import open_store
from tests.test_runs import Examples, eventually, runs_in
from training.contract import PROJECT_ROOT, Launch, MetricRecord, RunConfig, RunFolder
from training.preflight_report import Finding, Preflight

CONFIG = RunConfig(dataset="demo", base_model="assets/demo/model", name="mine")
ANSWERS = """
import sys, pathlib
from training.contract import RunFolder
from training.preflight_report import Preflight, counts_of
folder = RunFolder(pathlib.Path(sys.argv[1]))
found = Preflight(**counts_of(folder.read_examples()))
folder.preflight.write_text(found.model_dump_json())
"""
WAITS = "import time; time.sleep(60)"
DIES = "import sys; sys.exit('RuntimeError: the model is odd')"
OFFLINE = ANSWERS.replace("))\nfolder", "), findings=[{'code': 'hub.error_unreachable', 'severity': 'error'}])\nfolder")


class Checks(Preflights):
    """Checks whose child is a program of a few lines."""

    def __init__(self, data_dir: Path, program: str) -> None:
        super().__init__(data_dir, Examples(), command=(sys.executable, "-c", program))

    def pids(self) -> list[int]:
        return [child.process.pid for child in self._children.values()]


@pytest.fixture
def checks(tmp_path: Path) -> Iterator[Checks]:
    made = Checks(tmp_path, ANSWERS)
    yield made
    for child in made._children.values():
        child.process.kill()
        child.process.wait()


def program(checks: Checks, text: str) -> None:
    checks.command = (sys.executable, "-c", text)


def test_a_check_answers_and_keeps_only_its_report(checks: Checks) -> None:
    found = checks.check(CONFIG)
    assert (found.facts, found.examples, found.heldout) == (1, 2, 1)
    (folder,) = checks.root.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "preflight.json", "worker.log"]


def test_the_same_question_is_answered_without_a_child_and_another_name_is_the_same_question(checks: Checks) -> None:
    checks.check(CONFIG)
    program(checks, DIES)
    assert checks.check(CONFIG.model_copy(update={"name": "other", "preset": "demo"})).examples == 2
    with pytest.raises(RunFailed, match="the model is odd"):
        checks.check(CONFIG.model_copy(update={"lora_r": 4}))


def test_what_failed_for_want_of_a_network_is_asked_again(checks: Checks) -> None:
    program(checks, OFFLINE)
    assert not checks.check(CONFIG).passed
    program(checks, ANSWERS)
    assert checks.check(CONFIG).passed


def test_a_newer_check_of_one_browser_ends_its_former_one_and_nobody_elses(checks: Checks) -> None:
    program(checks, WAITS)
    checks.begin(CONFIG, "one")
    checks.begin(CONFIG.model_copy(update={"lora_r": 4}), "other")
    first, other = checks.pids()
    checks.begin(CONFIG.model_copy(update={"lora_r": 8}), "one")
    assert not psutil.pid_exists(first) and psutil.pid_exists(other)


def test_browsers_with_the_same_form_share_a_check_that_the_last_one_ends(checks: Checks) -> None:
    program(checks, WAITS)
    key = checks.begin(CONFIG, "one")
    assert checks.begin(CONFIG, "other") == key
    (shared,) = checks.pids()
    checks.begin(CONFIG.model_copy(update={"lora_r": 4}), "one")
    assert psutil.pid_exists(shared) and checks.result(key) is None
    checks.begin(CONFIG.model_copy(update={"lora_r": 8}), "other")
    assert not psutil.pid_exists(shared)


def test_a_browser_that_joins_a_check_leaves_its_own(checks: Checks) -> None:
    program(checks, WAITS)
    checks.begin(CONFIG, "one")
    checks.begin(CONFIG.model_copy(update={"lora_r": 4}), "other")
    left, joined = checks.pids()
    checks.begin(CONFIG.model_copy(update={"lora_r": 4}), "one")
    assert not psutil.pid_exists(left) and psutil.pid_exists(joined)


def test_targets_that_somebody_named_are_looked_up_before_a_start(checks: Checks) -> None:
    finding = {
        "code": "worker.error_expert_dropout",
        "severity": "error",
        "values": {"base_model": "b", "dropout": "1"},
    }
    program(checks, ANSWERS.replace("))\nfolder", f"), findings=[{finding!r}])\nfolder"))
    checks.refuse_targets([CONFIG])
    assert not checks.root.exists()
    with pytest.raises(RunFailed, match="dropout"):
        checks.refuse_targets([CONFIG, CONFIG.model_copy(update={"target_modules": ("experts",)})])


def test_the_targets_of_a_sweep_are_looked_up_once(checks: Checks) -> None:
    named = CONFIG.model_copy(update={"target_modules": ("attention",)})
    swept = [named.model_copy(update={"learning_rate": rate}) for rate in (1e-4, 2e-4, 5e-4)]
    checks.refuse_targets(swept)
    assert len(list(checks.root.iterdir())) == 1
    checks.refuse_targets([swept[0], named.model_copy(update={"lora_dropout": 0.1})])
    assert len(list(checks.root.iterdir())) == 2


def test_a_check_that_takes_too_long_is_ended_and_told(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    program(checks, WAITS)
    key = checks.begin(CONFIG, "one")
    (pid,) = checks.pids()
    assert checks.result(key) is None
    monkeypatch.setattr(preflight, "WAIT_S", 0.0)
    with pytest.raises(RunFailed, match="not done after"):
        checks.result(key)
    assert not psutil.pid_exists(pid)


def test_a_check_that_was_killed_is_told(checks: Checks) -> None:
    program(checks, WAITS)
    key = checks.begin(CONFIG, "one")
    os.kill(checks.pids()[0], 9)
    eventually(lambda: checks._children[key].process.poll() is not None)
    with pytest.raises(RunFailed, match="ended too early"):
        checks.result(key)


def test_old_checks_are_forgotten(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "KEPT", 2)
    for rank in (1, 2, 3):
        checks.check(CONFIG.model_copy(update={"lora_r": rank}))
    assert len(list(checks.root.iterdir())) == 2


def test_a_look_makes_no_version_of_the_dataset(tmp_path: Path) -> None:
    store = open_store(tmp_path / "studio.db")
    datasets, versions = Datasets(store), Versions(store)
    datasets.install_demo(DEMO)
    source = AsTheyAre(datasets, versions, Documents(store))
    assert len(source.frozen_examples("demo", CONFIG)[1]) == 36 and versions.all("demo") == []


def a_run(root: Path, run_id: str, speed: float, *, here: bool = True, base: str = "assets/demo/model") -> None:
    folder = RunFolder(root / "runs" / run_id)
    folder.root.mkdir(parents=True)
    folder.config.write_text(CONFIG.model_copy(update={"base_model": base}).model_dump_json())
    record = MetricRecord(step=1, total_steps=9, epoch=1, elapsed_s=1, loss=1, tokens_per_s=speed)
    folder.metrics.write_text((record.model_dump_json() + "\n") * 9 + '{"step": 9, "tot')
    if here:
        folder.launch.write_text(Launch(pid=1, pid_started=1.0).model_dump_json())


def test_the_speed_is_that_of_this_machine_and_the_sample_is_named_as_such(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    assert measured_speed(runs, "assets/demo/model") is None
    a_run(tmp_path, "sample", 500.0, here=False)
    a_run(tmp_path, "elsewhere", 9.0, base="someone/model")
    assert measured_speed(runs, "assets/demo/model") == Speed(500.0, here=False)
    a_run(tmp_path, "mine", 800.0)
    assert measured_speed(runs, str(PROJECT_ROOT / "assets/demo/model")) == Speed(800.0, here=True)


def test_a_time_budget_becomes_steps_or_examples_of_each_fact() -> None:
    found = Preflight(facts=10, examples=320, sequences=320, tokens=32_000, steps=240)
    config = CONFIG.model_copy(update={"per_device_train_batch_size": 4})
    seconds = expected_seconds(config, found, Speed(100.0, here=True))
    assert seconds == 240 * 4 * 100 / 100
    assert within(config, found, 960.0, 480.0) == [{"max_steps": 120}, {"variants_per_fact": 16}]
    assert within(config, found, 960.0, 1000.0) == []
    assert expected_seconds(config, found, None) is None


def test_an_error_speaks_against_starting_and_a_warning_does_not() -> None:
    assert Preflight(findings=(Finding(code="preflight.no_replay"),)).passed
    assert not Preflight(findings=(Finding(code="worker.error_no_examples", severity="error"),)).passed
