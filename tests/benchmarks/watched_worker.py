"""`training.worker` with a look at the 4-bit weights before and after: writes `weights.json` into the run's folder.

For the engine transformers only; unsloth would have to be imported first.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from training import recipe, worker

seen: dict[str, Any] = {}


def _look(model: Any) -> tuple[list[str], str]:
    """The kinds of the quantised weights and the SHA-256 of all their bytes."""
    packed = [parameter for parameter in model.parameters() if hasattr(parameter, "quant_type")]
    digest = hashlib.sha256()
    for parameter in packed:
        digest.update(parameter.data.cpu().numpy().tobytes())
    return sorted({parameter.quant_type for parameter in packed}), digest.hexdigest()


def _loaded(*arguments: Any, load: Any = recipe._load) -> Any:
    base = load(*arguments)
    seen["kinds"], seen["sha256_before"] = _look(base.model)
    return base


def _saved(model: Any, *arguments: Any, save: Any = recipe.save_adapter) -> None:
    seen["kinds_after"], seen["sha256_after"] = _look(model)
    (Path(sys.argv[1]) / "weights.json").write_text(json.dumps(seen), "utf-8")
    save(model, *arguments)


if __name__ == "__main__":
    recipe._load, recipe.save_adapter = _loaded, _saved
    sys.exit(worker.main(sys.argv[1:]))
