"""Memory and speed of the presets at full size: `python -m tests.benchmarks.bench_gpu [WORD ...]`, one JSON.

For a machine with a GPU and no network: bases of random weights in 4 bits (random_base), the real worker under 15.2
GiB (capped), every sequence full. Reports' settings and recommended presets go through unsloth and, dense ones, through
transformers. A recommended one trains 20 steps, is probed, saved, and asked beside its base by the server. WORDs choose
cases whose names hold one of them. Each case is a process of its own; figures are written after each, a failure with
the end of its log. Cases that the file already holds from these versions are passed over, so that the same command
goes on where time ran out.

--out FOLDER (default: tests/benchmarks/results), --within SECONDS (default: no end), --again measures anew.
--tiny runs everything but CUDA's part on small bases without a GPU, and writes nothing.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.runs.process import child_environment
from tests.benchmarks import capped, gpu_runs
from tests.benchmarks.results_file import RESULTS, machine, versions
from tests.serving import QUESTION, TOKEN, Server, wait_for
from training.contract import RunFolder, RunStatus, replace_text
from training.preflight_report import Preflight

NAME = "gpu.json"
CARD_GIB = 15.2  # what a card of 16 GB leaves
WARM = 2  # the first steps compile kernels
LONGEST_S = {"base": 300, "preflight": 120, "worker": 480, "serve": 240}
TAIL, LINES = 4000, 30  # of a log: characters read, lines kept
LEAST_S = 60.0  # less is no time for another case


class NotMeasured(Exception):
    """A part that failed or ran out of time; its message is the end of its log."""


@dataclass(frozen=True)
class Bench:
    """Where processes work, and until when."""

    scratch: Path
    deadline: float
    tiny: bool

    def run(self, part: str, arguments: list[str], log: Path, gib: float = 0.0) -> None:
        """A process to its end, bounded in time. Raises NotMeasured."""
        with log.open("ab") as output:
            process = self.start(arguments, output, gib)
            try:
                code = process.wait(max(1.0, min(LONGEST_S[part], self.deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                code = None
            finally:
                end(process)
        if code != 0:
            words = "took too long" if code is None else f"ended with {code}"
            raise NotMeasured(f"{part} {words}\n{log.read_text('utf-8', 'replace')[-TAIL:]}")

    def start(self, arguments: list[str], output: Any, gib: float = 0.0) -> subprocess.Popen[bytes]:
        """A module of ours in a session of its own."""
        limit = {capped.GIB: str(gib or CARD_GIB)} if gib or not self.tiny else {}
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.scratch,
            env=child_environment(self.scratch) | {"HF_HUB_OFFLINE": "1"} | limit,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """No process of a part outlives it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(bench: Bench, case: gpu_runs.Case, base: Path) -> dict[str, Any]:
    """All figures of one case; a failure keeps what was found out before it."""
    began, root = time.monotonic(), bench.scratch / case.name.replace("/", "-")
    figures: dict[str, Any] = {"state": "failed", "model": case.model, "engine": case.engine, "changes": case.changes}
    folder = gpu_runs.write_run(root, case, base)
    try:
        bench.run("preflight", ["tests.benchmarks.capped", "preflight", str(root)], root / "preflight.log")
        foretold = Preflight.model_validate_json(folder.preflight.read_bytes())
        bench.run("worker", ["tests.benchmarks.capped", "worker", str(root)], folder.log, case.host_gib)
        figures |= trained(folder, foretold)
        if case.whole:
            figures |= {"probes": probed(folder), "served": served(bench, case, folder)}
        figures["state"] = "measured"
    except NotMeasured as problem:
        status = folder.read_status()
        told = status.reason.replace(str(bench.scratch), "") if status else ""
        figures |= {"reason": told, "log": str(problem).replace(str(bench.scratch), "").splitlines()[-LINES:]}
    finally:
        shutil.rmtree(root)
    return figures | {"whole_s": round(time.monotonic() - began, 1)}


def trained(folder: RunFolder, foretold: Preflight) -> dict[str, Any]:
    """What the run's own files tell, and the estimate beside the measurement."""
    status, config = folder.read_status(), folder.read_config()
    records = [record for record in folder.read_metrics()[0] if record.loss is not None]
    assert status is not None
    between = [later.elapsed_s - earlier.elapsed_s for earlier, later in itertools.pairwise(records)]
    step_s = statistics.median(between[min(WARM, len(between) - 1) :])
    step_sequences = config.per_device_train_batch_size * config.gradient_accumulation_steps
    step_tokens = (foretold.tokens or 0) / (foretold.sequences or 1) * step_sequences
    return {
        "device": status.device,
        "four_bit_share": status.four_bit_share,
        "adapter_modules": status.adapter_modules,
        "trainable_parameters": status.trainable_parameters,
        "max_length": config.max_length,
        "micro_batch": [config.per_device_train_batch_size, status.per_device_train_batch_size],
        "accumulation": [config.gradient_accumulation_steps, status.gradient_accumulation_steps],
        "out_of_memory_retries": status.out_of_memory_retries,
        "steps": status.step,
        "losses": [round(records[0].loss or 0.0, 4), round(records[-1].loss or 0.0, 4)],
        "first_step_s": records[0].elapsed_s,
        "step_s": round(step_s, 4),
        "tokens_per_s": round(step_tokens / step_s, 1),
        "memory": memory(folder, status, foretold, max(record.memory_bytes or 0 for record in records)),
    }


def memory(folder: RunFolder, status: RunStatus, foretold: Preflight, resident_bytes: int) -> dict[str, Any]:
    """Peak and estimate, parts and ratio; a run that had to go smaller is not what was estimated."""
    peak = folder.root / capped.PEAK
    held = json.loads(peak.read_text("utf-8")) if peak.exists() else {"resident_bytes": resident_bytes}
    held["peak_bytes"] = held.get("reserved_bytes", resident_bytes) + held.get("context_bytes", 0)
    if foretold.memory is None:
        return held
    comparable = not status.out_of_memory_retries
    return held | {
        "estimated_bytes": foretold.memory.total,
        "estimated": foretold.memory.model_dump(),
        "estimate_to_peak": round(foretold.memory.total / held["peak_bytes"], 3) if comparable else None,
    }


def probed(folder: RunFolder) -> list[dict[str, Any]]:
    """What was asked when; a whole run is probed before and after."""
    records = folder.read_probes()[0]
    if len({record.step for record in records}) < 2:
        raise NotMeasured("the run was not probed\n" + folder.log.read_text("utf-8", "replace")[-TAIL:])
    return [record.model_dump(include={"step", "question_set", "asked", "seconds"}) for record in records]


def served(bench: Bench, case: gpu_runs.Case, folder: RunFolder) -> dict[str, Any]:
    """The saved adapter in the real server beside its base: both answer, and not the same."""
    root = folder.root / "server"
    root.mkdir()
    config = {"base_model": folder.read_config().base_model, "engine": case.engine, "token": TOKEN}
    told = {**config, "parent_pid": os.getpid(), "adapters": {"tuned": str(folder.adapter)}}
    (root / "config.json").write_text(json.dumps(told), "utf-8")
    with (root / "server.log").open("wb") as output:
        server = Server(root, bench.start(["tests.benchmarks.capped", "serve", str(root)], output))
        try:
            answers = asked(bench, server)
            server.process.terminate()
            server.process.wait(60)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
            raise NotMeasured(f"serve: {problem}\n{server.log[-TAIL:]}") from problem
        finally:
            end(server.process)
    return answers


def asked(bench: Bench, server: Server) -> dict[str, Any]:
    """Base and tuned model to the same question."""
    within_s = max(1.0, min(LONGEST_S["serve"], bench.deadline - time.monotonic()))
    began = time.monotonic()
    wait_for(lambda: server.process.poll() is not None or is_ready(server), "the server's start", within_s)
    assert server.process.poll() is None, "the server did not start"
    messages, seconds = {}, {"ready_s": round(time.monotonic() - began, 1)}
    for model in ("base", "tuned"):
        response = server.chat(model, max_tokens=24, include_reasoning=True)
        assert response.status_code == 200, response.text
        messages[model] = response.json()["choices"][0]["message"]
        seconds[f"{model}_s"] = response.json()["timings"]["total_s"]
    with server.client() as client:
        cards = {card["id"]: card for card in client.get("/models").json()["data"]}
    differ = messages["base"] != messages["tuned"]
    assert differ and not cards["tuned"]["untrained"], f"base and tuned answer alike to {QUESTION}: {messages}"
    return {"differ": differ, **seconds}


def is_ready(server: Server) -> bool:
    """Whether it can be asked."""
    return server.status is not None and server.status.state == "ready"


def shown(case: gpu_runs.Case, kept: dict[str, Any]) -> bool:
    """Whether a case showed what it is for; memory that should have run out has to have done so."""
    figures = kept.get(case.name, {"state": "missing"})
    if figures["state"] != "measured" or not case.name.startswith("out-of-memory"):
        return bool(figures["state"] == "measured")
    batches = {size * passes for size, passes in zip(figures["micro_batch"], figures["accumulation"], strict=True)}
    return figures["out_of_memory_retries"] > 0 and len(batches) == 1


def told(name: str, figures: dict[str, Any]) -> str:
    """One line for a person."""
    if figures["state"] != "measured":
        return f"{name}: FAILED {figures.get('reason') or figures['log']} ({figures['whole_s']} s)"
    held, size = figures["memory"], figures["micro_batch"][1]
    return (
        f"{name}: {held['peak_bytes'] / 2**30:.2f} GiB, estimate {held.get('estimate_to_peak')} of it,"
        f" micro-batch {size},"
        f" {figures['step_s']:.2f} s a step, {figures['tokens_per_s']:.0f} tokens/s ({figures['whole_s']} s)"
    )


def main(arguments: list[str]) -> int:
    """Measure, write after each case; 1 where one failed or there is no GPU."""
    parser = argparse.ArgumentParser(prog="bench_gpu", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--within", type=float, default=86_400.0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    if not options.tiny and not torch.cuda.is_available():
        print("There is no CUDA device: nothing is measured. --tiny tries everything else on small models.")
        return 1
    wanted = [
        case
        for case in gpu_runs.cases(tiny=options.tiny)
        if not options.words or any(word in case.name for word in options.words)
    ]
    kept = {} if options.tiny else earlier(options.out)
    left = [case for case in wanted if options.again or not shown(case, kept)]
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), time.monotonic() + options.within, options.tiny)
        for name, figures in measured(bench, left):
            print(told(name, figures), flush=True)
            kept[name] = figures
            if not options.tiny:
                write(options.out, kept)
    print(json.dumps(kept, ensure_ascii=False, indent=1))
    return 0 if all(shown(case, kept) for case in wanted) else 1


def measured(bench: Bench, cases: list[gpu_runs.Case]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each case's figures; a model's base is there only while it is needed. Ends where no time is left for another."""
    for model, of_model in itertools.groupby(cases, lambda case: case.model):
        base = bench.scratch / gpu_runs.LOADED.get(model, model)
        for case in of_model:
            if bench.deadline - time.monotonic() < LEAST_S:
                return
            began = time.monotonic()
            try:
                if not base.exists():
                    make_base(bench, model, base)
                yield case.name, measure(bench, case, base)
            except NotMeasured as problem:
                lines = str(problem).replace(str(bench.scratch), "").splitlines()[-LINES:]
                yield case.name, {"state": "failed", "log": lines, "whole_s": round(time.monotonic() - began, 1)}
        shutil.rmtree(base, ignore_errors=True)


def make_base(bench: Bench, model: str, base: Path) -> None:
    """A base of random weights, or nothing."""
    tiny = ["--tiny"] if bench.tiny else []
    try:
        bench.run("base", ["tests.benchmarks.random_base", model, str(base), *tiny], bench.scratch / "base.log")
    except NotMeasured:
        shutil.rmtree(base, ignore_errors=True)
        raise


def earlier(out: Path) -> dict[str, Any]:
    """The cases that were measured before, if this is still the same software."""
    for path in (out / NAME, RESULTS / NAME):
        if path.exists():
            content = json.loads(path.read_text("utf-8"))
            return dict(content["cases"]) if content["versions"] == versions() else {}
    return {}


def write(out: Path, cases: dict[str, Any]) -> None:
    """All figures so far."""
    out.mkdir(parents=True, exist_ok=True)
    about = {"cuda": torch.version.cuda, "card_gib": CARD_GIB, "machine": machine(), "versions": versions()}
    replace_text(out / NAME, json.dumps({"cases": cases, **about}, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
