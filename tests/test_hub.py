import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, serving
from training.contract import PROJECT_ROOT
from training.errands import DownloadConfig, DownloadStatus
from training.hub import repository_for, wanted

REPO = "llm-jp/llm-jp-3-7.2b-instruct3"
WEIGHTS = random.Random(1).randbytes(3 << 20)
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": WEIGHTS,
    "README.md": "説明".encode(),
    "pytorch_model.bin": b"old" * 999,
    "original/model.pth": b"original" * 999,
    "metal/model.bin": b"metal" * 999,
    "model.Q4.gguf": b"gguf" * 999,
}
NEEDED = ["README.md", "config.json", "model.safetensors", "tokenizer.json"]


class Machine:
    """A machine with an empty Hub cache that knows one hub; each download is a process, as in the product."""

    def __init__(self, home: Path, endpoint: str) -> None:
        self.home = home
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def download(self, repo: str = REPO, **variables: str) -> DownloadStatus:
        folder = self.home.parent / "download"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(DownloadConfig(repo=repo, engine="transformers").model_dump_json())
        command = [sys.executable, "-m", "training.download", str(folder)]
        subprocess.run(command, cwd=PROJECT_ROOT, env={**self.variables, **variables}, timeout=180, check=False)
        return DownloadStatus.model_validate_json((folder / "status.json").read_bytes())

    def find(self, repo: str = REPO) -> Path:
        program = f"from training.hub import ensure_model; print(ensure_model({repo!r}))"
        variables = {**self.variables, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-c", program]
        told = subprocess.run(command, cwd=PROJECT_ROOT, env=variables, capture_output=True, text=True, check=True)
        return Path(told.stdout.strip())


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        hub.repos[REPO] = dict(FILES)
        yield hub


@pytest.fixture
def here(hub, tmp_path) -> Machine:
    return Machine(tmp_path / "hf", hub.url)


def test_a_model_arrives_whole_without_the_copies_nobody_loads_and_is_then_found_offline(hub, here):
    status = here.download()
    assert status.state == "finished", status.reason
    assert status.done_bytes == status.total_bytes == sum(len(FILES[name]) for name in NEEDED)
    folder = here.find()
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == NEEDED
    assert not list(here.home.rglob("*.incomplete"))
    asked = len(hub.gets)
    assert here.download().state == "finished" and len(hub.gets) == asked


def test_a_connection_cut_in_the_middle_is_resumed_from_the_byte_it_reached(hub, here):
    hub.cut_after, hub.cuts = 1_000_000, 1
    assert here.download().state == "finished"
    resumed_at = [int(wanted[6:-1]) for name, wanted in hub.gets if name == "model.safetensors" and wanted]
    assert len(resumed_at) == 1 and 900_000 < resumed_at[0] <= 1_000_000
    assert (here.find() / "model.safetensors").read_bytes() == WEIGHTS


def test_a_connection_that_is_cut_again_and_again_fails_with_a_sentence(hub, here):
    hub.cut_after, hub.cuts = 0, 10**6
    status = here.download()
    assert status.reason_code == "hub.error_cut" and "resume" in status.reason


def test_an_incomplete_snapshot_is_not_taken_for_a_model(hub, here):
    here.download()
    (here.find() / "model.safetensors").unlink()
    assert here.download(HF_HUB_OFFLINE="1").reason_code == "hub.error_offline_wanted"
    assert here.download().state == "finished"
    assert (here.find() / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("repo", ["llm-jp/no-such-model", "not a hub id/at all"])
def test_a_wrong_id_is_told_by_name(here, repo):
    status = here.download(repo)
    assert status.reason_code == ("hub.error_bad_id" if " " in repo else "hub.error_not_found")
    assert repo in status.reason


def test_a_gated_model_says_where_to_accept_its_terms(hub, here):
    hub.gated.add(REPO)
    status = here.download()
    assert status.reason_code == "hub.error_gated"
    assert f"{hub.url}/{REPO}" in status.reason and "HF_TOKEN" in status.reason


def test_no_network_and_offline_mode_are_different_sentences(here):
    assert here.download(HF_ENDPOINT="http://127.0.0.1:9").reason_code == "hub.error_unreachable"
    assert here.download(HF_HUB_OFFLINE="1").reason_code == "hub.error_offline_wanted"


def test_a_disk_too_small_is_told_before_the_download(hub, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small]).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        status = Machine(small, hub.url).download()
        assert status.reason_code == "hub.error_disk_full" and str(small) in status.reason
        assert hub.gets == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_old_weights_are_fetched_where_there_are_no_others():
    assert wanted(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]
    assert wanted(["config.json", "pytorch_model.bin", "model.safetensors"]) == ["config.json", "model.safetensors"]


def test_the_repository_that_unsloth_really_loads_is_named(tmp_path):
    assert repository_for("unsloth/gpt-oss-20b", "unsloth") == "unsloth/gpt-oss-20b-unsloth-bnb-4bit"
    assert repository_for("openai/gpt-oss-20b", "unsloth") == "unsloth/gpt-oss-20b-unsloth-bnb-4bit"
    assert repository_for("unsloth/gpt-oss-20b", "transformers") == "unsloth/gpt-oss-20b"
    assert repository_for(REPO, "unsloth") == REPO
    assert repository_for(str(tmp_path), "unsloth") == str(tmp_path)
    assert "unsloth" not in sys.modules


def test_both_languages_tell_the_hubs_failures_apart():
    told = [json.loads((PROJECT_ROOT / f"assets/i18n/{locale}/hub.json").read_text("utf-8")) for locale in ("ja", "en")]
    assert told[0].keys() == told[1].keys()
    assert len(set(told[0].values())) == len(told[0])
