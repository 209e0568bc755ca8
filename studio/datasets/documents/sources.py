"""The .md and .txt files of a folder, a zip or a tar.gz, one by one; nothing is unpacked onto the disk.

An archive is read in bounded pieces and refused as a whole where it would leave its folder or grow out of proportion.
It must not know what becomes of the files.
"""

import gzip
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from studio.datasets.text import excerpt
from studio.errors import DatasetError

ENDINGS = (".md", ".markdown", ".txt")
LARGEST_FILE_BYTES = 10 * 2**20
LARGEST_TOTAL_BYTES = 4 * 2**30
MOST_FILES = 200_000
# Prose shrinks to a third, lists to a twentieth; gzip's limit is 1,032. Small archives may hold one file of blanks.
LARGEST_RATIO = 100
SYSTEMS_OWN = frozenset(
    {".DS_Store", ".Spotlight-V100", ".Trashes", ".fseventsd", "__MACOSX", ".git", ".svn", ".hg"}
    | {".idea", ".vscode", ".obsidian", ".trash", ".ipynb_checkpoints"}
)
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
RATIO_FROM_BYTES = 32 * 2**20
# What the two readers raise over bytes that are no archive or a damaged one.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)


@dataclass(frozen=True)
class SourceFile:
    """One file; `problem` says why an article, or a whole folder, cannot be read.

    `share` is how much of the source is behind it, from 0 to 1.
    """

    path: str
    data: bytes
    share: float
    problem: DatasetError | None = None


def is_article(path: str) -> bool:
    """Whether a file's name ends like that of a text."""
    return path.lower().endswith(ENDINGS)


def check_source(source: Path) -> None:
    """Raise DatasetError where a path is neither a folder nor an archive that can be read."""
    _kind(source)


def files_of(source: Path) -> Iterator[SourceFile]:
    """Every file of a folder, zip or tar.gz in its order; a name without an article's ending comes without its data.

    Raises:
        DatasetError: the source is damaged, encrypted, leaves its folder or explodes.
    """
    kind = _kind(source)
    if kind == "folder":
        yield from _files_of_folder(source)
        return
    try:
        yield from _files_of_zip(source) if kind == "zip" else _files_of_tar(source)
    except BROKEN as error:
        raise DatasetError("documents.error_damaged", name=excerpt(source.name), reason=excerpt(str(error))) from error


def _kind(source: Path) -> str:
    try:
        if source.is_dir():
            return "folder"
        with source.open("rb") as file:
            head = file.read(4)
    except (OSError, ValueError) as error:
        raise DatasetError("documents.error_no_source", path=excerpt(str(source), 200)) from error
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "tar"
    raise DatasetError("documents.error_no_archive", name=excerpt(source.name))


def _files_of_folder(folder: Path) -> Iterator[SourceFile]:
    limits = _Limits(folder.name, 0)
    closed: list[OSError] = []
    paths = list(_paths_of(folder, limits, closed))
    for error in closed:
        problem = DatasetError("documents.error_unreadable", reason=error.strerror or "")
        yield SourceFile(readable(os.fsencode(os.path.relpath(error.filename, folder))), b"", 0.0, problem)
    for number, path in enumerate(paths, start=1):
        name, share = readable(os.fsencode(path.relative_to(folder))), number / len(paths)
        if not is_article(name):
            yield SourceFile(name, b"", share)
            continue
        if path.is_symlink() or not path.is_file():
            yield SourceFile(name, b"", share, DatasetError("documents.error_link"))
            continue
        try:
            yield _read(name, share, path.stat().st_size, path.open("rb"), limits)
        except OSError as error:
            problem = DatasetError("documents.error_unreadable", reason=error.strerror or "")
            yield SourceFile(name, b"", share, problem)


def _paths_of(folder: Path, limits: "_Limits", closed: list[OSError]) -> Iterator[Path]:
    for at, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(files):
            limits.take_file()
            if not _is_hidden(name):
                yield Path(at, name)


def _files_of_zip(source: Path) -> Iterator[SourceFile]:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        limits = _Limits(source.name, source.stat().st_size)
        for entry in entries:
            _require_inside(_zip_name(entry), source.name)
            limits.take_file()
        # Entries that share their compressed bytes are a bomb of their own kind.
        if sum(entry.compress_size for entry in entries) > source.stat().st_size:
            raise limits.explodes()
        limits.require(sum(entry.file_size for entry in entries if is_article(_zip_name(entry))))
        for number, entry in enumerate(entries, start=1):
            name = _zip_name(entry)
            if entry.is_dir() or _is_hidden(name):
                continue
            yield _zip_file(archive, entry, number / len(entries), limits)


def _zip_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, share: float, limits: "_Limits") -> SourceFile:
    name = _zip_name(entry)
    if entry.flag_bits & 1:
        raise DatasetError("documents.error_encrypted", name=limits.name)
    if not is_article(name):
        return SourceFile(name, b"", share)
    # The other methods of Python's reader unpack without a bound.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return SourceFile(name, b"", share, DatasetError("documents.error_method"))
    if (entry.external_attr >> 16) & 0o170000 == 0o120000:
        return SourceFile(name, b"", share, DatasetError("documents.error_link"))
    try:
        return _read(name, share, entry.file_size, archive.open(entry), limits)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        problem = DatasetError("documents.error_unreadable", reason=excerpt(str(error)))
        return SourceFile(name, b"", share, problem)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name as its writer meant it: without the UTF-8 mark, Windows in Japan writes CP932 and a Mac UTF-8."""
    if entry.flag_bits & 0x800:
        return entry.orig_filename
    return readable(entry.orig_filename.encode("cp437", "replace"))


def _files_of_tar(source: Path) -> Iterator[SourceFile]:
    with source.open("rb") as packed, gzip.GzipFile(fileobj=packed) as unpacked:
        size = source.stat().st_size
        limits = _Limits(source.name, size)
        bounded = cast(IO[bytes], _Bounded(unpacked, packed, limits))
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                name = readable(member.name.encode("utf-8", "surrogateescape"))
                limits.take_file()
                _require_inside(name, source.name)
                if member.islnk() or member.issym():
                    _require_link_inside(name, member, source.name)
                if not member.isfile() or _is_hidden(name):
                    continue
                file = archive.extractfile(member)
                assert file is not None
                yield _read(name, min(packed.tell() / size, 1.0), member.size, file, limits)


def _read(name: str, share: float, size: int, file: IO[bytes], limits: "_Limits") -> SourceFile:
    with file:
        if not is_article(name):
            return SourceFile(name, b"", share)
        if size > LARGEST_FILE_BYTES:
            problem = DatasetError("documents.error_file_large", mib=size // 2**20, most=LARGEST_FILE_BYTES // 2**20)
            return SourceFile(name, b"", share, problem)
        data = file.read(LARGEST_FILE_BYTES)
    limits.take_bytes(len(data))
    return SourceFile(name, data, share)


class _Limits:
    """Counts what comes out of a source and refuses it where it is too much."""

    def __init__(self, name: str, packed_bytes: int) -> None:
        self.name = excerpt(name)
        self._packed_bytes = packed_bytes
        self._files = 0
        self._bytes = 0

    def take_file(self) -> None:
        self._files += 1
        if self._files > MOST_FILES:
            raise DatasetError("documents.error_many_files", name=self.name, most=f"{MOST_FILES:,}")

    def take_bytes(self, number: int) -> None:
        self._bytes += number
        self.require(self._bytes)

    def require(self, unpacked: int, packed: int = 0) -> None:
        """Refuse `unpacked` bytes out of `packed` ones, or out of the whole archive."""
        packed = packed or self._packed_bytes
        out_of_proportion = packed and unpacked > max(RATIO_FROM_BYTES, packed * LARGEST_RATIO)
        if unpacked > LARGEST_TOTAL_BYTES or out_of_proportion:
            raise self.explodes()

    def explodes(self) -> DatasetError:
        return DatasetError("documents.error_explodes", name=self.name)


class _Bounded:
    """What tarfile reads of a gzip stream, kept within the limits even where a header claims gigabytes."""

    def __init__(self, unpacked: gzip.GzipFile, packed: IO[bytes], limits: _Limits) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self._limits = limits

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > LARGEST_FILE_BYTES:
            raise self._limits.explodes()
        data = self._unpacked.read(size)
        self._limits.require(self._unpacked.tell(), self._packed.tell())
        return data

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        here = self._unpacked.tell()
        # Only a header with a negative size leads back, and each step back would unpack everything anew.
        if whence != os.SEEK_SET or position < here:
            raise tarfile.ReadError("a header points backwards")
        # A gzip stream is skipped by unpacking it: in steps, so that a bomb is noticed on the way.
        while here < position and self.read(min(2**20, position - here)):
            here = self._unpacked.tell()
        return here

    def tell(self) -> int:
        return self._unpacked.tell()

    def seekable(self) -> bool:
        return True


def readable(name: bytes) -> str:
    """A file's name as text that can be stored: UTF-8, else CP932 as Japanese Windows writes it."""
    for encoding in ("utf-8", "cp932"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            continue
    return name.decode("utf-8", "replace")


def _is_hidden(name: str) -> bool:
    """Whether a file is the system's own: .DS_Store, a Mac's resource forks, the insides of a repository.

    A dot alone hides nothing: .hack is a work.
    """
    return any(part in SYSTEMS_OWN or part.startswith("._") for part in PurePosixPath(name).parts)


def _require_inside(name: str, archive: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or DRIVE.match(name):
        raise DatasetError("documents.error_escapes", name=excerpt(archive), path=excerpt(name, 80))


def _require_link_inside(name: str, member: tarfile.TarInfo, archive: str) -> None:
    # A symbolic link starts from its own folder, a hard one from the archive's root.
    start = os.path.dirname(name) if member.issym() else ""
    target = os.path.normpath(os.path.join(start, readable(member.linkname.encode("utf-8", "surrogateescape"))))
    if target.startswith(("/", "..")):
        raise DatasetError("documents.error_escapes", name=excerpt(archive), path=excerpt(f"{name} -> {target}", 80))
