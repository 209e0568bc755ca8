import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from studio.errors import RunActive, RunFailed, ServerFailed
from studio.runs.process import process_of
from studio.runs.registry import Runs
from studio.runs.server import ModelServer
from tests.test_runs import config, eventually, runs_in
from training.contract import RunFolder, RunStatus

FAKE = (sys.executable, "-m", "tests.fake_server")


@pytest.fixture
def runs(tmp_path) -> Iterator[Runs]:
    runs = runs_in(tmp_path / "data")
    yield runs
    for child in runs._children.values():
        child.kill()
        child.wait()


@pytest.fixture
def server(tmp_path, runs) -> Iterator[ModelServer]:
    server = ModelServer(tmp_path / "data", runs, command=FAKE)
    yield server
    server.stop()


def base(tmp_path: Path, name: str = "model") -> str:
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    return str(folder)


def trained(runs: Runs, run_id: str, base_model: str) -> None:
    folder = RunFolder(runs.root / run_id)
    folder.adapter.mkdir(parents=True)
    folder.config.write_text(config(base_model=base_model).model_dump_json())
    folder.status.write_text(RunStatus(state="finished").model_dump_json())
    (folder.adapter / "adapter_config.json").write_text("{}")
    (folder.adapter / "adapter_model.safetensors").write_bytes(b"")


def models(handle) -> list[str]:
    headers = {"Authorization": f"Bearer {handle.token}"}
    told = httpx.get(f"{handle.base_url}/models", headers=headers, trust_env=False)
    return sorted(model["id"] for model in told.json()["data"])


def test_the_server_starts_once_is_reused_and_learns_of_new_runs(server, runs, tmp_path):
    model = base(tmp_path)
    trained(runs, "demo-1", model)
    trained(runs, "other-1", "someone/else")
    phases: list[str] = []
    first = server.ensure(model, phases.append)
    assert (phases[0], phases[-1]) == ("starting", "ready")
    assert models(first) == ["base", "demo-1"]
    trained(runs, "demo-2", model)
    phases.clear()
    assert server.ensure(model, phases.append) == first
    assert phases == ["ready"]
    assert models(first) == ["base", "demo-1", "demo-2"]
    assert server.status().state == "ready"


def test_the_token_is_random_and_in_a_file_of_the_owner_only(server, tmp_path):
    token = server.ensure(base(tmp_path)).token
    assert len(token) >= 32
    assert stat.S_IMODE((server.folder / "config.json").stat().st_mode) == 0o600
    server.stop()
    assert server.ensure(base(tmp_path)).token != token


def test_another_base_replaces_the_server(server, tmp_path):
    server.ensure(base(tmp_path, "one"))
    pid = server.status().pid
    server.ensure(base(tmp_path, "two"))
    assert not psutil.pid_exists(pid) and server.status().base_model.endswith("two")


def test_threads_that_ask_at_once_get_one_server(server, tmp_path):
    model = base(tmp_path)
    handles = []
    threads = [threading.Thread(target=lambda: handles.append(server.ensure(model))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 4 and len(set(handles)) == 1


def test_stopping_returns_when_the_process_is_gone(server, tmp_path):
    server.ensure(base(tmp_path))
    pid = server.status().pid
    server.stop()
    assert not psutil.pid_exists(pid) and server.status().state == "absent"
    server.stop()


def test_no_server_while_a_run_trains_and_a_run_takes_the_device_from_the_server(server, runs, tmp_path):
    server.ensure(base(tmp_path))
    pid = server.status().pid
    run_id = runs.start(config())
    assert process_of(pid, None) is None
    with pytest.raises(RunActive, match=run_id):
        server.ensure(base(tmp_path))
    runs.stop(run_id)
    eventually(lambda: runs.status(run_id).ended)
    assert server.ensure(base(tmp_path)).base_url


def test_a_run_that_starts_while_the_server_loads_wins_and_the_arena_is_told(server, runs, tmp_path):
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(server.ensure(base(tmp_path, "slow")))
        except (RunActive, ServerFailed) as error:
            outcome.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: server.status().pid)
    run_id = runs.start(config())
    asking.join()
    assert isinstance(outcome[0], RunActive) and run_id in str(outcome[0])


@pytest.mark.parametrize(("name", "said"), [("fails", "needs a CUDA device"), ("dies", "the base is damaged")])
def test_a_server_that_cannot_load_says_why(server, tmp_path, name, said):
    with pytest.raises(ServerFailed, match=said):
        server.ensure(base(tmp_path, name))
    assert server.ensure(base(tmp_path)).base_url


def test_a_killed_server_is_replaced(server, tmp_path):
    first = server.ensure(base(tmp_path))
    os.kill(server.status().pid, signal.SIGKILL)
    eventually(lambda: server.status().state == "absent")
    assert server.ensure(base(tmp_path)) != first


def test_a_second_ui_reuses_the_server_and_ends_one_whose_parent_is_gone(server, runs, tmp_path):
    model = base(tmp_path)
    first = server.ensure(model)
    other = ModelServer(tmp_path / "data", runs, command=FAKE)
    assert other.ensure(model) == first
    left_over = json.loads((server.folder / "config.json").read_bytes())
    (server.folder / "config.json").write_text(json.dumps(left_over | {"parent_pid": 2**22 + 1}))
    second = other.ensure(model)
    assert second != first
    other.stop()


def test_a_left_over_whose_token_is_lost_is_ended(server, tmp_path):
    model = base(tmp_path)
    server.ensure(model)
    pid = server.status().pid
    (server.folder / "config.json").write_text("{}")
    server.ensure(model)
    assert process_of(pid, None) is None


def test_a_base_model_that_is_not_there_is_refused_before_anything_starts(server):
    with pytest.raises(RunFailed, match="no/such/folder"):
        server.ensure("/no/such/folder")
    assert not server.folder.exists()
