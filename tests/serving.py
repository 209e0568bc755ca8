"""What the server's tests share: a random base with adapters, and the real server process over it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from training.contract import PROJECT_ROOT
from training.serve import ServerStatus

TOKEN = "a-token-only-for-tests"
QUESTION = [{"role": "user", "content": "「星の図書館」の主人公は誰ですか？"}]


def make_adapter(base: Path, folder: Path, *, seed: int, fresh: bool = False) -> Path:
    """A LoRA adapter of `base` with random effect, or with none where `fresh`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=8, lora_alpha=64, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"], init_lora_weights=fresh
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


def wait_for(condition: Callable[[], object], what: str, seconds: float = 300.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.02)


class Server:
    """A running model server."""

    def __init__(self, folder: Path, process: subprocess.Popen) -> None:
        self.folder = folder
        self.process = process

    @property
    def status(self) -> ServerStatus | None:
        """What the server last said of itself."""
        path = self.folder / "status.json"
        return ServerStatus.model_validate_json(path.read_bytes()) if path.exists() else None

    @property
    def log(self) -> str:
        """Everything that it printed."""
        return (self.folder / "server.log").read_text("utf-8")

    @property
    def base_url(self) -> str:
        """Where it listens."""
        assert self.status is not None
        return f"http://127.0.0.1:{self.status.port}/v1"

    def client(self, token: str = TOKEN) -> httpx.Client:
        """A client that is let in."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60, trust_env=False, verify=False)

    def chat(self, model: str, **fields: object) -> httpx.Response:
        """One question, answered whole."""
        with self.client() as client:
            body = {"model": model, "messages": QUESTION, "max_tokens": 16, **fields}
            return client.post("/chat/completions", json=body)

    def answer(self, model: str, **fields: object) -> str:
        """The text of the answer to the usual question."""
        response = self.chat(model, **fields)
        assert response.status_code == 200, response.text
        return response.json()["choices"][0]["message"]["content"]


def spawn(folder: Path, base: Path, adapters: dict[str, Path], **config: object) -> Server:
    """Start a server as the studio does; it is not ready yet."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "base_model": str(base),
        "engine": "transformers",
        "token": TOKEN,
        "adapters": {name: str(path) for name, path in adapters.items()},
        "parent_pid": os.getpid(),
        **config,
    }
    (folder / "config.json").write_text(json.dumps(values), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.serve", str(folder)], cwd=folder, env=environment, stdout=log, stderr=log
        )
    return Server(folder, process)


@contextmanager
def running(folder: Path, base: Path, adapters: dict[str, Path], **config: object) -> Iterator[Server]:
    """A server that is ready, and gone afterwards."""
    server = spawn(folder, base, adapters, **config)
    try:
        wait_for(
            lambda: server.process.poll() is not None or (server.status and server.status.state == "ready"),
            "the server's start",
        )
        assert server.process.poll() is None, server.log
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(20)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(20)
