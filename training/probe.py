"""`python -m training.probe`: prints as JSON lines what torch, bitsandbytes and unsloth can do on this machine.

The UI process must not load them, so it asks this short-lived child. Each line repeats the former and adds to it: a
reader that loses patience takes the last whole line. It must not know what is a problem.
"""

import importlib.metadata
import importlib.util
import json
import os
import tempfile
from collections.abc import Callable
from typing import Any


def _attempt(facts: dict[str, Any], name: str, look: Callable[[], dict[str, Any]]) -> None:
    """Add what `look` finds, or why it failed; one broken library must not hide the others."""
    try:
        facts |= look()
    except Exception as error:
        facts[f"{name}_error"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    print(json.dumps(facts), flush=True)  # noqa: T201 - the answer of this command


def _torch() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "torch_cuda": torch.version.cuda}
    found["cuda_available"] = torch.cuda.is_available()
    if found["cuda_available"]:
        found["device"] = torch.cuda.get_device_name()
        found["vram_bytes"] = torch.cuda.get_device_properties(0).total_memory
        torch.zeros(8, device="cuda").add_(1).sum().item()  # a kernel really runs, or says why not
    return found


def _bitsandbytes() -> dict[str, Any]:
    import bitsandbytes

    return {"bitsandbytes": bitsandbytes.__version__}


def _unsloth() -> dict[str, Any]:
    found = {"unsloth": importlib.metadata.version("unsloth")}
    import torch

    if torch.cuda.is_available():  # without a GPU it refuses to be imported
        import unsloth  # noqa: F401
    return found


def main() -> None:
    """Look at one library after the other; the slowest comes last."""
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    facts: dict[str, Any] = {}
    _attempt(facts, "torch", _torch)
    _attempt(facts, "bitsandbytes", _bitsandbytes)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", folder)
        _attempt(facts, "unsloth", _unsloth)


if __name__ == "__main__":
    main()
