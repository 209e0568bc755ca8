"""Finds a base model on this machine or brings it from the Hub: bytes counted, resumable, every failure told apart.

Knows repositories and files, not what a model is or how it is loaded.
"""

from collections.abc import Callable

from training.contract import Engine


def repository_for(base_model: str, engine: Engine) -> str:
    """The repository that `engine` really loads: unsloth swaps some Hub ids for pre-quantised ones."""
    raise NotImplementedError


def ensure_model(
    base_model: str,
    on_progress: Callable[[int, int], None] = lambda done_bytes, total_bytes: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The local folder of a base model: a folder as it is, a complete cached snapshot, else downloaded now.

    Raises RunError with a sentence of its own for: no such folder or repository, no permission, offline, disk full,
    connection cut (asking again resumes), cancelled.
    """
    raise NotImplementedError
