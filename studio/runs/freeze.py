"""Writes a new run's folder whole or not at all.

Knows the files that a run starts from, not the process that will read them.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel

from studio.errors import RunFailed
from training.contract import (
    ProbeQuestion,
    RunConfig,
    RunFolder,
    TrainingDocument,
    TrainingExample,
    replace_text,
    resolve_base_model,
)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Frozen:
    """What a run starts from. Articles and replay may be many: they are read while they are written, once."""

    config: RunConfig
    examples: list[TrainingExample]
    documents: Iterable[TrainingDocument] = ()
    replay: Iterable[TrainingExample | TrainingDocument] = ()
    probe_questions: Iterable[ProbeQuestion] = ()


def require_base_model(base_model: str) -> None:
    """Raise RunFailed unless this is a model's folder or could be a Hub id."""
    folder = Path(resolve_base_model(base_model)).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RunFailed("runs.error_model_folder", base_model=base_model)
    elif base_model.startswith("assets/") or not HUB_ID.fullmatch(base_model):
        raise RunFailed("runs.error_no_base_model", base_model=base_model)


def freeze(root: Path, frozen: Frozen) -> Path:
    """A new run folder below `root` with a readable id of its own; nothing is left behind on failure."""
    new = root / ".new"  # one at a time: the caller holds the lease, so a left-over is a crash's
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        folder = RunFolder(new)
        _write(folder.examples, frozen.examples)
        for path, lines in (
            (folder.documents, frozen.documents),
            (folder.replay, frozen.replay),
            (folder.probe_questions, frozen.probe_questions),
        ):
            _write(path, lines)
            if not path.stat().st_size:
                path.unlink()
        replace_text(folder.config, frozen.config.model_dump_json(indent=2))
        return _take_id(new, _slug(frozen.config))
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        _explain(error, root)


def _write(path: Path, lines: Iterable[BaseModel]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line.model_dump_json() + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


def _slug(config: RunConfig) -> str:
    """Ascii only: the id is a folder, a model name in the server and an adapter name, where PEFT allows no dot."""
    words = [re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in (config.name, config.preset)]
    return next(filter(None, words), "run")[:48]


def _take_id(new: Path, slug: str) -> Path:
    taken = [re.fullmatch(rf"{re.escape(slug)}-(\d+)", path.name) for path in new.parent.iterdir()]
    number = max((int(match[1]) for match in taken if match), default=0) + 1
    while True:
        target = new.with_name(f"{slug}-{number}")
        try:
            return new.rename(target)  # refused where a folder with files has that name
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            number += 1


def _explain(error: OSError, root: Path) -> NoReturn:
    if error.errno in FULL:
        raise RunFailed("runs.error_disk_full", folder=str(root)) from error
    raise RunFailed("runs.error_write", folder=str(root), reason=error.strerror or str(error)) from error
