import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from studio.errors import DownloadFailed, UnknownDownload
from studio.models import Downloads
from studio.runs.process import child_environment
from tests.hub import Hub, serving
from tests.test_runs import eventually
from training.contract import PROJECT_ROOT, Launch

REPO = "llm-jp/llm-jp-3.1-13b-instruct4"
WEIGHTS = random.Random(2).randbytes(6 << 20)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        hub.repos[REPO] = {"config.json": b"{}", "model.safetensors": WEIGHTS}
        yield hub


@pytest.fixture
def downloads(tmp_path) -> Iterator[Downloads]:
    downloads = Downloads(tmp_path / "data")
    yield downloads
    for child in downloads._children.values():
        child.kill()
        child.wait()


def ended(downloads: Downloads, download_id: str):
    return eventually(
        lambda: (status := downloads.status(download_id)).state not in ("starting", "downloading") and status, 180
    )


def under_way(downloads: Downloads, download_id: str):
    return eventually(lambda: (status := downloads.status(download_id)).done_bytes > 300_000 and status, 180)


def pid_of(downloads: Downloads, download_id: str) -> int:
    return Launch.model_validate_json((downloads.root / download_id / "launch.json").read_bytes()).pid


def resumed_at(hub: Hub) -> list[int]:
    return [int(wanted[6:-1]) for name, wanted in hub.gets if name == "model.safetensors" and wanted]


def test_a_download_shows_its_bytes_is_cancelled_and_resumes_where_it_stopped(hub, downloads, tmp_path):
    hub.fast.clear()
    download_id = downloads.start(REPO)
    status = under_way(downloads, download_id)
    assert status.total_bytes == len(WEIGHTS) + 2 and status.state == "downloading"
    other = Downloads(tmp_path / "data")
    assert other.ids() == [download_id] and other.start(REPO) == download_id
    other.cancel(download_id)
    assert ended(downloads, download_id).state == "cancelled"
    assert "続きから" in downloads.status(download_id, "ja").reason
    hub.fast.set()
    assert downloads.start(REPO) == download_id
    status = ended(downloads, download_id)
    assert (status.state, status.done_bytes) == ("finished", len(WEIGHTS) + 2)
    assert len(resumed_at(hub)) == 1 and resumed_at(hub)[0] > 300_000
    program = """if True:
        import sys
        from studio.models import cached
        print(*[(model.repo, model.bytes) for model in cached()])
        print("torch" in sys.modules)
    """
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=child_environment(tmp_path), cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert told.stdout.split("\n")[:2] == [str((REPO, len(WEIGHTS) + 2)), "False"]


def test_a_download_killed_with_9_is_crashed_and_resumes_where_it_stopped(hub, downloads):
    hub.fast.clear()
    download_id = downloads.start(REPO)
    under_way(downloads, download_id)
    os.kill(pid_of(downloads, download_id), signal.SIGKILL)
    status = ended(downloads, download_id)
    assert status.state == "crashed" and "resume" in status.reason
    assert not psutil.pid_exists(pid_of(downloads, download_id))
    hub.fast.set()
    downloads.start(REPO)
    assert ended(downloads, download_id).state == "finished"
    assert resumed_at(hub)[0] > 300_000


def test_a_download_that_fails_says_why_in_the_readers_language(hub, downloads):
    download_id = downloads.start("llm-jp/no-such-model")
    assert ended(downloads, download_id).state == "failed"
    assert "no repository llm-jp/no-such-model" in downloads.status(download_id).reason
    assert "見つかりません" in downloads.status(download_id, "ja").reason


@pytest.mark.parametrize("repo", ["", "gpt2", "../../etc", "a/b/c", "a/..", "日本語/モデル", "-x/y"])
def test_what_is_no_hub_id_is_refused_before_anything_is_written(downloads, repo):
    with pytest.raises(DownloadFailed):
        downloads.start(repo)
    assert not Path(downloads.root).exists()


@pytest.mark.parametrize("download_id", ["", "..", "../runs", "nothing--here"])
def test_an_id_is_looked_up_never_joined(downloads, download_id):
    with pytest.raises(UnknownDownload):
        downloads.status(download_id)
    with pytest.raises(UnknownDownload):
        downloads.cancel(download_id)
