"""How much memory this process holds; it must not know what for."""

import psutil
import torch

_process = psutil.Process()


def used_bytes() -> int:
    """VRAM that torch holds on a CUDA machine (its cache included, as nvidia-smi counts it), else the resident set."""
    if torch.cuda.is_available():
        return torch.cuda.memory_reserved()
    return int(_process.memory_info().rss)
