"""What the UI and its errand processes promise each other: downloads, datasets of the Hub, exports of runs.

As cheap to import as the contract of runs, and as ignorant of how any of it is done.
"""

from typing import Literal

from pydantic import Field

from training.contract import Engine, Frozen

ExportKind = Literal["merged", "gguf", "push"]


class ErrandStatus(Frozen):
    """What every errand says of itself: why it failed, and which process does it."""

    reason: str = Field("", description="English sentence of a failure; the code and values give it in any language.")
    reason_code: str = ""
    reason_values: dict[str, str] = Field(default_factory=dict)
    pid: int | None = None
    pid_started: float | None = None


class DownloadConfig(Frozen):
    """`config.json` of a download: a Hub id, and the engine that will load it, since unsloth swaps some ids."""

    repo: str
    engine: Engine = "auto"


class DownloadStatus(ErrandStatus):
    """`status.json` of a download; `repo` is the repository that is really fetched."""

    repo: str
    state: Literal["starting", "downloading", "finished", "cancelled", "failed", "crashed"]
    done_bytes: int = 0
    total_bytes: int = 0


class DatasetRequest(Frozen):
    """`config.json` of a dataset's coming from the Hub; an empty part takes the usual or only one."""

    repo: str
    config: str = ""
    split: str = ""
    most_rows: int = Field(1_000_000, ge=1)


class DatasetStatus(ErrandStatus):
    """`status.json` of a dataset's coming; `config` and `split` are the parts that are really read."""

    state: Literal["starting", "reading", "finished", "cancelled", "failed", "crashed"]
    config: str = ""
    split: str = ""
    rows: int = 0
    complete: bool = True


class ExportRequest(Frozen):
    """`config.json` of an export: what a finished run is written out as, and where."""

    run: str
    kind: ExportKind
    base_model: str = Field("", description="Hub id or folder of the 16-bit weights; empty takes the run's own base.")
    repo: str = Field("", description="Repository that a push goes to.")


class ExportStatus(ErrandStatus):
    """`status.json` of an export; `checked` says in figures how the merged weights were compared with the adapter."""

    state: Literal["starting", "running", "finished", "cancelled", "failed", "crashed"]
    done: int = 0
    total: int = 0
    path: str = Field("", description="The folder that was written, or the address that was pushed to.")
    checked: dict[str, float] = Field(default_factory=dict)
