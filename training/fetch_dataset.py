"""`python -m training.fetch_dataset FOLDER`: brings the rows of a Hub dataset into FOLDER/rows.jsonl, row by row.

Reads FOLDER/config.json, writes FOLDER/status.json, ends when FOLDER/stop appears. It must not know who watches, nor
what the rows mean.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from training.contract import replace_text
from training.errands import DatasetRequest, DatasetStatus
from training.errors import RunError, Stopped

REPORT_S = 0.3
MEDIA = ("Image", "Audio", "Video", "Pdf")


def main(folder: Path) -> int:
    """Fetch until done, told to stop, or failed with a sentence; the exit status."""
    request = DatasetRequest.model_validate_json((folder / "config.json").read_bytes())
    me = psutil.Process()
    status = DatasetStatus(state="starting", pid=me.pid, pid_started=me.create_time())

    def say(**changes: object) -> None:
        nonlocal status
        status = DatasetStatus.model_validate({**status.model_dump(), **changes})
        replace_text(folder / "status.json", status.model_dump_json())

    say()
    try:
        rows, found = _open(request)
        say(state="reading", **found)
        written, complete = _write(rows, folder / "rows.jsonl", request.most_rows, _watch(folder, say))
    except Stopped:
        say(state="cancelled")
        return 0
    except RunError as error:
        say(state="failed", reason=str(error), reason_code=error.code, reason_values=error.values)
        return 1
    say(state="finished", rows=written, complete=complete)
    return 0


def _watch(folder: Path, say: Callable[..., None]) -> Callable[[int], None]:
    last = 0.0

    def on_row(number: int) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT_S:
            last = time.monotonic()
            say(rows=number)
            if (folder / "stop").exists():
                raise Stopped

    return on_row


def _open(request: DatasetRequest) -> tuple[Iterator[Mapping[str, Any]], dict[str, str]]:
    """The rows of the wanted part of a dataset, and which part that is."""
    # Their import takes seconds, and the status shall say at once that this process lives.
    import datasets
    from huggingface_hub import HfApi, constants

    from training.hub import failures_told_apart

    if constants.HF_HUB_OFFLINE:
        raise RunError("hub.error_dataset_offline", repo=request.repo)
    # With its kind before it, it is also the path of its page.
    with failures_told_apart(f"datasets/{request.repo}"):
        revision = HfApi().dataset_info(request.repo, timeout=20.0).sha
    with _loading_told_apart(request.repo):
        config = _chosen(request, "config", datasets.get_dataset_config_names(request.repo, revision=revision))
        parts = datasets.load_dataset(request.repo, config, revision=revision, streaming=True)
        split = _chosen(request, "split", list(parts))
        return _rows(parts[split], request.repo), {"config": config, "split": split}


def _chosen(request: DatasetRequest, part: str, names: list[str]) -> str:
    """The part that was asked for; of several, where none was, the one with the usual name."""
    asked: str = getattr(request, part)
    if not asked:
        usual = [name for name in ("default", "train") if name in names]
        if usual or len(names) == 1:
            return [*usual, *names][0]
    if asked not in names:
        raise RunError(f"hub.error_dataset_{part}", repo=request.repo, asked=asked or "–", names=", ".join(names))
    return asked


def _rows(part: Any, repo: str) -> Iterator[Mapping[str, Any]]:
    """Rows without pictures and sounds, which would be decoded only to be thrown away."""
    media = [name for name, kind in (part.features or {}).items() if type(kind).__name__ in MEDIA]
    with _loading_told_apart(repo):
        yield from part.remove_columns(media) if media else part


def _write(rows: Iterator[Mapping[str, Any]], path: Path, most: int, on_row: Callable[[int], None]) -> tuple[int, bool]:
    """How many rows were written, and whether those were all."""
    number = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            if number == most:
                return number, False
            # Dates and bytes have no form of their own in JSON.
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            number += 1
            on_row(number)
    return number, True


@contextmanager
def _loading_told_apart(repo: str) -> Iterator[None]:
    """What `datasets` says of a repository that it cannot read becomes a sentence; anything else is a bug."""
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetsError

    try:
        yield
    except (DataFilesNotFoundError, EmptyDatasetError) as error:
        raise RunError("hub.error_dataset_no_files", repo=repo) from error
    except (DatasetsError, OSError, RuntimeError, ValueError, TypeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise RunError("hub.error_dataset_unreadable", repo=repo, problem=problem or type(error).__name__) from error


if __name__ == "__main__":
    # Reading a dataset is nobody's business but the reader's.
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    sys.exit(main(Path(sys.argv[1])))
