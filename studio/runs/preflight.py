"""What a run would train, found out by a short-lived child before it starts, and kept as long as it stays true.

Knows the child's files, not how anything in them is found out or shown.
"""

import hashlib
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from studio.errors import RunFailed
from studio.runs.freeze import freeze, require_base_model
from studio.runs.last_words import last_line
from studio.runs.materials import Materials, Source, gather
from studio.runs.process import child_environment, spawn
from training.contract import ProbeQuestion, RunConfig, RunFolder, TrainingExample
from training.preflight_report import Preflight

COMMAND = (sys.executable, "-m", "training.preflight")
WAIT_S = 600.0  # half a minute for a 20B model and 64,000 examples, on a machine that trains meanwhile much longer
POLL_S = 0.1
# Free memory and disk change, and what failed for want of a network may work the next time.
REUSED_S = 600.0
PASSING = ("hub.", "worker.error_base_model")
KEPT = 30
DEFAULT_WORDS = RunConfig.model_fields["target_modules"].default
OF_TARGETS = ("worker.error_target_unmatched", "worker.error_experts_closed", "worker.error_expert_dropout")


@dataclass(frozen=True)
class _Child:
    process: "subprocess.Popen[bytes]"
    owners: set[str]  # whoever waits for it; the last one that leaves ends it
    began: float


class AsTheyAre(Materials):
    """The texts of the datasets as they are: to look at a run makes no version."""

    def frozen_examples(self, name: str, config: RunConfig) -> tuple[str, list[TrainingExample]]:
        """The examples of the version that is asked for, else those of the dataset."""
        if config.dataset_version:
            return super().frozen_examples(name, config)
        return "", self._datasets.frozen_examples(name, config)

    def probe_questions(self, config: RunConfig, examples: object, general: object) -> list[ProbeQuestion]:
        """None: nobody is asked before the start."""
        return []


class Preflights:
    """The checks of one data folder. `source` gives what a run would start from; `command` starts a check."""

    def __init__(self, data_dir: Path, source: Source, *, command: Sequence[str] = COMMAND) -> None:
        self.data_dir = data_dir.resolve()
        self.root = self.data_dir / "preflight"
        self.command = tuple(command)
        self.source = source
        self._children: dict[str, _Child] = {}
        self._lock = threading.Lock()

    def begin(self, config: RunConfig, owner: str) -> str:
        """Start the check of a configuration unless its result is known, and return the key to ask with.

        An owner has one check at a time: its former one ends unless another waits for it too. Raises StudioError where
        nothing could be trained.
        """
        require_base_model(config.base_model)
        # Neither name nor preset changes what is trained.
        frozen = gather(self.source, config.model_copy(update={"name": "", "preset": "custom"}))
        new = freeze(self.root / f".{uuid.uuid4().hex}", frozen)
        key = _digest(new)
        with self._lock:
            self._leave_others(owner, key)
            if self._runs(key):
                self._children[key].owners.add(owner)
            elif not _is_fresh(self.root / key):
                shutil.rmtree(self.root / key, ignore_errors=True)
                new.rename(self.root / key)
                self._spawn(key, owner)
            shutil.rmtree(new.parent, ignore_errors=True)
            self._forget_old()
        return key

    def result(self, key: str) -> Preflight | None:
        """What a check found, None while it goes on. Raises RunFailed where it died or takes too long."""
        child = self._children.get(key)
        running = child is not None and child.process.poll() is None
        found = _read(self.root / key)
        if found is None and child is not None and running and time.monotonic() - child.began < WAIT_S:
            return None
        with self._lock:
            self._children.pop(key, None)
        if child is not None:
            _end(child)  # it has said its last word, or never will
        if found is not None:
            return found
        if running:
            raise RunFailed("preflight.error_slow", seconds=round(WAIT_S))
        raise RunFailed("preflight.error_gone", line=last_line(RunFolder(self.root / key).log) or "–")

    def check(self, config: RunConfig) -> Preflight:
        """What a run of this configuration would train; waits for it, within bounds."""
        key = self.begin(config, uuid.uuid4().hex)
        while (found := self.result(key)) is None:
            time.sleep(POLL_S)
        return found

    def refuse_targets(self, configs: Sequence[RunConfig]) -> None:
        """Raise RunFailed where target modules that somebody named are not there, or cannot be adapted.

        The default words mean whatever exists, so only others are looked up; once where configurations differ in
        nothing that decides it.
        """
        named = [config for config in configs if config.target_modules != DEFAULT_WORDS]
        alike = {(c.base_model, c.engine, c.target_modules, c.lora_dropout > 0): c for c in reversed(named)}
        for config in alike.values():
            for finding in self.check(config).findings:
                if finding.code in OF_TARGETS:
                    raise RunFailed(finding.code, **finding.values)

    def _spawn(self, key: str, owner: str) -> None:
        folder = RunFolder(self.root / key)
        try:
            process = spawn(
                (*self.command, str(folder.root)), folder.root, folder.log, child_environment(self.data_dir)
            )
        except OSError as error:
            raise RunFailed("runs.error_spawn", reason=str(error)) from error
        self._children[key] = _Child(process, {owner}, time.monotonic())

    def _runs(self, key: str) -> bool:
        return key in self._children and self._children[key].process.poll() is None

    def _leave_others(self, owner: str, key: str) -> None:
        """The owner's checks but the one of `key`; what nobody waits for any more ends."""
        for other, child in list(self._children.items()):
            if other != key and owner in child.owners:
                child.owners.discard(owner)
                if not child.owners:
                    _end(self._children.pop(other))

    def _forget_old(self) -> None:
        kept = sorted(self.root.glob("[!.]*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in kept[KEPT:]:
            if not self._runs(folder.name):
                self._children.pop(folder.name, None)
                shutil.rmtree(folder, ignore_errors=True)


def _end(child: _Child) -> None:
    child.process.kill()
    child.process.wait()


def _digest(folder: Path) -> str:
    """What tells one run's files from another's."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:24]


def _is_fresh(folder: Path) -> bool:
    found = _read(folder)
    if found is None or any(finding.code.startswith(PASSING) for finding in found.findings):
        return False
    return time.time() - RunFolder(folder).preflight.stat().st_mtime < REUSED_S


def _read(folder: Path) -> Preflight | None:
    """The report, once it is there; what it was made from is not needed any more then."""
    known = RunFolder(folder)
    try:
        found = Preflight.model_validate_json(known.preflight.read_bytes())
    except (OSError, ValidationError):
        return None
    for path in (known.examples, known.documents, known.replay, known.probe_questions):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return found
