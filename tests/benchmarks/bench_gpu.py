"""Both engines on this machine's CUDA card: the real worker for 20 steps each on a random Llama, written as JSON.

Run: python -m tests.benchmarks.bench_gpu [FOLDER]; FOLDER defaults to $OUT, else to tests/benchmarks/results.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.benchmarks.results_file import machine, versions
from tests.worker.running import make_examples, make_run, spawn, write_examples
from tests.worker.tiny import make_tiny_model
from training.contract import RunFolder

SHAPE = {"hidden": 1024, "layers": 8}
STEPS = 20


def measure(base: Path, root: Path, engine: str) -> dict[str, object]:
    """One run of the worker, as its files tell it."""
    folder: RunFolder = make_run(
        root, base, engine=engine, max_steps=STEPS, per_device_train_batch_size=16, learning_rate=1e-3, lora_r=16
    )
    write_examples(folder, make_examples(facts=120))
    began = time.monotonic()
    code = spawn(folder, inherit=True).wait(timeout=280)
    status, records = folder.read_status(), [record for record in folder.read_metrics()[0] if record.loss is not None]
    if code or status is None or status.state != "finished":
        reason = status.reason if status else ""
        return {"state": "failed", "reason": reason, "log": folder.log.read_text(encoding="utf-8")[-2000:]}
    seconds = [later.elapsed_s - earlier.elapsed_s for earlier, later in itertools.pairwise(records)]
    return {
        "state": status.state,
        "engine": status.engine,
        "device": status.device,
        "four_bit_share": status.four_bit_share,
        "adapter_modules": status.adapter_modules,
        "trainable_parameters": status.trainable_parameters,
        "first_loss": records[0].loss,
        "last_loss": records[-1].loss,
        "eval_loss": status.eval_loss,
        "first_step_s": records[0].elapsed_s,
        "median_step_s": round(statistics.median(seconds), 4),
        "tokens_per_s": records[-1].tokens_per_s,
        "vram_bytes": max(record.memory_bytes or 0 for record in records),
        "whole_run_s": round(time.monotonic() - began, 1),
    }


def main(arguments: list[str]) -> int:
    """Measure both engines and write bench_gpu.json; 1 where one of them failed."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return 1
    here = Path(__file__).parent / "results"
    out = Path(arguments[0] if arguments else os.environ.get("OUT", here))
    with tempfile.TemporaryDirectory() as scratch:
        base = make_tiny_model(Path(scratch) / "base", **SHAPE)
        engines = {engine: measure(base, Path(scratch) / engine, engine) for engine in ("transformers", "unsloth")}
    result = {
        "device": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "machine": machine(),
        "versions": versions(),
        "model": SHAPE,
        "steps": STEPS,
        "engines": engines,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench_gpu.json").write_text(text + "\n", encoding="utf-8")
    return 0 if all(engine["state"] == "finished" for engine in engines.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
