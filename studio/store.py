"""The only place that opens SQLite: tables, migrations and who may write when; it must not know what the rows mean.

A thread reads through its own connection and never waits for a writer where WAL works. Writers take turns.
"""

import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.errors import StoreError
from studio.file_systems import WITHOUT_SHARED_MEMORY, file_system

BUSY_TIMEOUT_S = 30
LARGEST_JOURNAL_BYTES = 64 * 2**20

# Append only: entry n brings a database of user_version n to n + 1. A released entry is never edited.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE dataset (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    );
    -- The question and answer of a fact are those of its seed example: one truth, edited in one place.
    -- tags is a JSON list, key_terms a JSON list of lists; short_answer is NULL until a person decides.
    CREATE TABLE fact (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        subject TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]',
        key_terms TEXT NOT NULL DEFAULT '[]',
        short_answer INTEGER
    );
    CREATE INDEX fact_of_dataset ON fact (dataset_id);
    -- The folded columns come last: a page never reads them.
    CREATE TABLE example (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        fact_id INTEGER NOT NULL REFERENCES fact (id),
        kind TEXT NOT NULL,
        answer_style TEXT NOT NULL,
        status TEXT NOT NULL,
        question TEXT NOT NULL,
        answer TEXT NOT NULL,
        generator TEXT NOT NULL DEFAULT '',
        prompt_version TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        folded_question TEXT NOT NULL,
        folded_answer TEXT NOT NULL
    );
    CREATE INDEX example_order ON example (dataset_id, fact_id, id);
    CREATE INDEX example_counts ON example (dataset_id, kind, status);
    CREATE INDEX example_of_fact ON example (fact_id);
    CREATE UNIQUE INDEX example_seed ON example (fact_id) WHERE kind = 'seed';
    CREATE VIRTUAL TABLE example_text USING fts5 (
        folded_question, folded_answer, content = 'example', content_rowid = 'id', columnsize = 0,
        tokenize = 'trigram case_sensitive 1'
    );
    CREATE TRIGGER example_text_insert AFTER INSERT ON example BEGIN
        INSERT INTO example_text (rowid, folded_question, folded_answer)
        VALUES (new.id, new.folded_question, new.folded_answer);
    END;
    CREATE TRIGGER example_text_delete AFTER DELETE ON example BEGIN
        INSERT INTO example_text (example_text, rowid, folded_question, folded_answer)
        VALUES ('delete', old.id, old.folded_question, old.folded_answer);
    END;
    CREATE TRIGGER example_text_update AFTER UPDATE OF folded_question, folded_answer ON example BEGIN
        INSERT INTO example_text (example_text, rowid, folded_question, folded_answer)
        VALUES ('delete', old.id, old.folded_question, old.folded_answer);
        INSERT INTO example_text (rowid, folded_question, folded_answer)
        VALUES (new.id, new.folded_question, new.folded_answer);
    END;
    -- One edit is one undoable step; sentence and details say in words what it was.
    CREATE TABLE edit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        author TEXT NOT NULL DEFAULT '',
        sentence TEXT NOT NULL,
        details TEXT NOT NULL,
        made_at TEXT NOT NULL,
        undone_at TEXT
    );
    CREATE INDEX edit_of_dataset ON edit (dataset_id, id) WHERE undone_at IS NULL;
    -- before and after are JSON images: created has none (the stored one is its image), deleted has before only.
    CREATE TABLE edit_change (
        id INTEGER PRIMARY KEY,
        edit_id INTEGER NOT NULL REFERENCES edit (id),
        entity TEXT NOT NULL,
        entity_id INTEGER NOT NULL,
        before TEXT,
        after TEXT
    );
    CREATE INDEX change_of_edit ON edit_change (edit_id);
    CREATE INDEX change_of_entity ON edit_change (entity_id, entity);
    """,
    """
    -- spellings: other ways to write the subject. origin: why the examples of an imported file are one fact, as JSON.
    ALTER TABLE fact ADD COLUMN spellings TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE fact ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    -- flags: codes of the gates that a made example failed, a JSON list.
    ALTER TABLE example ADD COLUMN flags TEXT NOT NULL DEFAULT '[]';
    -- How a run shall split this dataset where nobody says otherwise; JSON of RunConfig's fields.
    ALTER TABLE dataset ADD COLUMN splits TEXT NOT NULL DEFAULT '{}';
    -- All that the list filters by, in its order: pages and counts are read off one index, and a decision writes one.
    DROP INDEX example_order;
    DROP INDEX example_counts;
    CREATE INDEX example_order ON example (dataset_id, fact_id, id, kind, status, answer_style, generator);
    CREATE INDEX example_newest ON example (dataset_id, updated_at);
    CREATE INDEX example_flagged ON example (dataset_id) WHERE flags != '[]';
    CREATE INDEX example_length ON example (dataset_id, length(answer));
    -- The same index of texts with an end mark behind each, so that one and two characters are found in it too.
    DROP TRIGGER example_text_insert;
    DROP TRIGGER example_text_delete;
    DROP TRIGGER example_text_update;
    DROP TABLE example_text;
    CREATE VIRTUAL TABLE example_text USING fts5 (
        folded_question, folded_answer, content = '', columnsize = 0, tokenize = 'trigram case_sensitive 1'
    );
    CREATE VIRTUAL TABLE example_gram USING fts5vocab (example_text, instance);
    INSERT INTO example_text (rowid, folded_question, folded_answer)
    SELECT id, folded_question || char(1, 1), folded_answer || char(1, 1) FROM example ORDER BY id;
    CREATE TRIGGER example_text_insert AFTER INSERT ON example BEGIN
        INSERT INTO example_text (rowid, folded_question, folded_answer)
        VALUES (new.id, new.folded_question || char(1, 1), new.folded_answer || char(1, 1));
    END;
    CREATE TRIGGER example_text_delete AFTER DELETE ON example BEGIN
        INSERT INTO example_text (example_text, rowid, folded_question, folded_answer)
        VALUES ('delete', old.id, old.folded_question || char(1, 1), old.folded_answer || char(1, 1));
    END;
    CREATE TRIGGER example_text_update AFTER UPDATE OF folded_question, folded_answer ON example BEGIN
        INSERT INTO example_text (example_text, rowid, folded_question, folded_answer)
        VALUES ('delete', old.id, old.folded_question || char(1, 1), old.folded_answer || char(1, 1));
        INSERT INTO example_text (rowid, folded_question, folded_answer)
        VALUES (new.id, new.folded_question || char(1, 1), new.folded_answer || char(1, 1));
    END;
    CREATE INDEX edit_of_author ON edit (dataset_id, author, id) WHERE undone_at IS NULL;
    -- What a base model answered to a seed question before any training.
    CREATE TABLE known_fact (
        fact_id INTEGER NOT NULL REFERENCES fact (id) ON DELETE CASCADE,
        base_model TEXT NOT NULL,
        known INTEGER NOT NULL,
        answer TEXT NOT NULL,
        asked_at TEXT NOT NULL,
        PRIMARY KEY (fact_id, base_model)
    );
    -- A question that is asked and never trained. fact_id is NULL where it belongs to no fact of the dataset.
    CREATE TABLE question (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        question_set TEXT NOT NULL,
        question TEXT NOT NULL,
        reference TEXT NOT NULL DEFAULT '',
        fact_id INTEGER REFERENCES fact (id) ON DELETE SET NULL,
        kind TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        confirmed_by TEXT
    );
    CREATE INDEX question_of_set ON question (dataset_id, question_set, id);
    CREATE INDEX question_of_fact ON question (fact_id);
    -- Findings of the last run of the checks. Those of one group belong together, two near duplicates for one.
    CREATE TABLE finding (
        id INTEGER PRIMARY KEY,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        code TEXT NOT NULL,
        group_id INTEGER NOT NULL,
        fact_id INTEGER,
        example_id INTEGER,
        details TEXT NOT NULL DEFAULT '{}'
    );
    CREATE INDEX finding_of_code ON finding (dataset_id, code, group_id);
    CREATE INDEX finding_of_example ON finding (example_id);
    -- An article for continued pre-training. excluded says why it is left out, empty where it is in.
    CREATE TABLE document (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        title TEXT NOT NULL,
        path TEXT NOT NULL,
        characters INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        excluded TEXT NOT NULL DEFAULT '',
        cleaned INTEGER NOT NULL DEFAULT 0,
        created_at TEXT NOT NULL
    );
    -- Texts live apart: leaving 10,000 articles out rewrites no text. original is empty where cleaning changed nothing.
    CREATE TABLE document_text (
        document_id INTEGER PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,
        text TEXT NOT NULL,
        original TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX document_of_dataset ON document (dataset_id, id);
    CREATE INDEX document_by_content ON document (dataset_id, sha256);
    -- A version is a list of images by their hash; what two versions share is stored once. No foreign key: forgetting
    -- the images that no version lists any more would look every one of them up.
    CREATE TABLE version (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_id INTEGER NOT NULL REFERENCES dataset (id),
        name TEXT NOT NULL,
        author TEXT NOT NULL DEFAULT '',
        made_at TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        facts INTEGER NOT NULL,
        examples INTEGER NOT NULL,
        UNIQUE (dataset_id, name)
    );
    CREATE TABLE image (sha256 BLOB PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE version_entry (
        version_id INTEGER NOT NULL REFERENCES version (id) ON DELETE CASCADE,
        entity TEXT NOT NULL,
        entity_id INTEGER NOT NULL,
        sha256 BLOB NOT NULL,
        PRIMARY KEY (version_id, entity, entity_id)
    ) WITHOUT ROWID;
    """,
)

# What a person can do about an SQLite error, by its primary code.
SENTENCES = {
    sqlite3.SQLITE_FULL: "dataset.error_disk_full",
    sqlite3.SQLITE_IOERR: "dataset.error_disk",
    sqlite3.SQLITE_READONLY: "dataset.error_read_only",
    sqlite3.SQLITE_CANTOPEN: "dataset.error_cannot_open",
    sqlite3.SQLITE_BUSY: "dataset.error_busy",
    sqlite3.SQLITE_NOTADB: "dataset.error_not_a_database",
    sqlite3.SQLITE_CORRUPT: "dataset.error_not_a_database",
}


class _Connection(sqlite3.Connection):
    """A connection that can be referred to weakly, so that a thread's end closes its own."""


class Store:
    """One database file: a reading connection per thread and one writer at a time. Made by `open_store`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()
        self._readers: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._writer = _connect(path)
        self.journal_mode = _set_journal_mode(self._writer, path.parent)
        # What one large import needed for its journal is given back to the disk.
        self._writer.execute(f"PRAGMA journal_size_limit = {LARGEST_JOURNAL_BYTES}")

    def read(self) -> sqlite3.Connection:
        """This thread's reading connection; it cannot write."""
        connection: _Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            with _sentences(self.path):
                connection = _connect(self.path)
                connection.execute("PRAGMA query_only = ON")
            self._own.connection = connection
            self._readers.add(connection)
        return connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """This thread's reading connection; all that is read in the block sees one state."""
        db = self.read()
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end and rolled back on any error; other writers wait for it.

        Raises:
            StoreError: the disk is full, read-only or another program holds the file.
        """
        with self._lock, _sentences(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled the transaction back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection of every thread."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._own = threading.local()


def open_store(path: Path) -> Store:
    """Open or create the database and bring its tables up to date.

    Raises:
        StoreError: the folder cannot be written, or the file is a newer version's or no database at all.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("dataset.error_cannot_open", path=path) from error
    with _sentences(path):
        store = Store(path)
        try:
            _migrate(store)
        except BaseException:
            store.close()
            raise
    return store


def _migrate(store: Store) -> None:
    """Run the migrations that the file has not seen, all or none."""
    with store.write() as db:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreError("dataset.error_newer_database", path=store.path)
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            for statement in _statements(migration):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the transaction it runs in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _connect(path: Path) -> _Connection:
    connection = sqlite3.connect(
        _uri(path),
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _set_journal_mode(connection: sqlite3.Connection, folder: Path) -> str:
    """Take WAL, or DELETE where the file system has no shared memory (NFS, WSL's /mnt/c), and return the mode."""
    # NFS lets one machine use WAL without a complaint, and loses rows when a second one writes.
    wanted = "DELETE" if file_system(folder) in WITHOUT_SHARED_MEMORY else "WAL"
    with suppress(sqlite3.OperationalError):
        mode: str = connection.execute(f"PRAGMA journal_mode = {wanted}").fetchone()[0]
        # Some file systems accept the mode and fail at the first transaction.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        if mode == "wal":
            return mode
    fallback: str = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    return fallback


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn the SQLite errors that a person can act on into sentences; the others are bugs."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        sentence = SENTENCES.get(getattr(error, "sqlite_errorcode", -1) & 0xFF)
        if sentence is None:
            raise
        raise StoreError(sentence, path=path) from error
