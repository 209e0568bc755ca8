"""The NVIDIA GPU of this machine, asked without torch; it must not know what a GPU is used for."""

import ctypes
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

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


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def gpu_load(uuid: str) -> float | None:
    """Share of the last moments in which a GPU computed, as NVML tells; None where it does not (no driver, MIG)."""
    library, handle, found = _nvml(), ctypes.c_void_p(), _Utilization()
    if library is None or library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), ctypes.byref(handle)):
        return None
    if library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(found)):
        return None
    return min(1.0, found.gpu / 100)


@cache
def _nvml() -> Any:
    """NVIDIA's library of the driver, ready to be asked; None without one."""
    for name in ("libnvidia-ml.so.1", f"{WSL_LIBRARIES}/libnvidia-ml.so.1"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        return library if library.nvmlInit_v2() == 0 else None
    return None


def video_memory() -> tuple[int, int] | None:
    """Bytes of the first visible card in all and free; asked of the driver, since a CUDA context would take some."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    told = _nvidia_smi("-i", first, "--query-gpu=memory.total,memory.free", "--format=csv,noheader,nounits")
    figures = re.findall(r"\d+", told)
    return (int(figures[0]) * 2**20, int(figures[1]) * 2**20) if len(figures) == 2 else None


def _nvidia_smi(*arguments: str) -> str:
    command = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=WSL_LIBRARIES)
    if command is None:
        return ""
    try:
        told = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout if told.returncode == 0 else ""
