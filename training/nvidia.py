"""The NVIDIA GPU of this machine, asked without torch; it must not know what a GPU is used for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

COMMAND_TIMEOUT_S = 20.0
WSL_LIBRARIES = "/usr/lib/wsl/lib"


def nvidia_gpu_present() -> bool:
    """Whether there is an NVIDIA GPU that CUDA_VISIBLE_DEVICES does not hide."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/proc/driver/nvidia/gpus").glob("*")):
        return True
    return "GPU " in _nvidia_smi("-L")  # WSL has no /dev/nvidia0, but its driver brings nvidia-smi


def nvidia_driver() -> str:
    """The version of the NVIDIA driver, empty where none is loaded."""
    try:
        loaded = Path("/proc/driver/nvidia/version").read_text("utf-8")
    except OSError:
        loaded = _nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader")
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", loaded)
    return found[0] if found else ""


def _nvidia_smi(*arguments: str) -> str:
    command = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=WSL_LIBRARIES)
    if command is None:
        return ""
    try:
        told = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout if told.returncode == 0 else ""
