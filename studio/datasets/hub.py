"""Brings a Hub dataset onto this machine as a file that the import reads; it must not know what the rows mean.

A child process reads it, since the library that can is heavy. It outlives this process, and whoever asks for the same
again watches the one that runs.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from studio.errors import DatasetError
from studio.runs.process import child_environment, end, launch_of, launched_in, spawn
from training.contract import replace_text
from training.errands import DatasetRequest, DatasetStatus

FETCH = (sys.executable, "-m", "training.fetch_dataset")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
PART = re.compile(r"[\w.+-]{0,100}")
LOOK_S = 0.3
UNDER_WAY = ("starting", "reading")


class HubDatasets:
    """The Hub datasets of one data folder, each in a folder below `data_dir`/hub_datasets."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def fetch(self, wanted: DatasetRequest) -> Iterator[DatasetStatus]:
        """Start the child, or find it running, and say where it stands until it has ended.

        Raises:
            DatasetError: it failed, or what is asked for can be no dataset.
        """
        folder = self._folder(wanted)
        # One that has said its last word is still on its way out.
        if launched_in(folder) is None or _read(folder).state not in UNDER_WAY:
            self._launch(folder, wanted)
        status = DatasetStatus(state="starting")
        while status.state in UNDER_WAY:
            alive = launched_in(folder) is not None
            status = _read(folder)  # after looking at the process, so that its last word is not missed
            if status.state in UNDER_WAY and not alive:
                raise DatasetError("files.error_fetch_crashed", repo=wanted.repo)
            yield status
            if status.state in UNDER_WAY:
                time.sleep(LOOK_S)
        if status.state == "failed":
            raise DatasetError(status.reason_code, **status.reason_values)

    def stop(self, wanted: DatasetRequest) -> None:
        """End the child; what has come is thrown away."""
        folder = self._folder(wanted)
        if process := launched_in(folder):
            (folder / "stop").touch()
            replace_text(folder / "status.json", DatasetStatus(state="cancelled").model_dump_json())
            end(process)

    def take(self, wanted: DatasetRequest, folder: Path) -> Path:
        """Move what has come into `folder`, under a name that says what it is."""
        status = _read(self._folder(wanted))
        name = "-".join(
            [*wanted.repo.split("/"), *([status.config] if status.config != "default" else []), status.split]
        )
        path = folder / f"{name}.jsonl"
        os.replace(self._folder(wanted) / "rows.jsonl", path)
        return path

    def _folder(self, wanted: DatasetRequest) -> Path:
        if not HUB_ID.fullmatch(wanted.repo):
            raise DatasetError("files.error_hub_id", repo=wanted.repo[:100])
        for part in (wanted.config, wanted.split):
            if not PART.fullmatch(part):
                raise DatasetError("files.error_hub_part", part=part[:100])
        return self.data_dir / "hub_datasets" / "--".join([*wanted.repo.split("/"), wanted.config, wanted.split])

    def _launch(self, folder: Path, wanted: DatasetRequest) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left_over in ("stop", "status.json", "launch.json", "rows.jsonl"):
                (folder / left_over).unlink(missing_ok=True)
            replace_text(folder / "config.json", wanted.model_dump_json())
            environment = child_environment(self.data_dir) | {
                "HF_DATASETS_CACHE": str(self.data_dir / "cache" / "datasets")
            }
            child = spawn((*FETCH, str(folder)), folder, folder / "fetch.log", environment)
            self._children[folder.name] = child
            replace_text(folder / "launch.json", launch_of(child).model_dump_json())
        except OSError as error:
            raise DatasetError("files.error_fetch_start", repo=wanted.repo, why=error.strerror or error) from error


def _read(folder: Path) -> DatasetStatus:
    try:
        return DatasetStatus.model_validate_json((folder / "status.json").read_bytes())
    except (OSError, ValidationError):
        return DatasetStatus(state="starting")
