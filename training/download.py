"""`python -m training.download FOLDER`: brings one repository into the Hub's cache and says how far it is.

Reads FOLDER/config.json, writes FOLDER/status.json, ends when FOLDER/stop appears. It must not know who watches.
"""

import sys
from pathlib import Path

import psutil

from training.contract import replace_text
from training.errands import DownloadConfig, DownloadStatus
from training.errors import RunError, Stopped
from training.hub import ensure_model, repository_for


class _StatusFile:
    def __init__(self, folder: Path, repo: str) -> None:
        self._path = folder / "status.json"
        me = psutil.Process()
        self._status = DownloadStatus(repo=repo, state="starting", pid=me.pid, pid_started=me.create_time())

    def say(self, **changes: object) -> None:
        self._status = DownloadStatus.model_validate({**self._status.model_dump(), **changes})
        replace_text(self._path, self._status.model_dump_json())


def main(folder: Path) -> int:
    """Download until done, told to stop, or failed with a sentence; the exit status."""
    config = DownloadConfig.model_validate_json((folder / "config.json").read_bytes())
    repo = repository_for(config.repo, config.engine)
    status = _StatusFile(folder, repo)
    status.say()

    def report(done_bytes: int, total_bytes: int) -> None:
        status.say(state="downloading", done_bytes=done_bytes, total_bytes=total_bytes)

    try:
        ensure_model(repo, report, (folder / "stop").exists)
    except Stopped:
        status.say(state="cancelled")
        return 0
    except RunError as error:
        status.say(state="failed", reason=str(error), reason_code=error.code, reason_values=error.values)
        return 1
    status.say(state="finished")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
