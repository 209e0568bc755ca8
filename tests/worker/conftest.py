"""What the worker's tests share: one tiny model, and one run that was trained to its end."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.worker.running import make_run, spawn
from tests.worker.tiny import make_tiny_model
from training.contract import RunFolder

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Llama with a harmony tokenizer."""
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def finished_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that the real worker process trained, two epochs long."""
    folder = make_run(tmp_path_factory.mktemp("finished"), tiny_model, max_steps=-1, num_train_epochs=2)
    assert spawn(folder).wait(timeout=120) == 0, folder.log.read_text(encoding="utf-8")
    return folder


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """The worker's main takes SIGTERM for itself; give it back after a test that calls it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
