"""Which adapter folders fit a base, and how PEFT is left clean after each batch; it must not know of requests.

Runs inside the model server, after the engine has been imported.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from training.contract import BASE_FILE, resolve_base_model
from training.errors import RunError

# unsloth loads a 4-bit copy of a repository under another name; the weights are the same base.
_FOUR_BIT_COPY = re.compile(r"(?:-unsloth)?-bnb-4bit$")
_HUB_CACHE = re.compile(r"models--([^/]+)--([^/]+)/snapshots/")


def check_adapter(name: str, folder: Path, base_model: str, fingerprint: str) -> None:
    """Refuse an adapter folder that is not complete or was trained on another base.

    Raises:
        RunError: what is missing or what the adapter's base is.
    """
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).is_file():
            raise RunError("inference.error_adapter_incomplete", model=name, file=file, folder=folder)
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        trained_on = str(config["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError("inference.error_adapter_unreadable", model=name, folder=folder, problem=error) from error
    if not same_base(trained_on, base_model):
        raise RunError("inference.error_adapter_other_base", model=name, trained_on=trained_on, base_model=base_model)
    recorded = _recorded_fingerprint(folder)
    if recorded and fingerprint and recorded != fingerprint:
        raise RunError("inference.error_adapter_other_weights", model=name, base_model=base_model)


def _recorded_fingerprint(folder: Path) -> str:
    """What the worker wrote beside the adapter; nothing where another program made it."""
    try:
        return str(json.loads((folder / BASE_FILE).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def same_base(one: str, other: str) -> bool:
    """Whether two names mean one base: Hub id, its 4-bit copy, its folder in the cache, or a folder that was moved."""
    first, second = _identity(one), _identity(other)
    if first == second:
        return True
    folders = [Path(name) for name in (first, second) if Path(name).is_absolute()]
    # An adapter remembers the folder it was trained in; on another machine, that folder has another beginning.
    moved = len(folders) == 2 and not all(folder.exists() for folder in folders)
    return moved and folders[0].parts[-2:] == folders[1].parts[-2:]


def _identity(base_model: str) -> str:
    if cached := _HUB_CACHE.search(base_model + "/"):
        base_model = f"{cached[1]}/{cached[2]}"
    located = Path(resolve_base_model(base_model)).expanduser()
    if located.is_absolute() or located.is_dir():
        return str(located.resolve())
    return _FOUR_BIT_COPY.sub("", base_model.lower())


def tensor_names(folder: Path) -> set[str]:
    """The names of an adapter file's tensors."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as tensors:
        return set(tensors.keys())


def purge_adapter_hooks(model: Any) -> int:
    """Remove the hooks that PEFT leaves behind when `generate(adapter_names=...)` ends by an exception.

    They would make every later answer use the adapters of that batch. See
    https://github.com/huggingface/peft/issues/3475; not needed once PEFT removes them itself.
    """
    purged = 0
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in list(hooks.items()):
                if isinstance(hook, partial) and "adapter_names" in hook.keywords:
                    del hooks[key]
                    module._forward_pre_hooks_with_kwargs.pop(key, None)
                    purged += 1
    return purged
