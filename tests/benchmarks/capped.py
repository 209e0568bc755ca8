"""A process of the product under a limit of memory: `python -m tests.benchmarks.capped worker|serve|preflight FOLDER`.

The limit comes from the environment (GIB). On a GPU it holds from the moment the engine is chosen, and is also what
the driver seems to have free, because unsloth sizes its loss by that; without a GPU it bounds what training may add
to the process. What the worker held at most on a GPU is written beside its files (PEAK).
"""

import atexit
import functools
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from training import engines

GIB, PEAK = "OBOE_BENCHMARK_GIB", "peak.json"
PROBE_SHARE = 1.0  # a run of 20 steps would be too short for a probe


def limit_bytes() -> int:
    """0 without a limit."""
    return round(float(os.environ.get(GIB, "0")) * 2**30)


@functools.cache
def limit_gpu() -> None:
    """Let torch have so much of the card, and say so where somebody asks what is free. Both limits are set once."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes() / total))

    def seems_free(device: Any = None, ask: Any = torch.cuda.mem_get_info) -> tuple[int, int]:
        return min(ask(device)[0], max(0, limit_bytes() - torch.cuda.memory_reserved(device))), limit_bytes()

    torch.cuda.mem_get_info = torch.cuda.memory.mem_get_info = seems_free


@functools.cache
def limit_host() -> None:
    """Let the training itself add so much to the process: a real allocation fails beyond it."""
    from training.trainer import RunTrainer

    training_step = RunTrainer.training_step

    def limited(trainer: RunTrainer, *rest: Any) -> Any:
        RunTrainer.training_step = training_step  # type: ignore[method-assign]
        most = psutil.Process().memory_info().vms + limit_bytes()
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
        return training_step(trainer, *rest)

    RunTrainer.training_step = limited  # type: ignore[method-assign]


def prepared(engine: Any, *, choose: Any = engines.choose_engine) -> Any:
    """Choose the engine, then set the limit: unsloth has to be imported before anything touches the allocator."""
    used = choose(engine)
    if limit_bytes() and torch.cuda.is_available():
        limit_gpu()
    if sys.argv[1] == "worker":
        from training import probes

        probes.SHARE = PROBE_SHARE
        if limit_bytes() and not torch.cuda.is_available():
            limit_host()
    return used


def tell_peak(folder: Path, *, ask: Any = torch.cuda.mem_get_info) -> None:
    """What torch held at most, and what CUDA takes besides; this process has to be alone on the card."""
    if not torch.cuda.is_initialized():
        return
    free, total = ask()
    told = {
        "allocated_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.max_memory_reserved(),
        "context_bytes": total - free - torch.cuda.memory_reserved(),
    }
    (folder / PEAK).write_text(json.dumps(told), "utf-8")


def main(name: str, folder: Path) -> int:
    """The exit status of the process that was asked for."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # a worker that begins anew keeps the limit otherwise
    if name == "preflight":
        from training import preflight

        if limit_bytes():
            preflight.video_memory = lambda: (limit_bytes(), limit_bytes())
        return preflight.main([str(folder)])
    engines.choose_engine = prepared
    if name == "worker":
        from training import worker

        atexit.register(tell_peak, folder)
        return worker.main([str(folder)])
    from training import serve

    return serve.main(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]).resolve()))
