"""A Hub dataset comes in by its id, in a process of its own; every reason why not has its sentence."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets
from studio.datasets.hub import HubDatasets
from studio.errors import DatasetError
from studio.store import open_store
from tests.hub import Hub, serving
from training.errands import DatasetRequest, DatasetStatus

pytestmark = pytest.mark.slow  # each fetch starts a process that loads a large library

ROWS = [{"質問": f"質問{number}は何ですか？", "回答": f"回答{number}です。"} for number in range(5)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CARD = """---
configs:
- config_name: anime
  data_files:
  - {split: train, path: anime.jsonl}
  - {split: test, path: test.jsonl}
- config_name: games
  data_files: [{split: train, path: anime.jsonl}]
---
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.repos["datasets/lab/qa"] = {"train.jsonl": LINES}
        hub.repos["datasets/lab/parts"] = {"README.md": CARD.encode(), "anime.jsonl": LINES, "test.jsonl": LINES[:60]}
        yield hub


@pytest.fixture
def fetching(tmp_path: Path) -> HubDatasets:
    return HubDatasets(tmp_path / "data")


def fetched(fetching: HubDatasets, **wanted: object) -> DatasetStatus:
    *_, last = fetching.fetch(DatasetRequest.model_validate(wanted))
    return last


def test_a_dataset_comes_in_by_its_id(hub: Hub, fetching: HubDatasets, tmp_path: Path) -> None:
    status = fetched(fetching, repo="lab/qa")
    assert (status.state, status.split, status.rows, status.complete) == ("finished", "train", 5, True)
    path = fetching.take(DatasetRequest(repo="lab/qa"), tmp_path)
    assert path.name == "lab-qa-train.jsonl"
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == ROWS
    store = open_store(tmp_path / "studio.db")
    assert Datasets(store).import_file("a", path).imported == 5
    store.close()


def test_no_more_rows_come_than_were_asked_for(hub: Hub, fetching: HubDatasets) -> None:
    status = fetched(fetching, repo="lab/qa", most_rows=3)
    assert (status.rows, status.complete) == (3, False)


def test_of_several_parts_one_is_named(hub: Hub, fetching: HubDatasets) -> None:
    with pytest.raises(DatasetError, match="Give one of anime, games"):
        fetched(fetching, repo="lab/parts")
    with pytest.raises(DatasetError, match=r'no split "dev"\. Give one of train, test'):
        fetched(fetching, repo="lab/parts", config="anime", split="dev")
    assert fetched(fetching, repo="lab/parts", config="games").rows == 5


def test_every_reason_why_nothing_comes_is_told_apart(
    hub: Hub, fetching: HubDatasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match="no repository datasets/lab/none"):
        fetched(fetching, repo="lab/none")
    hub.repos["datasets/lab/pictures"] = {"README.md": b"# no data"}
    with pytest.raises(DatasetError, match="no data files"):
        fetched(fetching, repo="lab/pictures")
    with pytest.raises(DatasetError, match="not the id of a Hugging Face dataset"):
        fetched(fetching, repo="../../etc")
    with pytest.raises(DatasetError, match="cannot be the name"):
        fetched(fetching, repo="lab/qa", split="../x")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(DatasetError, match="cannot be reached"):
            fetched(fetching, repo="lab/qa")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DatasetError, match="HF_HUB_OFFLINE is set"):
        fetched(fetching, repo="lab/qa")


def test_a_fetch_can_be_ended(hub: Hub, fetching: HubDatasets) -> None:
    hub.fast.clear()
    hub.repos["datasets/lab/qa"] = {"train.jsonl": LINES * 20_000}
    wanted = DatasetRequest(repo="lab/qa")
    states = []
    for status in fetching.fetch(wanted):
        if not states:
            fetching.stop(wanted)
        states.append(status.state)
    assert states[-1] == "cancelled"
    assert not list((fetching.data_dir / "exports").glob("*")) and os.environ["HF_ENDPOINT"] == hub.url
