"""Folders and archives are read file by file; what leaves its folder, explodes or is damaged is refused as a whole."""

import errno
import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.datasets.documents import sources
from studio.datasets.documents.sources import files_of
from studio.errors import DatasetError

TEXTS = {"a/銀魂.md": "# 銀魂\n空知英秋の漫画。", "a/b/二.txt": "二つめ", "c.md": ""}


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data))
    return path


def file(name: str, data: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def zip_of(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def folder_of(path: Path) -> Path:
    for name, text in TEXTS.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, "utf-8")
    return path


def refusal(source: Path) -> str:
    with pytest.raises(DatasetError) as refused:
        list(files_of(source))
    return refused.value.key.removeprefix("documents.error_")


MAKERS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda at: folder_of(at / "docs"),
    "zip": lambda at: zip_of(at / "docs.zip", {name: text.encode() for name, text in TEXTS.items()}),
    "tar.gz": lambda at: tar_of(at / "docs.tar.gz", *(file(name, text.encode()) for name, text in TEXTS.items())),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_every_kind_of_source_gives_the_same_files(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = list(files_of(make(tmp_path)))
    assert {file.path: file.data.decode() for file in found} == TEXTS
    assert [file.share for file in found] == sorted(file.share for file in found) and found[-1].share <= 1


@pytest.mark.parametrize("name", ["../out.md", "/etc/out.md", "a/../../out.md", "..\\out.md", "C:\\out.md"])
def test_a_name_that_leaves_the_folder_refuses_the_archive(tmp_path: Path, name: str) -> None:
    assert refusal(tar_of(tmp_path / "bad.tar.gz", file("good.md"), file(name))) == "escapes"
    assert refusal(zip_of(tmp_path / "bad.zip", {"good.md": b"x", name: b"x"})) == "escapes"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_out_of_the_folder_refuses_the_archive(tmp_path: Path, target: str, kind: bytes) -> None:
    assert refusal(tar_of(tmp_path / "bad.tar.gz", file("good.md"), link("a/link.md", target, kind))) == "escapes"


def test_a_link_within_the_archive_is_left_aside(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", file("a/good.md"), link("a/b/link.md", "../good.md"))
    assert [file.path for file in files_of(archive)] == ["a/good.md"]


def test_links_of_a_folder_and_of_a_zip_are_reported_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    folder = folder_of(tmp_path / "docs")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "up").symlink_to(tmp_path)
    entry = zipfile.ZipInfo("link.md")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "../secret.md")
    for source in (folder, tmp_path / "a.zip"):
        found = {file.path: file for file in files_of(source)}
        assert found["link.md"].problem and not any(b"secret" in file.data for file in found.values())


def test_blanks_that_unpack_to_a_thousandfold_are_refused_before_all_is_unpacked(tmp_path: Path) -> None:
    blanks = b" " * sources.LARGEST_FILE_BYTES
    files = {f"{number}.md": blanks for number in range(5)}
    assert refusal(zip_of(tmp_path / "bomb.zip", files)) == "explodes"
    assert refusal(tar_of(tmp_path / "bomb.tar.gz", *(file(*entry) for entry in files.items()))) == "explodes"


def test_a_large_file_that_is_no_article_cannot_explode_either(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "bomb.tar.gz", file("zeros.bin", bytes(2**26)), file("a.md"))
    assert refusal(archive) == "explodes"


def test_a_zip_whose_entries_share_their_bytes_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.md": os.urandom(50_000)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    entry, end = bytes(data[at : data.index(b"PK\x05\x06")]), data.index(b"PK\x05\x06")
    # 100 entries of the directory name the same 50,000 bytes.
    data[end:end] = entry * 99
    struct.pack_into("<HHI", data, data.index(b"PK\x05\x06") + 8, 100, 100, 100 * len(entry))
    path.write_bytes(data)
    assert refusal(path) == "explodes"


def test_a_header_that_claims_gigabytes_is_refused_without_taking_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**32
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2**20)))
    assert refusal(tmp_path / "bomb.tar.gz") == "explodes"


def test_a_header_with_a_negative_size_ends_the_reading(tmp_path: Path) -> None:
    good, bad = tarfile.TarInfo("good.md"), bytearray(tarfile.TarInfo("bad.md").tobuf())
    bad[124:136] = b"\xff" * 10 + b"\xfe\x00"  # base 256, below zero
    bad[148:156] = b" " * 8
    bad[148:156] = b"%06o\0 " % sum(bad)
    (tmp_path / "loop.tar.gz").write_bytes(gzip.compress(good.tobuf() + bytes(bad) + bytes(10_240)))
    assert refusal(tmp_path / "loop.tar.gz") == "damaged"


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_FILES", 2)
    for make in MAKERS.values():
        assert refusal(make(tmp_path)) == "many_files"


def test_one_file_that_is_too_large_is_left_out_and_the_others_come_in(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", file("big.md", os.urandom(sources.LARGEST_FILE_BYTES + 1)), file("a.md"))
    big, small = files_of(archive)
    assert big.problem and big.data == b"" and small.data == b"x"


def test_a_file_that_is_damaged_inside_its_zip_is_left_out(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.md": b"hello", "b.md": b"world"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"hello", b"jello", 1))
    assert [bool(file.problem) for file in files_of(path)] == [True, False]


def test_an_encrypted_zip_and_an_unknown_method_say_so(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", {"a.md": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refusal(path) == "encrypted"
    (only,) = files_of(zip_of(tmp_path / "b.zip", {"a.md": b"x"}, zipfile.ZIP_BZIP2))
    assert only.problem


@pytest.mark.parametrize("encoding", ["cp932", "utf-8"])
def test_japanese_names_of_a_zip_without_a_mark_are_readable(tmp_path: Path, encoding: str) -> None:
    path = zip_of(tmp_path / "a.zip", {"xxxxxx.md": b"x"})
    name = ("銀魂表" if encoding == "cp932" else "銀魂").encode(encoding)
    path.write_bytes(path.read_bytes().replace(b"xxxxxx", name))
    assert [file.path for file in files_of(path)] == [name.decode(encoding) + ".md"]


def test_a_folder_that_may_not_be_opened_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "docs")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = {file.path: file.problem for file in files_of(folder)}
    assert str(found["a/b"]) == "It cannot be read (Permission denied)." and found["a/銀魂.md"] is None


def test_files_of_the_system_are_not_articles(tmp_path: Path) -> None:
    names = ["a.md", "__MACOSX/._a.md", ".git/b.md", "c/.DS_Store", ".hack/SIGN.md", ".hack.md", "K:アニメ.md"]
    found = [file.path for file in files_of(zip_of(tmp_path / "a.zip", dict.fromkeys(names, b"x")))]
    assert found == ["a.md", ".hack/SIGN.md", ".hack.md", "K:アニメ.md"]  # a dot or a colon alone hides no title


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    assert refusal(tmp_path / "a.md") == "no_archive"
    assert refusal(tmp_path / "missing") == refusal(tmp_path / "\0") == "no_source"


@given(st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b""]), st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_the_error_for_people(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random"
    for content in (head + data, gzip.compress(data), gzip.compress(tarfile.TarInfo("a.md").tobuf() + data)):
        path.write_bytes(content)
        try:
            list(files_of(path))
        except DatasetError as error:
            assert str(error)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_changed_byte_anywhere_raises_nothing_but_the_error_for_people(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for make in (MAKERS["zip"], MAKERS["tar.gz"]):
        path = make(folder)
        data = bytearray(path.read_bytes())
        data[at % len(data)] = byte
        path.write_bytes(data)
        try:
            list(files_of(path))
        except DatasetError as error:
            assert str(error)
