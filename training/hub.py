"""Finds a base model on this machine or brings it from the Hub: bytes counted, resumable, every failure told apart.

Knows repositories and files, not what a model is or how it is loaded. The weights are fetched here rather than by
huggingface_hub, which since 1.x throws a half-downloaded file away; it still puts everything in its place in its cache.
"""

import errno
import fnmatch
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout
from huggingface_hub import (
    HfApi,
    constants,
    get_cached_repo_tree,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, hf_raise_for_status

from training.contract import Engine, resolve_base_model
from training.errors import RunError, Stopped

GB = 10**9
CHUNK_BYTES = 1 << 16
REPORT_S = 0.25
TIMEOUT = httpx.Timeout(5.0, connect=10.0)  # of silence; a stalled connection is resumed on a new one
ATTEMPTS = 4  # in a row without a byte; each byte that comes gives them all back
RETRY_S = 1.0
DISK_RESERVE_BYTES = 200 * 10**6
# Copies of the weights in formats that nothing here loads.
NEVER = ("original/*", "metal/*", "onnx/*", "*.gguf", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite")
OLD_WEIGHTS = ("*.bin", "*.pt", "*.pth")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: `blob` is its name in the Hub's cache."""

    name: str
    size: int
    blob: str


def repository_for(base_model: str, engine: Engine) -> str:
    """The repository that `engine` really loads: unsloth swaps some Hub ids for pre-quantised ones."""
    if engine != "unsloth" or Path(resolve_base_model(base_model)).expanduser().is_dir():
        return base_model
    return _unsloth_names().get(base_model.lower(), base_model)


@lru_cache(maxsize=1)
def _unsloth_names() -> dict[str, str]:
    """unsloth's own table, read without importing unsloth, which needs a GPU and patches what it finds."""
    package = importlib.util.find_spec("unsloth")
    for place in (package.submodule_search_locations or []) if package else []:
        spec = importlib.util.spec_from_file_location("unsloth_names", Path(place) / "models" / "mapper.py")
        if spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return dict(module.FLOAT_TO_INT_MAPPER)
    return {}


def ensure_model(
    base_model: str,
    on_progress: Callable[[int, int], None] = lambda done_bytes, total_bytes: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> str:
    """The local folder of a base model: a folder as it is, a complete cached snapshot, else downloaded now.

    Raises RunError with a sentence of its own for: no such repository, no permission, offline, disk full, connection
    cut (asking again resumes); Stopped when cancelled, keeping what has arrived.
    """
    folder = Path(resolve_base_model(base_model)).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    with failures_told_apart(base_model):
        if (found := cached_snapshot(base_model)) is not None:
            return str(found)
        if constants.HF_HUB_OFFLINE:
            raise RunError("hub.error_offline_wanted", repo=base_model)
        info = HfApi().model_info(base_model, files_metadata=True, timeout=20.0)
        files = _files(info)
        download = _Download(base_model, str(info.sha), files, on_progress, cancelled)
        download.run()
        disable_progress_bars()
        # Every blob is there: this links them into a snapshot and writes the listing that cached_snapshot trusts.
        return snapshot_download(base_model, revision="main", allow_patterns=[file.name for file in files])


def cached_snapshot(base_model: str) -> Path | None:
    """The folder of a snapshot that lacks nothing, without asking the network."""
    configuration = try_to_load_from_cache(base_model, "config.json")
    if not isinstance(configuration, str):
        return None
    folder = Path(configuration).parent
    try:
        names = wanted(entry.path for entry in get_cached_repo_tree(base_model))
        return folder if all((folder / name).exists() for name in names) else None
    except CachedRepoTreeNotFoundError:  # another program downloaded it
        return folder if _weights_complete(folder) else None


def download_size(base_model: str) -> int:
    """Bytes of the files of a repository that loading needs, asked of the Hub."""
    return sum(file.size for file in _files(HfApi().model_info(base_model, files_metadata=True, timeout=20.0)))


def wanted(names: Iterable[str]) -> list[str]:
    """The files of a repository that loading needs."""
    kept = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in NEVER)]
    if any(name.endswith(".safetensors") for name in kept):
        kept = [name for name in kept if not any(fnmatch.fnmatch(name, pattern) for pattern in OLD_WEIGHTS)]
    return kept


def _weights_complete(folder: Path) -> bool:
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).exists():
            shards = set(json.loads((folder / index).read_bytes())["weight_map"].values())
            return all((folder / shard).exists() for shard in shards)
    return (folder / "model.safetensors").exists() or (folder / "pytorch_model.bin").exists()


def _files(info: Any) -> list[RemoteFile]:
    """Small files first, so that a model that turns out unusable is known early."""
    names = set(wanted(entry.rfilename for entry in info.siblings))
    files = [
        RemoteFile(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else entry.blob_id)
        for entry in info.siblings
        if entry.rfilename in names
    ]
    return sorted(files, key=lambda file: file.size)


@dataclass
class _Download:
    """One download into the Hub's cache, byte by byte."""

    repo: str
    revision: str
    files: list[RemoteFile]
    on_progress: Callable[[int, int], None]
    cancelled: Callable[[], bool]
    done_bytes: int = 0
    reported: float = field(default=0.0)

    def run(self) -> None:
        """Fetch every blob that the cache lacks."""
        blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repo, repo_type="model") / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        unique = {file.blob: file for file in self.files}.values()
        self.files = list(unique)
        self.done_bytes = sum(_size(blobs / file.blob) or _size(_partial(blobs, file)) for file in self.files)
        self._require_space(blobs)
        self._report(now=True)
        with httpx.Client(headers=build_hf_headers(), timeout=TIMEOUT, follow_redirects=True) as client:
            for file in self.files:
                with self._alone(blobs, file):
                    if not (blobs / file.blob).exists():
                        self._fetch(client, file, _partial(blobs, file))
                        os.replace(_partial(blobs, file), blobs / file.blob)
        self._report(now=True)

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)

    def _require_space(self, folder: Path) -> None:
        needed = self.total_bytes - self.done_bytes
        free = shutil.disk_usage(folder).free
        if needed and needed + DISK_RESERVE_BYTES > free:
            sizes = {"needed_gb": f"{needed / GB:.1f}", "free_gb": f"{free / GB:.1f}"}
            raise RunError("hub.error_disk_full", repo=self.repo, folder=constants.HF_HUB_CACHE, **sizes)

    @contextmanager
    def _alone(self, blobs: Path, file: RemoteFile) -> Iterator[None]:
        """A worker and the Models page may want one file at once: the second waits and finds it done."""
        lock = FileLock(f"{_partial(blobs, file)}.lock")
        while True:
            self._stop_if_cancelled()
            try:
                lock.acquire(timeout=RETRY_S)
                break
            except Timeout:
                continue
        try:
            yield
        finally:
            lock.release()

    def _fetch(self, client: httpx.Client, file: RemoteFile, partial: Path) -> None:
        attempts = ATTEMPTS
        while _size(partial) < file.size or not partial.exists():
            before = _size(partial)
            try:
                self._stream(client, file, partial)
            except httpx.TransportError:
                attempts = ATTEMPTS if _size(partial) > before else attempts - 1
                if attempts <= 0:
                    raise
                self._stop_if_cancelled()
                time.sleep(RETRY_S)
        if _size(partial) != file.size:
            partial.unlink()
            raise RunError("hub.error_damaged", repo=self.repo, file=file.name)

    def _stream(self, client: httpx.Client, file: RemoteFile, partial: Path) -> None:
        have = _size(partial)
        url = hf_hub_url(self.repo, file.name, revision=self.revision)
        # Compressed bytes could not be counted or resumed.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with client.stream("GET", url, headers=headers) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if not resumed:
                self.done_bytes -= have
            with partial.open("ab" if resumed else "wb") as output:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    output.write(chunk)
                    self.done_bytes += len(chunk)
                    self._stop_if_cancelled()
                    self._report()

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise Stopped

    def _report(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self.reported > REPORT_S:
            self.reported = time.monotonic()
            self.on_progress(self.done_bytes, self.total_bytes)


def _partial(blobs: Path, file: RemoteFile) -> Path:
    return blobs / f"{file.blob}.incomplete"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def failures_told_apart(repo: str) -> Iterator[None]:
    """Each thing that can go wrong between here and the Hub becomes its own sentence."""
    try:
        yield
    except HFValidationError as error:
        raise RunError("hub.error_bad_id", repo=repo) from error
    except HfHubHTTPError as error:
        raise _refusal(repo, error) from error
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, LocalEntryNotFoundError) as error:
        raise RunError("hub.error_unreachable", repo=repo, endpoint=constants.ENDPOINT) from error
    except httpx.TransportError as error:
        raise RunError("hub.error_cut", repo=repo, problem=type(error).__name__) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(Path(constants.HF_HUB_CACHE)).free
            raise RunError("hub.error_disk_ran_full", repo=repo, folder=constants.HF_HUB_CACHE, free=free) from error
        raise RunError("hub.error_cache", repo=repo, folder=constants.HF_HUB_CACHE, problem=error) from error


def _refusal(repo: str, error: HfHubHTTPError) -> RunError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return RunError("hub.error_gated", repo=repo, endpoint=constants.ENDPOINT)
    if isinstance(error, RepositoryNotFoundError):
        return RunError("hub.error_not_found", repo=repo)
    if status in (401, 403):
        return RunError("hub.error_forbidden", repo=repo, status=status)
    return RunError("hub.error_refused", repo=repo, status=status)
