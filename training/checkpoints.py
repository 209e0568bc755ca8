"""The checkpoints of a run: which one is whole, how a new one comes to be, and the run's records up to it.

It must not know what a checkpoint's tensors mean.
"""

import json
import logging
import os
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from training.contract import RunFolder, replace_text

log = logging.getLogger(__name__)

# A second one in case the newest is damaged.
KEPT = 2
UNFINISHED = ".unfinished"
WEIGHTS = "adapter_model.safetensors"
STATE = "trainer_state.json"


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint that can be read to its end; damaged ones are passed over, which the log says."""
    for checkpoint in _newest_first(folder):
        problem = _problem(checkpoint)
        if not problem:
            return checkpoint
        log.warning("%s is damaged and passed over: %s", checkpoint.name, problem)
    return None


def publish(unfinished: Path, folder: Path) -> None:
    """Give a checkpoint that is written to its end its place, and delete all but the newest ones.

    A name that begins with `checkpoint-` therefore means a whole one, unless the disk lost something afterwards.
    """
    reach_disk(unfinished)
    target = folder / unfinished.name
    shutil.rmtree(target, ignore_errors=True)
    os.replace(unfinished, target)
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def reach_disk(folder: Path) -> None:
    """Return when the files of a folder would survive a loss of power."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def cut_records(folder: RunFolder, step: int) -> float:
    """Forget what was recorded after `step`, which will be trained again; the seconds that training took up to it."""
    elapsed_s = 0.0
    for path in (folder.metrics, folder.probes):
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        kept = [(line, record) for line in lines if (record := _record(line)) and record["step"] <= step]
        if len(kept) < len(lines):
            replace_text(path, b"".join(line for line, _ in kept).decode("utf-8"))
        elapsed_s = max([elapsed_s, *(record.get("elapsed_s", 0.0) for _, record in kept if step)])
    return elapsed_s


def discard(folder: Path) -> None:
    """Delete everything in the folder of checkpoints: the adapter is saved, and nothing goes on from them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)


def discard_unfinished(folder: RunFolder) -> None:
    """Delete what was being written when a run failed; on a full disk that makes room for its last words."""
    for path in (folder.checkpoints / UNFINISHED, folder.adapter.with_name(folder.adapter.name + ".tmp")):
        shutil.rmtree(path, ignore_errors=True)


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=step_of, reverse=True)


def _problem(checkpoint: Path) -> str:
    """What is wrong with a checkpoint; nothing where all of it can be read."""
    try:
        if json.loads((checkpoint / STATE).read_bytes())["global_step"] != step_of(checkpoint):
            return f"{STATE} tells of another step"
        with safe_open(checkpoint / WEIGHTS, framework="pt"):  # compares the header with the file's length
            pass
        for archive in (checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *checkpoint.glob("rng_state*.pth")):
            with zipfile.ZipFile(archive) as members:
                if damaged := members.testzip():
                    return f"{archive.name}: {damaged}"
    except (OSError, ValueError, KeyError, SafetensorError, zipfile.BadZipFile) as error:
        return str(error)
    return ""


def _record(line: bytes) -> dict[str, float]:
    """A line's record; empty for the half line that a killed process left, perhaps within a character."""
    try:
        return dict(json.loads(line)) if line.endswith(b"\n") else {}
    except ValueError:
        return {}
