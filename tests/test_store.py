"""The database: ages of the file, journal modes, writers that take turns, and disks that fill up."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from studio import store as store_module
from studio.errors import StoreError
from studio.store import MIGRATIONS, Store, open_store

DATASET = "INSERT INTO dataset (name, created_at) VALUES (?, '2026-01-01T00:00:00+00:00')"


def names(store: Store) -> list[str]:
    return [name for (name,) in store.read().execute("SELECT name FROM dataset ORDER BY id")]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A real file system of `size`, where this user may mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("age", range(len(MIGRATIONS) + 1))
def test_a_file_of_any_age_opens_with_its_rows(tmp_path: Path, age: int) -> None:
    path = tmp_path / "studio.db"
    with closing(sqlite3.connect(path)) as old:
        for migration in MIGRATIONS[:age]:
            old.executescript(migration)
        old.execute(f"PRAGMA user_version = {age}")
        if age:
            old.execute(DATASET, ("古いデータ",))
        old.commit()
    with closing(open_store(path)) as store:
        assert names(store) == (["古いデータ"] if age else [])
        assert store.read().execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_a_file_of_a_newer_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StoreError, match="made by a newer Oboe"):
        open_store(path)


def test_a_failing_migration_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "studio.db"
    open_store(path).close()
    broken = "CREATE TABLE half_done (id INTEGER); INSERT INTO no_such_table VALUES (1);\n"
    monkeypatch.setattr(store_module, "MIGRATIONS", (*MIGRATIONS, broken.replace("; ", ";\n")))
    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        open_store(path)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert not plain.execute("SELECT 1 FROM sqlite_master WHERE name = 'half_done'").fetchone()


def test_a_file_that_is_no_database_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "studio.db").write_bytes(b"not a database at all, however long " * 100)
    with pytest.raises(StoreError, match="damaged or no database"):
        open_store(tmp_path / "studio.db")


def test_a_folder_that_is_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path / "data" / "studio.db")


def test_wal_is_used_where_it_works(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "名前 と?#%.db")) as store:
        assert store.journal_mode == "wal"
        assert (tmp_path / "名前 と?#%.db").exists()


def test_another_journal_mode_is_used_where_wal_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # This lock style has no shared memory, as file systems over a network have none.
    plain_uri = store_module._uri
    monkeypatch.setattr(store_module, "_uri", lambda path: plain_uri(path) + "?vfs=unix-dotfile")
    with closing(open_store(tmp_path / "studio.db")) as store:
        assert store.journal_mode == "delete"
        with store.write() as db:
            db.execute(DATASET, ("a",))
        assert names(store) == ["a"]


def test_wal_is_not_tried_where_another_machine_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No network file system can be mounted here: the folder keeps its real one and is called by another name.
    monkeypatch.setattr(store_module, "file_system", lambda folder: "nfs4" if folder == tmp_path else "ext4")
    with closing(open_store(tmp_path / "studio.db")) as store:
        assert store.journal_mode == "delete"


def test_an_error_inside_a_transaction_takes_all_of_it_back(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "studio.db")) as store:
        with pytest.raises(ZeroDivisionError), store.write() as db:
            db.execute(DATASET, ("half",))
            raise ZeroDivisionError
        assert names(store) == []


def test_a_reading_connection_cannot_write(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "studio.db")) as store, pytest.raises(sqlite3.OperationalError):
        store.read().execute(DATASET, ("a",))


def test_many_threads_write_and_read_without_an_error(tmp_path: Path) -> None:
    errors: list[Exception] = []
    with closing(open_store(tmp_path / "studio.db")) as store:

        def work(thread: int) -> None:
            try:
                for number in range(10):
                    with store.write() as db:
                        db.execute(DATASET, (f"{thread}-{number}",))
                    assert f"{thread}-{number}" in names(store)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        assert len(names(store)) == 60


def test_a_reader_sees_the_old_state_until_the_writer_is_done(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "studio.db")) as store:
        with store.write() as db:
            db.execute(DATASET, ("a",))
            assert names(store) == []
        assert names(store) == ["a"]


def test_a_full_disk_gets_a_sentence_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "600k") as disk, closing(open_store(disk / "studio.db")) as store:
        with store.write() as db:
            db.execute(DATASET, ("before",))
        with pytest.raises(StoreError, match="disk is full") as caught, store.write() as db:
            for number in range(100):
                db.execute(DATASET, (f"{number} " + os.urandom(20_000).hex(),))
        assert "空き容量" in caught.value.text("ja")
        assert names(store) == ["before"]
