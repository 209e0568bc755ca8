"""The named endpoints, called as a notebook calls them, over a page that is really served."""

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from studio.house import open_studio
from studio.pages.page import build_page, launch
from tests.test_runs import FAKE, eventually

NAMES = {
    "/import_file",
    "/export_file",
    "/augment",
    "/augment_status",
    "/check_dataset",
    "/preflight",
    "/start_run",
    "/run_status",
    "/stop_run",
    "/ask",
}

# What preflight says of a target that the model does not have, without loading the training stack.
PREFLIGHT = """
import sys, pathlib
from training.contract import RunFolder
from training.doctor import examine
from training.preflight_report import Preflight
folder = RunFolder(pathlib.Path(sys.argv[1]))
found = Preflight(modules={"attention": 20}, unmatched=("nonsense",), available=("attention", "mlp"))
findings = examine(folder.read_config(), found)
folder.preflight.write_text(found.model_copy(update={"findings": findings}).model_dump_json())
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data_dir = tmp_path_factory.mktemp("data")
    studio = open_studio(data_dir)
    studio.runs.command, studio.runs.require = FAKE, lambda folder: None
    studio.preflights.command = (sys.executable, "-c", PREFLIGHT)
    page = build_page(studio)
    _, address, _ = launch(page, data_dir, prevent_thread_lock=True, quiet=True)
    yield Client(address, verbose=False)
    page.close()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"question": "星海の鈴の主人公は誰ですか？", "answer": "星海の鈴の主人公は白瀬ナオです。"},
        {"question": "答えのない質問ですか？"},
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def holds_no_path(value: Any) -> bool:
    """Whether no object in a reply has a key `path`, which Gradio would take for a file."""
    if isinstance(value, dict):
        return "path" not in value and all(holds_no_path(part) for part in value.values())
    return not isinstance(value, list) or all(holds_no_path(part) for part in value)


def test_exactly_the_documented_endpoints_are_public(api: Client) -> None:
    assert set(api.view_api(return_format="dict", print_info=False)["named_endpoints"]) == NAMES


def test_a_file_goes_in_is_multiplied_and_comes_out(api: Client, pairs: Path, tmp_path: Path) -> None:
    report = api.predict("notebook", handle_file(pairs), api_name="/import_file")
    assert (report["imported"], report["facts"], report["examples"]) == (1, 1, 1)
    assert [line["line"] for line in report["rejected"]] == [2]
    job = api.predict(dataset="notebook", forward=2, reverse=2, answers=2, api_name="/augment")["job_id"]
    limit = time.monotonic() + 60
    while (status := api.predict(job, api_name="/augment_status"))["state"] == "running":
        assert time.monotonic() < limit
    assert (status["state"], status["done"], status["total"], status["failed"]) == ("finished", 1, 1, [])
    assert holds_no_path(report) and holds_no_path(status)
    exported = api.predict("notebook", "csv", api_name="/export_file")
    with open(exported, encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    exported = api.predict("notebook", "messages", {"kind": "reverse"}, api_name="/export_file")
    assert len(Path(exported).read_text("utf-8").splitlines()) == 4


def ended(api: Client, run_id: str) -> bool:
    return api.predict(run_id, api_name="/run_status")["state"] in ("finished", "stopped")


def test_a_run_a_chain_and_a_sweep_are_queued_and_stopped(api: Client) -> None:
    run = {"preset": "demo", "learning_rate": 5e-4}
    started = api.predict("demo", run | {"name": "one"}, api_name="/start_run")
    assert started == {"run_id": "one-1", "run_ids": ["one-1"]}
    stages = [run | {"name": "first", "method": "sft"}, {"name": "second", "stack_adapter": True}]
    chain = api.predict("demo", stages, api_name="/start_run")["run_ids"]
    swept = api.predict("demo", run | {"name": "s", "lora_r": [4, 8]}, api_name="/start_run")["run_ids"]
    assert chain == ["first-1", "second-1"] and swept == ["s-lora-r-4-1", "s-lora-r-8-1"]
    status = api.predict("second-1", api_name="/run_status")
    assert status["state"] == "queued" and "first-1" in status["reason"]
    for run_id in (*chain[::-1], *swept):
        assert api.predict(run_id, api_name="/stop_run") == {"state": "stopped"}
    api.predict("one-1", api_name="/stop_run")
    eventually(lambda: ended(api, "one-1"))
    with pytest.raises(AppError, match="first-1"):
        api.predict("first-1", api_name="/run_status")


def test_preflight_lists_a_target_that_nobody_has_and_a_start_refuses_it(api: Client) -> None:
    config = {"preset": "demo", "target_modules": ["attention", "nonsense"], "max_steps": 7}
    found = api.predict("demo", config, api_name="/preflight")
    assert found["modules"] == {"attention": 20} and not found["passed"] and holds_no_path(found)
    (error,) = [warning for warning in found["warnings"] if warning["severity"] == "error"]
    assert error["code"] == "error_target_unmatched" and "nonsense" in error["message"] and error["fix"]
    with pytest.raises(AppError, match="nonsense"):
        api.predict("demo", config, api_name="/start_run")


def test_preflight_tells_of_every_stage_of_a_chain(api: Client) -> None:
    stages = [{"preset": "demo"}, {"learning_rate": 1e-5}, {"stack_adapter": True}, {"lora_r": 8}]
    found = api.predict("demo", stages, api_name="/preflight")
    assert [stage["passed"] for stage in found["later"]] == [True, True, False] and not found["passed"]
    assert "low_learning_rate" in {warning["code"] for warning in found["later"][0]["warnings"]}
    assert "error_init_shape" in {warning["code"] for warning in found["later"][2]["warnings"]}


def test_a_dataset_is_checked(api: Client, tmp_path: Path) -> None:
    path = tmp_path / "doubtful.csv"
    rows = [
        ("fact_id", "question", "answer"),
        ("1", "星海の鈴の主人公は誰ですか？", "白瀬ナオ"),
        ("2", "「星海の鈴」の主人公は誰ですか?", "黒瀬ミオ"),
        ("3", "星海の鈴の舞台はどこですか？", "港町"),
        ("4", "「星海の鈴」の舞台はどこですか", "港町。"),
    ]
    path.write_text("".join(",".join(row) + "\n" for row in rows), "utf-8")
    api.predict("doubtful", handle_file(path), api_name="/import_file")
    report = api.predict(dataset="doubtful", api_name="/check_dataset")
    numbers = [report[name] for name in ("facts", "examples", "duplicates", "conflicts", "leaks")]
    assert numbers == [4, 4, 1, 1, 0]
    assert report["coverage"] == {"forward": 4, "reverse": 2, "answers": 4}
    assert holds_no_path(report)


def test_a_path_as_plain_text_is_refused(api: Client, pairs: Path) -> None:
    with pytest.raises(AppError, match="handle_file"):
        api.predict("stolen", str(pairs), api_name="/import_file")
    with pytest.raises(AppError, match="handle_file"):
        api.predict("stolen", {"path": str(pairs)}, api_name="/import_file")


def test_a_file_that_was_not_uploaded_is_refused_even_when_it_says_it_is_one(api: Client, pairs: Path) -> None:
    with pytest.raises(AppError):
        api.predict("stolen", {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}, api_name="/import_file")


@pytest.mark.parametrize(
    ("endpoint", "arguments", "sentence"),
    [
        ("/start_run", ("demo", {"preset": "demo", "learning_rate": -1}), "-1"),
        ("/start_run", ("nobody", {"preset": "demo"}), "nobody"),
        ("/start_run", ("demo", []), "one object for each run"),
        ("/start_run", ("demo", {"preset": "demo", "lora_r": [4, 8], "seed": [1, 2]}), "one run only"),
        ("/start_run", ("demo", {"preset": "demo", "init_run": "../x"}), "../x"),
        ("/start_run", ("demo", [{"preset": "demo"}, {"base_model": "other/model"}]), "other/model"),
        ("/start_run", ("demo", {"preset": "demo", "base_model": "no/such/folder"}), "no/such/folder"),
        ("/run_status", ("../../secret",), "secret"),
        ("/augment_status", ("../../secret",), "secret"),
        ("/check_dataset", ("無い",), "無い"),
        ("/augment", ("demo", "rules", 0), "forward"),
        ("/ask", ("  ",), "empty"),
        ("/ask", ("誰？", ["../x"]), "../x"),
        ("/ask", ("誰？", ["base"], {"tempo": 1}), "tempo"),
        ("/export_file", ("demo", "docx"), "docx"),
        ("/export_file", ("demo", "csv", {"status": "good"}), "status"),
    ],
)
def test_bad_input_gets_a_sentence_with_the_value(
    api: Client, endpoint: str, arguments: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(AppError, match=sentence):
        api.predict(*arguments, api_name=endpoint)
