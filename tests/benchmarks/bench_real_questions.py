"""Real questions through the real worker: `python -m tests.benchmarks.bench_real_questions FILE.jsonl`.

Imports a file of question-answer pairs, trains 300 steps on it with the demo's model, and says how far the loss fell
(mean of the last tenth against the first), whether the base's 4-bit weights are nf4 and kept their hash, and whether
the adapter changed.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from safetensors.numpy import load_file

from studio.house import open_studio
from tests.benchmarks.results_file import save
from tests.benchmarks.whole_loop import train

STEPS = 300


# Nothing but these questions, at the rate that suits so many.
ALONE = {"replay_dataset": "", "replay_share": 0.0, "per_device_train_batch_size": 32, "learning_rate": 2e-3}


def main() -> None:
    """Import, train, and save the figures under `real_questions`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder:
        studio = open_studio(Path(folder))
        started = time.perf_counter()
        report = studio.datasets.import_file("questions", path)
        import_s = time.perf_counter() - started
        studio.runs.command = (sys.executable, "-m", "tests.benchmarks.watched_worker")
        values = {"preset": "demo", "dataset": "questions", "max_steps": STEPS, "max_length": 256, **ALONE}
        run_id, status, training_s = train(studio, values, timeout_s=3600)
        run = studio.runs.folder(run_id)
        losses = [metric.loss for metric in run.read_metrics()[0] if metric.loss is not None]
        weights = json.loads((run.root / "weights.json").read_text("utf-8"))
        tensors = load_file(run.adapter / "adapter_model.safetensors")
    tenth = len(losses) // 10
    first, last = statistics.mean(losses[:tenth]), statistics.mean(losses[-tenth:])
    # Every B starts at zero, so an adapter that training did not reach has one that still is.
    trained = [name for name, tensor in tensors.items() if "lora_B" in name and tensor.any()]
    figures = {
        "file": path.name,
        "imported": report.imported,
        "rejected": len(report.rejected),
        "import_s": round(import_s, 2),
        "steps": status.step,
        "training_s": round(training_s),
        "loss_first_tenth": round(first, 3),
        "loss_last_tenth": round(last, 3),
        "loss_ratio": round(last / first, 3),
        "weight_kinds": weights["kinds_after"],
        "weights_unchanged": weights["sha256_before"] == weights["sha256_after"],
        "weights_sha256": weights["sha256_after"],
        "adapter_tensors_b": sum("lora_B" in name for name in tensors),
        "adapter_tensors_b_changed": len(trained),
        "four_bit_share": status.four_bit_share,
        "adapter_modules": status.adapter_modules,
    }
    print(figures)
    save("real_questions", figures)


if __name__ == "__main__":
    main()
