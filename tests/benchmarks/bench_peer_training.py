"""The worker beside LLaMA-Factory: `python -m tests.benchmarks.bench_peer_training PATH/TO/llamafactory-cli [STEPS]`.

Both train the demo's examples in the same order on the demo's base in 4 bits, in turns, each in a process of its own.
The peer is installed by whoever runs this, in an environment of its own, with the versions that it asks for. With
other than the usual number of steps nothing is kept.
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import bench_training
from tests.benchmarks.results_file import save
from training import architecture, engines, mixture
from training.contract import PROJECT_ROOT, RunConfig, RunFolder, replace_text, resolve_base_model
from training.lora import find_targets

STEPS, TURNS = 30, 3
POLL_S, AT_MOST_S = 0.005, 900
PEER_PACKAGES = ("llamafactory", "torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")


@dataclass
class Course:
    """One training: when each step was written down, and its loss."""

    moments: list[float]
    losses: list[float]
    whole_s: float

    def seconds(self) -> list[float]:
        """Of every step but the first ones, which build caches."""
        between = [later - earlier for earlier, later in itertools.pairwise(self.moments)]
        return between[min(bench_training.WARM, len(between) - 1) :]


def prepared(root: Path, steps: int) -> RunFolder:
    """The run that the worker trains."""
    folder = bench_training.prepared(root)
    changed = folder.read_config().model_copy(update={"max_steps": steps})
    replace_text(folder.config, changed.model_dump_json())
    return folder


def peer_settings(folder: RunFolder, config: RunConfig) -> dict[str, Any]:
    """The run's settings in the peer's words; whatever the worker does not do on a CPU is off."""
    base = str(in_float32(Path(resolve_base_model(config.base_model)), folder.root / "base"))
    return {
        **{"stage": "sft", "do_train": True, "finetuning_type": "lora", "model_name_or_path": base},
        **{"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True},
        **{"lora_rank": config.lora_r, "lora_alpha": config.lora_alpha, "lora_dropout": config.lora_dropout},
        **{"lora_target": ",".join(_target_names(base, config)), "disable_gradient_checkpointing": True},
        **{"dataset_dir": str(folder.root), "dataset": "demo", "cutoff_len": config.max_length},
        **{"disable_shuffling": True, "output_dir": str(folder.root / "peer"), "save_strategy": "no"},
        **{"logging_steps": 1, "report_to": "none", "use_cpu": True, "dataloader_pin_memory": False},
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": config.warmup_steps,
        "max_steps": config.max_steps,
        "max_grad_norm": config.max_grad_norm,
        "weight_decay": config.weight_decay,
        "optim": config.optim,
        "seed": config.seed,
    }


def in_float32(base: Path, copy: Path) -> Path:
    """The same weights, to be computed in float32 as the worker does on a CPU; the peer takes what config.json says."""
    shutil.copytree(base, copy)
    configuration = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps(configuration | {"dtype": "float32"}), "utf-8")
    return copy


def _target_names(base: str, config: RunConfig) -> tuple[str, ...]:
    return find_targets(architecture.empty_model(Path(base), config.base_model), config.target_modules).suffixes


def write_peer_files(folder: RunFolder) -> Path:
    """The examples in the order in which the worker takes them, and the settings; the peer reads YAML, so JSON too."""
    config = folder.read_config()
    data = mixture.load(folder, config, engines.load_tokenizer(Path(resolve_base_model(config.base_model))))
    examples = folder.read_examples()
    assert len(data.train) == len(examples)  # so that a place in one is the place in the other
    order = list(data.sampler(config.per_device_train_batch_size))
    lines = [{"instruction": examples[place].question, "output": examples[place].answer} for place in order]
    columns = {"prompt": "instruction", "response": "output"}
    replace_text(folder.root / "demo.json", json.dumps(lines, ensure_ascii=False))
    listed = {"demo": {"file_name": "demo.json", "columns": columns}}
    replace_text(folder.root / "dataset_info.json", json.dumps(listed))
    settings = folder.root / "peer.yaml"
    replace_text(settings, json.dumps(peer_settings(folder, config)))
    return settings


def watched(command: list[str], records: Path, log: Path) -> Course:
    """Run a training and note when each line with a loss came into its file: the same clock for both."""
    began, course, read = time.monotonic(), Course([], [], 0.0), 0
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=output)
        ended = False
        while not ended:
            ended = process.poll() is not None
            if time.monotonic() - began > AT_MOST_S:
                process.kill()
            found = whole_lines(records)[read:]
            read += len(found)
            losses = [loss for line in found if (loss := json.loads(line).get("loss")) is not None]
            course.moments += [time.monotonic()] * len(losses)
            course.losses += losses
            time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{log.read_text('utf-8', 'replace')[-3000:]}")
    course.whole_s = time.monotonic() - began
    return course


def whole_lines(path: Path) -> list[bytes]:
    """What was written so far, without a last line that still is."""
    return path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []


def worker(root: Path, steps: int) -> Course:
    """The real worker."""
    folder = prepared(root, steps)
    return watched([sys.executable, "-m", "training.worker", str(root)], folder.metrics, folder.log)


def peer(cli: Path, root: Path, steps: int) -> Course:
    """The peer's own command."""
    folder = prepared(root, steps)
    settings = write_peer_files(folder)
    return watched([str(cli), "train", str(settings)], folder.root / "peer" / "trainer_log.jsonl", folder.log)


def versions_of(cli: Path) -> dict[str, str]:
    """What is installed in the peer's environment."""
    listed = "json.dumps({name: version(name) for name in sys.argv[1:]})"
    ask = f"import json, sys; from importlib.metadata import version; print({listed})"
    told = subprocess.run([cli.parent / "python", "-c", ask, *PEER_PACKAGES], capture_output=True, check=True)
    found: dict[str, str] = json.loads(told.stdout)
    return found


def main(arguments: list[str]) -> None:
    """Train in turns, compare, keep."""
    cli, steps = Path(arguments[0]).absolute(), int(arguments[1]) if len(arguments) > 1 else STEPS
    turns = TURNS if steps == STEPS else 1
    courses: dict[str, list[Course]] = {"worker": [], "peer": []}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(turns):
            order = ["worker", "peer"] if turn % 2 == 0 else ["peer", "worker"]
            for name in order:
                root = Path(scratch) / f"{name}{turn}"
                courses[name].append(worker(root, steps) if name == "worker" else peer(cli, root, steps))
                print(name, f"{1000 * statistics.median(courses[name][-1].seconds()):.0f} ms a step", flush=True)
    medians = {
        name: statistics.median(itertools.chain.from_iterable(course.seconds() for course in done))
        for name, done in courses.items()
    }
    losses = {name: done[-1].losses for name, done in courses.items()}
    figures = {
        "steps": steps,
        "turns": turns,
        "worker_step_ms": round(1000 * medians["worker"], 1),
        "peer_step_ms": round(1000 * medians["peer"], 1),
        "ratio": round(medians["worker"] / medians["peer"], 3),
        "worker_whole_s": round(statistics.median(course.whole_s for course in courses["worker"]), 1),
        "peer_whole_s": round(statistics.median(course.whole_s for course in courses["peer"]), 1),
        "largest_loss_difference": max(abs(one - other) for one, other in zip(*losses.values(), strict=True)),
        "worker_losses": [round(loss, 4) for loss in losses["worker"]],
        "peer_losses": [round(loss, 4) for loss in losses["peer"]],
        "load_average": round(os.getloadavg()[1], 1),
        "peer_versions": versions_of(cli),
    }
    print(json.dumps(figures))
    if steps == STEPS:
        save("peer_training", figures)


if __name__ == "__main__":
    main(sys.argv[1:])
