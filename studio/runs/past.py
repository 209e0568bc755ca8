"""Runs that were: found again, named, noted, compared and deleted; it must not know how a run is made."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.datasets.text import SURROGATE, fold
from studio.errors import RunFailed
from studio.runs.about import About, read_about, write_about
from studio.runs.lease import handover
from studio.runs.process import launched_in
from studio.runs.registry import Runs, RunSummary
from training.contract import Frozen, ProbeRecord, QuestionSet, RunConfig, RunFolder, RunStatus

GONE = ".deleted-"
# What tells one run from another without changing what it learns.
NO_SETTING = frozenset({"name", "report_to"})
_SEARCHED = ("run_id", "name", "note", "preset", "dataset", "dataset_version", "base_model", "init_run")


class Compared(Frozen):
    """Runs beside one another: of every field, one value a run."""

    run_ids: tuple[str, ...]
    names: tuple[str, ...]
    settings: dict[str, tuple[Any, ...]]  # only those that differ
    statuses: tuple[RunStatus, ...]
    scores: dict[QuestionSet, tuple[ProbeRecord | None, ...]]


class PastRuns:
    """What people do with the runs of a data folder when they are over."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def find(self, search: str, locale: str = "en") -> list[RunSummary]:
        """Runs that hold every searched word in their name, note, data, base or preset, newest first."""
        words = fold(search).split()
        return [run for run in self.runs.summaries(locale) if all(word in _text_of(run) for word in words)]

    def about(self, run_id: str) -> About:
        """What people call a run and say about it."""
        return read_about(self.runs.folder(run_id)).model_copy(update={"name": self.runs.name(run_id)})

    def describe(self, run_id: str, *, name: str, note: str) -> None:
        """Give a run another name and note; an empty name gives back the one it was started with."""
        folder = self.runs.folder(run_id)
        given = {"name": SURROGATE.sub("", name).strip(), "note": SURROGATE.sub("", note).strip()}
        try:
            write_about(folder, About(**given, group=read_about(folder).group))
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            limit = next(limit.max_length for limit in About.model_fields[field].metadata)
            raise RunFailed("past.error_long", length=len(given[field]), limit=limit) from None
        except OSError as error:
            raise RunFailed("past.error_write", run=run_id, reason=error.strerror or str(error)) from error

    def size_bytes(self, run_id: str) -> int:
        """What a run takes on the disk, checkpoints included."""
        return sum(_size(path) for path in self.runs.folder(run_id).root.rglob("*"))

    def delete(self, run_id: str) -> int:
        """Delete a run that is over and that no other run needs any more; the bytes that became free."""
        with handover(self.runs.data_dir):
            folder = self.runs.folder(run_id)
            self._require_deletable(run_id)
            size = self.size_bytes(run_id)
            gone = folder.root.with_name(GONE + run_id)
            try:
                folder.root.rename(gone)
                # The empty folder keeps the id from being given again: votes and servers know runs by their ids.
                folder.root.mkdir()
            except OSError as error:
                raise RunFailed("past.error_write", run=run_id, reason=error.strerror or str(error)) from error
        for left_over in self.runs.root.glob(f"{GONE}*"):  # what a crash has left of an earlier one as well
            shutil.rmtree(left_over, ignore_errors=True)
        return size

    def compare(self, run_ids: Sequence[str], locale: str = "en") -> Compared:
        """The settings in which runs differ, how they ended, and what they answered when last asked.

        A run without a readable configuration raises RunFailed.
        """
        chosen = list(dict.fromkeys(run_ids))
        configs = [self.runs.config(run_id) for run_id in chosen]
        probes = [last_probes(self.runs.folder(run_id)) for run_id in chosen]
        asked = dict.fromkeys(name for found in probes for name in found)
        return Compared(
            run_ids=tuple(chosen),
            names=tuple(self.runs.name(run_id) for run_id in chosen),
            settings=_differing(configs),
            statuses=tuple(self.runs.status(run_id, locale) for run_id in chosen),
            scores={name: tuple(found.get(name) for found in probes) for name in asked},
        )

    def siblings(self, run_id: str) -> list[str]:
        """The runs of the sweep that a run belongs to, in the order of their start; itself where it is alone."""
        group = read_about(self.runs.folder(run_id)).group
        found = [run.run_id for run in reversed(self.runs.summaries()) if group and run.group == group]
        return found or [run_id]

    def _require_deletable(self, run_id: str) -> None:
        status = self.runs.status(run_id)
        if status.state == "queued":
            raise RunFailed("past.error_queued", run=run_id)
        if not status.ended:
            raise RunFailed("past.error_running", run=run_id)
        if any(map(launched_in, self.runs.folder(run_id).exports.glob("*"))):
            raise RunFailed("past.error_exporting", run=run_id)
        for other in self.runs.ids():
            needs = other != run_id and self.runs.stage_before(other) == run_id
            if needs and self.runs.status(other).state != "finished":  # what can be resumed needs it too
                raise RunFailed("past.error_needed", run=run_id, other=other)


def last_probes(folder: RunFolder) -> dict[QuestionSet, ProbeRecord]:
    """What a run last answered to each question set; of a run whose best checkpoint was saved, what that one did."""
    try:
        records, status = folder.read_probes()[0], folder.read_status()
    except (OSError, ValidationError):
        return {}
    best = status.best_step if status else None
    return {record.question_set: record for record in records if best is None or record.step <= best}


def _differing(configs: Sequence[RunConfig]) -> dict[str, tuple[Any, ...]]:
    columns = {name: tuple(getattr(config, name) for config in configs) for name in RunConfig.model_fields}
    return {name: column for name, column in columns.items() if len(set(column)) > 1 and name not in NO_SETTING}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _text_of(run: RunSummary) -> str:
    return fold(" ".join(getattr(run, name) for name in _SEARCHED))
