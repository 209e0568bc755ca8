"""Gathers the facts about this machine that decide whether it can train; torch's part comes from a child process.

Looks, and judges nothing: what a fact means is studio.environment's.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO

from huggingface_hub.constants import HF_HUB_CACHE
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.errors import StoreError
from studio.file_systems import file_system
from studio.loopback import why_not_listening
from studio.runs.process import child_environment
from studio.store import open_store
from training.contract import PROJECT_ROOT
from training.nvidia import nvidia_driver, nvidia_gpu_present

PROBE_TIMEOUT_S = 120.0  # torch from a cold disk; unsloth compiles on its first import
LOOPBACK = {"127.0.0.1", "localhost"}


class Probe(BaseModel):
    """What the child process found out about torch and its company; `error` when it said nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    torch: str | None = None
    torch_error: str | None = None
    torch_cuda: str | None = None
    cuda_available: bool = False
    device: str = ""
    vram_bytes: int = 0
    bitsandbytes: str | None = None
    bitsandbytes_error: str | None = None
    unsloth: str | None = None
    unsloth_error: str | None = None
    error: str = ""


class Facts(BaseModel):
    """The machine as it was found. Checks are functions of this alone."""

    model_config = ConfigDict(frozen=True)

    platform: str = "linux"
    nvidia: bool = False
    driver: str = ""
    compiler: str = ""
    python_header: bool = False
    probe: Probe = Field(default_factory=Probe)
    data_dir: str = ""
    data_writable: str = ""  # why not, empty when it is
    journal_wal: bool = True
    file_system: str = ""
    data_free_bytes: int = 0
    cache_dir: str = ""
    cache_free_bytes: int = 0
    proxies: tuple[str, ...] = ()
    port: int | None = None
    port_free: bool = True
    hub_token: bool = False
    hub_offline: bool = False


def gather(data_dir: Path, port: int | None = None) -> Facts:
    """Look at the machine; torch's part comes from a child process, once per UI process."""
    cache = Path(HF_HUB_CACHE)
    return Facts(
        platform=sys.platform,
        nvidia=nvidia_gpu_present(),
        driver=nvidia_driver(),
        compiler=next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), ""),
        python_header=(Path(sysconfig.get_path("include")) / "Python.h").is_file(),
        probe=probe(data_dir),
        data_dir=str(data_dir),
        data_writable=why_unwritable(data_dir),
        journal_wal=wal_works(data_dir),
        file_system=file_system(data_dir),
        data_free_bytes=free_bytes(data_dir),
        cache_dir=str(cache),
        cache_free_bytes=free_bytes(cache),
        proxies=catching_proxies(os.environ),
        port=port,
        port_free=port is None or not why_not_listening("127.0.0.1", port),
        hub_token=bool(os.environ.get("HF_TOKEN")) or (cache.parent / "token").is_file(),
        hub_offline=os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    )


def probe(data_dir: Path) -> Probe:
    """What torch, bitsandbytes and unsloth can do here, asked once per UI process; a failed look is taken again."""
    found = _probed(data_dir)
    if found.error:
        _probed.cache_clear()
    return found


@lru_cache(maxsize=1)
def _probed(data_dir: Path) -> Probe:
    command = [sys.executable, "-m", "training.probe"]
    return read_probe(command, child_environment(data_dir), PROBE_TIMEOUT_S)


def read_probe(command: list[str], environment: dict[str, str], timeout_s: float) -> Probe:
    """The last whole line that the probe printed, and in `error` why there is none or no more."""
    error = ""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=complaints)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            error = f"no answer within {timeout_s:.0f} s"
        lines = _lines(output)
        if child.returncode != 0 and not error:
            error = (_lines(complaints) or [f"exit code {child.returncode}"])[-1]
    for line in reversed(lines):
        try:
            return Probe.model_validate_json(line).model_copy(update={"error": error})
        except ValidationError:
            continue  # a library printed something of its own, or the line is cut
    return Probe(error=error or "the probe printed nothing")


def _lines(file: IO[bytes]) -> list[str]:
    file.seek(0)
    return file.read().decode("utf-8", "replace").strip().splitlines()


def why_unwritable(folder: Path) -> str:
    """Why no file can be made in the folder; empty when one can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def wal_works(folder: Path) -> bool:
    """Whether a store opened in this folder really gets SQLite's write-ahead log."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".wal-") as trial:
            store = open_store(Path(trial) / "trial.db")
            try:
                return str(store.read().execute("pragma journal_mode").fetchone()[0]).lower() == "wal"
            finally:
                store.close()
    except (OSError, StoreError):
        return False


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk that holds, or will hold, the folder."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def catching_proxies(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Variables that send even loopback to a proxy."""
    excepted = {entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environment.get(name, "").split(",")}
    if excepted & {"*"} or excepted >= LOOPBACK:
        return ()
    names = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    return tuple(name for name in names if environment.get(name))
