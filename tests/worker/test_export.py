"""What a finished run is written out as: merged weights that answer as the adapter does, GGUF, a push, a card."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from studio.runs.exports import RunExports
from studio.runs.process import process_of
from tests.test_runs import runs_in
from tests.worker.layouts import make_model
from tests.worker.running import wait_until
from training import merging
from training.card import write_card
from training.contract import PROJECT_ROOT, ProbeRecord, RunFolder
from training.errands import ExportRequest, ExportStatus
from training.errors import RunError
from training.export import main

CONVERTS = """#!/usr/bin/env python3
import sys
assert (__import__("pathlib").Path(sys.argv[1]) / "config.json").is_file()
open(sys.argv[sys.argv.index("--outfile") + 1], "wb").write(b"GGUF")
"""
NEVER_ENDS = """#!/usr/bin/env python3
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
outfile = pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1])
outfile.write_bytes(b"GGUF")
(outfile.parents[1] / "converter").write_text(str(os.getpid()))
time.sleep(60)
"""
FAILS = "#!/usr/bin/env python3\nimport sys\nsys.exit('Model TinyForCausalLM is not supported')\n"


@pytest.fixture
def run(finished_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of the finished run with an adapter large enough to be seen."""
    folder = RunFolder(Path(shutil.copytree(finished_run.root, tmp_path / "run-1")))
    weights = folder.adapter / "adapter_model.safetensors"
    save_file({name: tensor * 8 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    return folder


def export(run: RunFolder, kind: str, **fields: str) -> ExportStatus:
    folder = run.exports / kind
    folder.mkdir(parents=True, exist_ok=True)
    request = ExportRequest.model_validate({"run": run.root.name, "kind": kind, **fields})
    (folder / "config.json").write_text(request.model_dump_json(), "utf-8")
    main(folder)
    return ExportStatus.model_validate_json((folder / "status.json").read_bytes())


def test_merged_weights_answer_as_the_adapter_does(run: RunFolder, tiny_model: Path) -> None:
    status = export(run, "merged")
    assert (status.state, status.done, status.total) == ("finished", 1, 1)
    assert status.checked["top_agreement"] == 1.0 and status.checked["largest_difference"] < 1e-3
    merged = Path(status.path)
    assert "base_model:" in (merged / "README.md").read_text("utf-8")
    assert (merged / "tokenizer.json").is_file() and not list(merged.glob("*.tmp"))
    prompts = [[1, 2, 3, 4, 5, 6, 7, 8]] * 3
    with pytest.raises(RunError, match="does not answer as the adapter"):
        merging.compare(tiny_model, run.adapter, tiny_model, prompts)


def test_fused_experts_are_merged_as_a_whole(tmp_path: Path) -> None:
    base, adapter, merged = (tmp_path / name for name in ("base", "adapter", "merged"))
    model = make_model(tmp_path / "made", "fused")
    model.save_pretrained(base)
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], target_parameters=targets))
    tuned.save_pretrained(adapter)
    weights = adapter / "adapter_model.safetensors"
    save_file({name: tensor + 0.05 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    seen: list[tuple[int, int]] = []
    merging.merge(base, adapter, merged, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 1), (1, 1)]
    assert merging.compare(base, adapter, merged, [[1, 2, 3, 4]])["largest_difference"] < 1e-3


def test_a_base_in_four_bits_is_no_base_to_merge_into(run: RunFolder, tiny_model: Path, tmp_path: Path) -> None:
    quantised = shutil.copytree(tiny_model, tmp_path / "bnb-4bit")
    config = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "mxfp4"}}))
    status = export(run, "merged", base_model=str(quantised))
    assert status.state == "failed" and "mxfp4" in status.reason and "16-bit" in status.reason


def test_too_little_memory_is_told_in_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    model = make_model(tmp_path / "made", "fused")
    model.save_pretrained(base)
    get_peft_model(model, LoraConfig(r=2, target_parameters=["mlp.experts.down_proj"])).save_pretrained(adapter)
    monkeypatch.setattr(merging, "SPARE_BYTES", 2**50)  # what a model of this size would really need
    with pytest.raises(RunError, match=r"takes about 1048576 GB of memory"):
        merging.merge(base, adapter, tmp_path / "merged", lambda done, total: None)
    assert merging.compare(base, adapter, base, [[1]]) == {}


def test_a_converter_makes_gguf_and_ollama_gets_the_prompt_of_the_training(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    assert "LLAMA_CPP" in export(run, "gguf").reason
    converter = tmp_path / "convert_hf_to_gguf.py"
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    for program, state in ((FAILS, "failed"), (CONVERTS, "finished")):
        converter.write_text(program)
        converter.chmod(converter.stat().st_mode | stat.S_IXUSR)
        status = export(run, "gguf")
        assert status.state == state, status.reason
        assert state == "finished" or "TinyForCausalLM is not supported" in status.reason
    assert (Path(status.path) / "run-1.gguf").read_bytes() == b"GGUF"
    modelfile = (Path(status.path) / "Modelfile").read_text("utf-8")
    assert "<|start|>user<|message|>{{ .Prompt }}<|end|><|start|>assistant" in modelfile


def test_a_cancelled_export_leaves_no_converter_at_work_and_nothing_half_written(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(run.root, data / "runs" / "run-1")
    exports = RunExports(runs_in(data))
    (tmp_path / "convert_hf_to_gguf.py").write_text(NEVER_ENDS)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    exports.start("run-1", "gguf")
    folder = data / "runs" / "run-1" / "exports" / "gguf"
    wait_until(lambda: (folder / "converter").exists() and bool((folder / "converter").read_text()))
    converter = int((folder / "converter").read_text())
    assert process_of(converter, None)
    exports.cancel("run-1")
    wait_until(lambda: process_of(converter, None) is None, seconds=20)
    status = exports.status("run-1")["gguf"]
    assert (status.state, status.reason) == ("cancelled", "The export was cancelled.")
    assert not [path for path in folder.iterdir() if path.is_dir()]


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a push of small files asks for."""

    protocol_version = "HTTP/1.1"
    commits: list[str]

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Bearer hf_secret":
            return self.answer({"error": "Invalid user token."}, 401)
        self.answer({"id": "lab/oboe"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.headers.get("Authorization") != "Bearer hf_secret":
            return self.answer({"error": "Invalid user token."}, 401)
        if self.path == "/api/repos/create":
            return self.answer({"url": f"http://{self.headers['Host']}/lab/oboe"})
        if "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self.answer({"files": [file | {"shouldIgnore": False} for file in files]})
        if "/commit/" in self.path:
            self.commits.append(body)
            url = f"http://{self.headers['Host']}/lab/oboe/commit/1"
            return self.answer({"success": True, "commitOid": "1", "commitUrl": url})
        self.answer({})

    def answer(self, value: object, code: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    commits: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("AHub", (Hub,), {"commits": commits}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", commits
    server.shutdown()
    server.server_close()


def push(run: RunFolder, address: str, home: Path, token: str) -> ExportStatus:
    folder = run.exports / "push"
    folder.mkdir(parents=True, exist_ok=True)
    request = ExportRequest(run=run.root.name, kind="push", repo="lab/oboe")
    (folder / "config.json").write_text(request.model_dump_json(), "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    hub = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "training.export", str(folder)]
    subprocess.run(command, cwd=PROJECT_ROOT, env=kept | hub | {"NO_PROXY": "127.0.0.1"}, timeout=120, check=False)
    return ExportStatus.model_validate_json((folder / "status.json").read_bytes())


def test_a_push_needs_a_token_and_sends_the_adapter_with_its_card(
    run: RunFolder, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, commits = hub
    assert "HF_TOKEN" in push(run, address, tmp_path / "home", "").reason
    refused = push(run, address, tmp_path / "home", "hf_wrong")
    assert refused.state == "failed" and "lab/oboe" in refused.reason and "hf_wrong" not in refused.model_dump_json()
    status = push(run, address, tmp_path / "home", "hf_secret")
    assert (status.state, status.path.partition("/lab")[2]) == ("finished", "/oboe")
    sent = {json.loads(line)["value"].get("path") for line in commits[0].splitlines()}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "base.json"} <= sent


def test_the_card_says_what_was_really_trained_and_how_to_ask(run: RunFolder, tmp_path: Path) -> None:
    records = [
        ProbeRecord(step=step, epoch=step, question_set="reverse", asked=20, right=right, partly=0, seconds=1)
        for step, right in ((0, 1), (6, 19))
    ]
    run.probes.write_text("".join(record.model_dump_json() + "\n" for record in records), "utf-8")
    write_card(run, tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text("utf-8")
    status = run.read_status()
    assert status is not None
    assert f"- mlp: {status.adapter_modules['mlp']:,} modules" in card
    assert f"- trainable parameters: {status.trainable_parameters:,}" in card
    assert "| reverse | 20 | 1 | 19 |" in card
    assert "--enable-lora --max-lora-rank 4 --lora-modules run-1=." in card and "library_name: peft" in card
