"""Brings the articles of a source into a dataset, all of them or none; it must not know threads or pages.

They come in a few hundred at a time, so that other writers wait for milliseconds, and hidden until all are there.
"""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from studio.datasets.decoding import decode
from studio.datasets.documents.cleaning import clean_article
from studio.datasets.documents.model import DocumentJob
from studio.datasets.documents.sources import SourceFile, files_of, is_article
from studio.datasets.documents.tables import NewDocument, forget_unfinished, insert
from studio.datasets.edits import Edit
from studio.datasets.text import excerpt, is_storable
from studio.errors import DatasetError, UnknownDataset
from studio.store import Store

BATCH = 200
BATCH_CHARACTERS = 2_000_000
MOST_REJECTED = 1_000
LONGEST_PATH = 300

# Told how far the work is; raises to end it.
Tell = Callable[[DocumentJob], None]


@dataclass
class DocumentImport:
    """One import of one source into one dataset."""

    store: Store
    dataset_id: int
    source: Path
    author: str
    tell: Tell
    job: DocumentJob
    ids: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Import everything.

        Raises:
            DatasetError: the source is refused or holds no article; nothing of it is left.
        """
        try:
            for batch in self._batches():
                with self.store.write() as db:
                    self.ids += insert(db, self.dataset_id, batch)
                self.tell(self.job)
            if not self.ids and not self.job.known:
                raise DatasetError("documents.error_no_articles", name=excerpt(self.job.source))
            with self.store.write() as db:
                self._show(db)
        except sqlite3.IntegrityError as error:
            raise UnknownDataset("documents.error_dataset_gone") from error
        except BaseException:
            with self.store.write() as db:
                forget_unfinished(db, self.dataset_id)
            raise

    def _batches(self) -> Iterator[list[NewDocument]]:
        with self.store.write() as db:
            forget_unfinished(db, self.dataset_id)
        known = self._known()
        batch: list[NewDocument] = []
        characters = 0
        for file in files_of(self.source):
            article = self._read(file)
            if article and (article.path, article.sha256) in known:
                self.job = replace(self.job, known=self.job.known + 1)
            elif article:
                cleaned = self.job.cleaned + bool(article.original)
                self.job = replace(self.job, imported=self.job.imported + 1, cleaned=cleaned)
                batch.append(article)
                characters += len(article.text) + len(article.original)
            if len(batch) >= BATCH or characters > BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
            elif self.job.done % BATCH == 0:
                self.tell(self.job)
        if batch:
            yield batch

    def _known(self) -> set[tuple[str, str]]:
        query = "SELECT path, sha256 FROM document WHERE dataset_id = ?"
        return set(self.store.read().execute(query, (self.dataset_id,)))

    def _read(self, file: SourceFile) -> NewDocument | None:
        path = excerpt(file.path, LONGEST_PATH)
        self.job = replace(self.job, done=self.job.done + 1, share=file.share)
        if not file.problem and not is_article(file.path):
            self.job = replace(self.job, skipped=self.job.skipped + 1)
            return None
        try:
            if file.problem:
                raise file.problem
            if not file.data.strip():
                raise DatasetError("documents.error_nothing_left")
            return self._article(path, decode(file.data))
        except DatasetError as error:
            if len(self.job.rejected) < MOST_REJECTED:
                self.job = replace(self.job, rejected=(*self.job.rejected, (path, error)))
            return None

    def _article(self, path: str, raw: str) -> NewDocument:
        if not is_storable(raw):
            raise DatasetError("documents.error_not_text")
        cleaned = clean_article(raw, PurePosixPath(path).stem)
        if not cleaned.text:
            raise DatasetError("documents.error_nothing_left")
        content = sha256(cleaned.text.encode()).hexdigest()
        return NewDocument(cleaned.title, path, cleaned.text, raw if cleaned.changed else "", content)

    def _show(self, db: sqlite3.Connection) -> None:
        """Show the articles, of those with one text the first alone as included, as one step that can be undone."""
        mine = f"dataset_id = {self.dataset_id:d} AND excluded = 'importing'"
        twins = "SELECT min(id) FROM document AS twin WHERE twin.dataset_id = document.dataset_id"
        twins += " AND twin.sha256 = document.sha256"
        duplicates = db.execute(
            f"UPDATE document SET excluded = 'duplicate:' || ({twins}) WHERE {mine} AND id != ({twins})"
        ).rowcount
        db.execute(f"UPDATE document SET excluded = '' WHERE {mine}")
        self.job = replace(self.job, duplicates=duplicates)
        if self.ids:
            edit = Edit(
                db,
                self.dataset_id,
                "documents.undone_import",
                author=self.author,
                number=len(self.ids),
                source=excerpt(self.job.source),
            )
            edit.log_documents(self.ids)
