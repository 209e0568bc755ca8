"""Whether the runs of a plan can go on from one another is told before the first one begins."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.datasets import Datasets
from studio.datasets.documents import Documents
from studio.datasets.versions import Versions
from studio.errors import RunFailed
from studio.house import DEMO
from studio.runs.plans import Plan
from studio.runs.preflight import AsTheyAre
from studio.runs.queue import RunQueue
from studio.runs.registry import Runs
from studio.runs.stages import outlook, start_problems
from studio.store import open_store
from tests.test_runs import config, runs_in
from tests.test_runs_server import trained
from training.contract import RunConfig

BASE = "someone/model"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = runs_in(tmp_path)
    trained(runs, "old-1", BASE)
    yield runs


def chained(*configs: RunConfig) -> Plan:
    return Plan(configs, "chain")


def told(runs: Runs, plan: Plan) -> list[str]:
    return ["" if problem is None else problem.text("en") for problem in start_problems(runs, plan)]


def saved(runs: Runs, **settings: Any) -> None:
    (runs.root / "old-1" / "adapter" / "adapter_config.json").write_text(json.dumps(settings))


def test_an_adapter_is_trained_on_with_its_own_rank_and_strength_only(runs: Runs) -> None:
    assert told(runs, Plan((config(init_run="old-1"),))) == [""]
    (refused,) = told(runs, Plan((config(init_run="old-1", lora_r=8, lora_alpha=32),)))
    assert "r 16 and alpha 32" in refused and "r 8" in refused
    assert told(runs, Plan((config(init_run="old-1", lora_r=8, stack_adapter=True),))) == [""]
    saved(runs, r=24, lora_alpha=48)  # what is on the disk counts: it was stacked on another
    assert "r 24 and alpha 48" in told(runs, Plan((config(init_run="old-1"),)))[0]


def test_a_stage_after_a_stacked_one_meets_an_adapter_of_both_ranks(runs: Runs) -> None:
    stacked = config("b", stack_adapter=True)
    assert told(runs, chained(config("a"), stacked)) == ["", ""]
    none, still_none, refused = told(runs, chained(config("a"), stacked, config("c")))
    assert (none, still_none) == ("", "") and "run b has r 32 and alpha 64" in refused


def test_a_start_is_refused_for_a_stage_that_could_not_begin_later(runs: Runs) -> None:
    queue = RunQueue(runs, restore=lambda base_model: None)
    with pytest.raises(RunFailed, match="r 32"):
        queue.submit(chained(config("a"), config("b", stack_adapter=True), config("c")))
    assert runs.ids() == ["old-1"] and queue.ids() == []


def test_a_later_stage_hears_of_its_data_and_settings_without_remedies_for_another_run(
    runs: Runs, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "studio.db")
    datasets = Datasets(store)
    datasets.install_demo(DEMO)
    source = AsTheyAre(datasets, Versions(store), Documents(store))
    first = config("a")
    found = outlook(runs, source, chained(first, config("b", learning_rate=1e-5), config("c", method="cpt")))
    (_, slow), (_, without) = found.later
    assert slow.examples and {"preflight.low_learning_rate"} <= {finding.code for finding in slow.findings}
    assert [finding.code for finding in without.findings] == ["runs.error_no_documents"] and not found.passed
    assert not any(finding.fix for _, stage in found.later for finding in stage.findings)


def test_of_a_sweep_every_value_that_cannot_begin_speaks_against_it(runs: Runs, tmp_path: Path) -> None:
    swept = Plan((config(init_run="old-1"), config(init_run="old-1", lora_r=8)), "sweep")
    found = outlook(runs, runs.datasets, swept)  # type: ignore[arg-type]
    assert [finding.fix for finding in found.first] == [{"stack_adapter": True}] and not found.later
