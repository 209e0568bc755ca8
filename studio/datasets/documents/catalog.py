"""The room of the articles for continued pre-training: everything that pages, endpoints and runs may ask of it.

Must not know Gradio, nor how an article is read or cleaned.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from studio.datasets.catalog import Datasets
from studio.datasets.documents import tables
from studio.datasets.documents.exporting import export
from studio.datasets.documents.importing import DocumentImport
from studio.datasets.documents.model import (
    Document,
    DocumentCounts,
    DocumentFilter,
    DocumentJob,
    DocumentPage,
    DocumentText,
    Selected,
    Selection,
)
from studio.datasets.documents.near import alike_articles
from studio.datasets.documents.sources import check_source
from studio.datasets.edits import Edit
from studio.errors import DatasetError, StudioError
from studio.store import Store

logger = logging.getLogger(__name__)


class _Cancelled(Exception):
    """Ends the thread of a job."""


@dataclass
class _Work:
    """A job under way in this process. Only its own thread changes `job`."""

    job: DocumentJob
    cancelled: threading.Event = field(default_factory=threading.Event)

    def tell(self, job: DocumentJob) -> None:
        self.job = job
        if self.cancelled.is_set():
            raise _Cancelled


class Documents:
    """The articles of all datasets of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._datasets = Datasets(store)
        self._work: dict[int, _Work] = {}
        self._lock = threading.Lock()

    def start_import(self, name: str, source: Path, author: str = "", label: str = "") -> None:
        """Bring a folder, zip or tar.gz of .md and .txt in, in the background; all of it is one undoable step.

        A dataset that does not exist yet is created. `label` is what people call the source, if not by its path.

        Raises:
            DatasetError: there is no such source, it is no archive, or the dataset has a job already.
        """
        check_source(source)
        if name.strip() not in self._datasets.names():
            self._datasets.create(name)
        dataset_id = self._datasets.require(name)
        begun = DocumentJob("import", source=label or source.name or str(source), share=0.0)

        def run(work: _Work) -> None:
            importing = DocumentImport(self.store, dataset_id, source, author, work.tell, begun)
            importing.run()
            work.job = importing.job

        self._start(dataset_id, begun, run)

    def import_now(self, name: str, source: Path) -> None:
        """Bring a small folder into a dataset that exists, before returning."""
        begun = DocumentJob("import", source=source.name, share=0.0)
        DocumentImport(self.store, self._datasets.require(name), source, "", lambda job: None, begun).run()

    def start_near(self, name: str) -> None:
        """Look for articles that are nearly the same, in the background; `job` holds them afterwards."""
        dataset_id = self._datasets.require(name)

        def run(work: _Work) -> None:
            def tell(number: int) -> None:
                work.tell(replace(work.job, done=number))

            work.job = replace(work.job, alike=tuple(alike_articles(self.store.read(), dataset_id, tell)))

        self._start(dataset_id, DocumentJob("near"), run)

    def job(self, name: str) -> DocumentJob | None:
        """The last import or search of a dataset since the program was started."""
        work = self._work.get(self._datasets.require(name))
        return work.job if work else None

    def cancel(self, name: str) -> None:
        """Ask a job to end; an import that is cancelled leaves nothing."""
        if work := self._work.get(self._datasets.require(name)):
            work.cancelled.set()

    def counts(self, name: str) -> DocumentCounts:
        """How many articles there are, and how many are left out for which reason."""
        return tables.counts_of(self.store.read(), self._datasets.require(name))

    def page(self, name: str, *, filter: DocumentFilter | None = None, number: int = 1, size: int = 50) -> DocumentPage:
        """Articles without their texts, at most 100 a page; a number out of range takes the nearest page."""
        dataset_id = self._datasets.require(name)
        return tables.page_of(self.store.read(), dataset_id, filter or DocumentFilter(), number, size)

    def document(self, name: str, document_id: int) -> DocumentText:
        """One article with its text before and after cleaning."""
        return tables.text_of(self.store.read(), self._datasets.require(name), document_id)

    def documents(self, name: str, ids: Sequence[int]) -> list[Document]:
        """Those of the articles that exist, without their texts."""
        return tables.documents_of(self.store.read(), self._datasets.require(name), ids)

    def count(self, name: str, selection: Selection) -> Selected:
        """What a selection would leave out; nothing changes."""
        return tables.select(self.store.read(), self._datasets.require(name), selection)

    def select(self, name: str, selection: Selection, *, expected: int, author: str = "") -> int:
        """Leave out what a selection names, as one undoable step; `expected` is the number that a person confirmed.

        Raises:
            DatasetError: it would be another number by now, or nothing.
        """
        dataset_id = self._datasets.require(name)
        # The texts are read before the transaction: no other writer waits for that.
        ids = tables.select(self.store.read(), dataset_id, selection).ids
        words = "、".join(selection.words)
        with self.store.write() as db:
            edit = Edit(db, dataset_id, f"documents.undone_{selection.action}", author=author, words=words)
            number = tables.leave_out(edit, ids, selection.excluded)
            if number != expected or not number:
                raise DatasetError("documents.error_count_changed", expected=f"{expected:,}", number=f"{number:,}")
        return number

    def set_included(self, name: str, document_id: int, included: bool, author: str = "") -> Document:
        """Leave one article out by hand, or put it back in, whyever it was left out."""
        dataset_id = self._datasets.require(name)
        title = self.document(name, document_id).title
        sentence = "documents.undone_put_back" if included else "documents.undone_leave_one"
        with self.store.write() as db:
            edit = Edit(db, dataset_id, sentence, author=author, title=title)
            edit.change_document(document_id, "" if included else "hand")
        return self.documents(name, [document_id])[0]

    def leave_out_alike(self, name: str, *, author: str = "") -> int:
        """Of each group of the last search leave out all but the longest article, as one undoable step."""
        dataset_id = self._datasets.require(name)
        work = self._work.get(dataset_id)
        if work is None or work.job.kind != "near" or not work.job.alike:
            raise DatasetError("documents.error_nothing_alike")
        with self.store.write() as db:
            edit = Edit(db, dataset_id, "documents.undone_alike", author=author)
            # Somebody may have left some of them out meanwhile.
            found = {key: f"near:{group.kept}" for group in work.job.alike for key, _ in group.others}
            included = [
                document.id for document in tables.documents_of(db, dataset_id, list(found)) if not document.excluded
            ]
            for key in included:
                edit.change_document(key, found[key])
            if not included:
                raise DatasetError("documents.error_nothing_alike")
        work.job = replace(work.job, alike=())
        return len(included)

    def delete_all(self, name: str) -> int:
        """Remove every article of a dataset and return how many there were; this is not undoable.

        Raises:
            DatasetError: an import is under way.
        """
        dataset_id = self._datasets.require(name)
        with self._lock:
            self._require_idle(dataset_id)
            self._work.pop(dataset_id, None)
            with self.store.write() as db:
                return tables.delete_all(db, dataset_id)

    def frozen_documents(self, name: str) -> Iterator[tuple[str, str]]:
        """Title and text of every article that is trained on, in the order in which they came in."""
        for _, title, text in tables.included_texts(self.store.read(), self._datasets.require(name)):
            yield title, text

    def export(self, name: str, folder: Path) -> Path:
        """Write what `frozen_documents` gives into a JSONL file named after the dataset in `folder`."""
        return export(self.store.read(), self._datasets.require(name), folder / name.strip())

    def _start(self, dataset_id: int, job: DocumentJob, run: Callable[[_Work], None]) -> None:
        with self._lock:
            self._require_idle(dataset_id)
            work = self._work[dataset_id] = _Work(job)
        threading.Thread(target=_run, args=(work, run), name=f"documents-{dataset_id}", daemon=True).start()

    def _require_idle(self, dataset_id: int) -> None:
        work = self._work.get(dataset_id)
        if work and work.job.state == "running":
            raise DatasetError("documents.error_busy", source=work.job.source)


def _run(work: _Work, run: Callable[[_Work], None]) -> None:
    try:
        run(work)
        work.job = replace(work.job, state="finished")
    except _Cancelled:
        work.job = replace(work.job, state="cancelled")
    except StudioError as error:
        work.job = replace(work.job, state="failed", reason=error)
    except BaseException:
        work.job = replace(work.job, state="failed", reason=DatasetError("documents.error_unexpected"))
        logger.exception("The documents' job failed.")
        raise
