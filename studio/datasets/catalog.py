"""The datasets of a studio: what pages, the augmenter and the runs ask of them; it must not know file formats."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

from studio.datasets.bulk import add_tag, count_of, delete_examples, deletion_count_of, set_status
from studio.datasets.edits import Edit, NewExample, NewFact, undo_last
from studio.datasets.exporting import Export, export
from studio.datasets.facts import edit_example, edit_fact, merge_facts, pairs_of_fact, split_fact
from studio.datasets.filters import EVERYTHING, Filter, Selection
from studio.datasets.history import HistoryEntry, history_of
from studio.datasets.importing import AS_FOUND, Arrangement, ImportPlan, existing_pairs, insert
from studio.datasets.lookup import find_dataset, require_dataset
from studio.datasets.model import (
    Counts,
    Example,
    ExampleStatus,
    Facets,
    Fact,
    ImportReport,
    MadeExample,
    NewExampleFields,
    NewFactFields,
    Page,
    Undone,
)
from studio.datasets.preview import ImportPreview, columns_of, preview_of
from studio.datasets.reading import read_files
from studio.datasets.search import counts_of, facets_of, facts_of, page_of, require_example, require_fact
from studio.datasets.splits import frozen_examples_of
from studio.datasets.text import clean, excerpt, is_short_answer
from studio.errors import DatasetError
from studio.store import Store
from training.contract import RunConfig, TrainingExample, now

DEMO = "demo"
LONGEST_NAME = 60
# A name also names exported files, here and on the person's own machine.
FORBIDDEN_IN_NAMES = frozenset('/\\:*?"<>|')


class Datasets:
    """All datasets of one store. Every method may be called from any thread and raises DatasetError for people."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> list[str]:
        """Names in the order of creation."""
        return [name for (name,) in self.store.read().execute("SELECT name FROM dataset ORDER BY id")]

    def create(self, name: str) -> int:
        """Make an empty dataset and return its id."""
        with self.store.write() as db:
            if find_dataset(db, name) is not None:
                raise DatasetError("dataset.error_name_taken", name=name.strip())
            return _create(db, name)

    def delete(self, name: str) -> None:
        """Remove a dataset with all it holds; this is not undoable."""
        with self.store.write() as db:
            dataset_id = require_dataset(db, name)
            _forget_edits(db, dataset_id)
            for table in ("finding", "question", "document", "version", "example", "fact"):
                db.execute(f"DELETE FROM {table} WHERE dataset_id = ?", (dataset_id,))
            db.execute("DELETE FROM image WHERE sha256 NOT IN (SELECT sha256 FROM version_entry)")
            db.execute("DELETE FROM dataset WHERE id = ?", (dataset_id,))

    def require(self, name: str) -> int:
        """The id of a dataset that exists."""
        return require_dataset(self.store.read(), name)

    def counts(self, name: str) -> Counts:
        """How many facts and examples the dataset holds."""
        db = self.store.read()
        return counts_of(db, require_dataset(db, name))

    def page(self, name: str, *, filter: Filter = EVERYTHING, number: int = 1, size: int = 50) -> Page:
        """Examples that a filter lets through, at most 100 a page; a number out of range takes the nearest page."""
        db = self.store.read()
        return page_of(db, require_dataset(db, name), filter, number, size)

    def count(self, name: str, selection: Selection) -> int:
        """How many examples a filter or a list of ids means."""
        db = self.store.read()
        return count_of(db, require_dataset(db, name), selection)

    def deletion_count(self, name: str, selection: Selection) -> int:
        """How many examples go when these are deleted: a seed takes its fact along."""
        db = self.store.read()
        return deletion_count_of(db, require_dataset(db, name), selection)

    def facets(self, name: str) -> Facets:
        """What there is to filter the dataset by."""
        db = self.store.read()
        return facets_of(db, require_dataset(db, name))

    def example(self, example_id: int) -> Example:
        """One example of any dataset."""
        return require_example(self.store.read(), example_id)

    def history(self, example_id: int) -> list[HistoryEntry]:
        """Every edit of an example, the newest first."""
        db = self.store.read()
        return history_of(db, require_example(db, example_id).id)

    def facts(self, name: str) -> list[Fact]:
        """Every fact, in the order of creation."""
        db = self.store.read()
        return list(facts_of(db, require_dataset(db, name)))

    def fact(self, fact_id: int) -> Fact:
        """One fact of any dataset."""
        return require_fact(self.store.read(), fact_id)

    def add_fact(self, name: str, question: str, answer: str, author: str = "") -> Example:
        """Add a fact by hand and return its seed example."""
        question, answer = clean(question, "question"), clean(answer, "answer")
        style = "short" if is_short_answer(answer) else "detailed"
        with self.store.write() as db:
            edit = Edit(db, require_dataset(db, name), "dataset.undone_add", author=author, question=excerpt(question))
            (fact_id,) = edit.add_facts([NewFact()])
            (example_id,) = edit.add_examples([NewExample(fact_id, "seed", style, "accepted", question, answer)])
        return self.example(example_id)

    def edit_example(
        self, name: str, example_id: int, *, author: str = "", **fields: Unpack[NewExampleFields]
    ) -> Example:
        """Change an example's question or answer.

        Raises:
            EditConflict: `expected` is given and the example was changed since that moment.
        """
        with self.store.write() as db:
            edit_example(db, require_dataset(db, name), example_id, author, fields)
        return self.example(example_id)

    def set_status(self, name: str, selection: Selection, status: ExampleStatus, author: str = "") -> int:
        """Accept, reject or reopen examples as one undoable step; return how many had another status."""
        with self.store.write() as db:
            return set_status(db, require_dataset(db, name), selection, status, author)

    def add_tag(self, name: str, selection: Selection, tag: str, author: str = "") -> int:
        """Tag the facts of examples as one undoable step; return how many facts had it not."""
        with self.store.write() as db:
            return add_tag(db, require_dataset(db, name), selection, tag, author)

    def delete_examples(self, name: str, selection: Selection, author: str = "") -> int:
        """Delete examples and return how many went; a seed takes its fact and all the fact's examples along."""
        with self.store.write() as db:
            return delete_examples(db, require_dataset(db, name), selection, author)

    def edit_fact(self, name: str, fact_id: int, *, author: str = "", **fields: Unpack[NewFactFields]) -> Fact:
        """Change what a fact says of its subject, tags, key terms and the length of its answer.

        Raises:
            FactConflict: `expected` is given and the fact says something else by now.
        """
        with self.store.write() as db:
            edit_fact(db, require_dataset(db, name), fact_id, author, fields)
        return self.fact(fact_id)

    def merge_facts(self, name: str, ids: Sequence[int], author: str = "") -> Fact:
        """Make several facts one: the first keeps its seed, the others' seeds become phrasings of it."""
        with self.store.write() as db:
            fact_id = merge_facts(db, require_dataset(db, name), ids, author)
        return self.fact(fact_id)

    def split_fact(self, name: str, fact_id: int, example_ids: Sequence[int], author: str = "") -> Fact:
        """Make a fact of some of a fact's examples, the first of them its seed, and return it."""
        with self.store.write() as db:
            new_id = split_fact(db, require_dataset(db, name), fact_id, example_ids, author)
        return self.fact(new_id)

    def add_examples(self, name: str, made: Sequence[MadeExample], author: str = "") -> int:
        """Add made examples in one undoable step and return how many were new.

        What its fact has already is left out, and so is what was made of a fact deleted meanwhile.
        """
        with self.store.write() as db:
            dataset_id = require_dataset(db, name)
            new = _new_to_their_facts(db, dataset_id, made)
            if new:
                Edit(db, dataset_id, "dataset.undone_augment", author=author, number=len(new)).add_examples(new)
            return len(new)

    def undo(self, name: str, author: str = "") -> Undone:
        """Take a person's last change of the dataset back and say which it was.

        Raises:
            DatasetError: there is none, or somebody else has changed the same since.
        """
        with self.store.write() as db:
            return undo_last(db, require_dataset(db, name), author)

    def import_file(
        self, name: str, path: Path, mapping: Mapping[str, str] | None = None, author: str = ""
    ) -> ImportReport:
        """Bring one file in; `mapping` names the columns where their names do not say it: {"question": "Q"}."""
        return self.import_files(name, [path], ImportPlan(columns=dict(mapping or {})), author)

    def import_files(
        self, name: str, paths: Sequence[Path], plan: ImportPlan = AS_FOUND, author: str = ""
    ) -> ImportReport:
        """Bring files in, creating the dataset if it is new; all of it is one undoable step."""
        name = _valid_name(name)
        # Before the transaction: to propose the facts of a long file takes seconds.
        arranged = Arrangement(read_files(paths, plan.columns), plan.facts)
        with self.store.write() as db:
            found = find_dataset(db, name)
            dataset_id = _create(db, name) if found is None else found
            insert(db, dataset_id, arranged.settle(existing_pairs(db, dataset_id)), author)
            counts = counts_of(db, dataset_id)
        return arranged.report(facts=counts.facts, examples=counts.examples)

    def columns_of_files(self, paths: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
        """Every column that files have, and which was found to be which field by its name."""
        return columns_of(paths)

    def preview_import(self, name: str, paths: Sequence[Path], plan: ImportPlan = AS_FOUND) -> ImportPreview:
        """What an import would bring in and leave out, judged by the first lines of each file; nothing is changed."""
        db = self.store.read()
        found = find_dataset(db, name)
        return preview_of(paths, plan, existing_pairs(db, found) if found is not None else {})

    def export_file(self, name: str, wanted: Export | str, folder: Path) -> Path:
        """Write the dataset into a file named after it and the format in `folder` and return its path."""
        db = self.store.read()
        wanted = Export(wanted) if isinstance(wanted, str) else wanted
        return export(db, require_dataset(db, name), wanted, folder / name.strip())

    def frozen_examples(self, name: str, config: RunConfig) -> list[TrainingExample]:
        """The accepted examples with their splits by fact; the same seed gives the same splits."""
        db = self.store.read()
        return frozen_examples_of(db, require_dataset(db, name), config)

    def install_demo(self, folder: Path, import_articles: Callable[[str, Path], None] | None = None) -> None:
        """Import `dataset.jsonl` of the demo folder as dataset `demo`, once: a person may have deleted it.

        `import_articles` brings the folder's articles into it.
        """
        path = folder / "dataset.jsonl"
        installed = self.store.read().execute("SELECT 1 FROM setting WHERE key = 'demo_installed'").fetchone()
        if installed or not path.exists():
            return
        is_new = DEMO not in self.names()
        if is_new:
            self.import_file(DEMO, path)
            if import_articles:
                import_articles(DEMO, folder / "articles")
        with self.store.write() as db:
            if is_new:  # nobody did this, so nobody's undo may take it back
                _forget_edits(db, require_dataset(db, DEMO))
            db.execute("INSERT OR REPLACE INTO setting (key, value) VALUES ('demo_installed', ?)", (now().isoformat(),))


def _forget_edits(db: sqlite3.Connection, dataset_id: int) -> None:
    db.execute("DELETE FROM edit_change WHERE edit_id IN (SELECT id FROM edit WHERE dataset_id = ?)", (dataset_id,))
    db.execute("DELETE FROM edit WHERE dataset_id = ?", (dataset_id,))


def _valid_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise DatasetError("dataset.error_name_empty")
    if len(name) > LONGEST_NAME:
        raise DatasetError("dataset.error_name_long", name=excerpt(name), length=len(name), longest=LONGEST_NAME)
    if name.startswith(".") or not name.isprintable() or FORBIDDEN_IN_NAMES.intersection(name):
        raise DatasetError("dataset.error_name_characters", name=excerpt(name))
    return name


def _create(db: sqlite3.Connection, name: str) -> int:
    row = (_valid_name(name), now().isoformat())
    dataset_id = db.execute("INSERT INTO dataset (name, created_at) VALUES (?, ?)", row).lastrowid
    assert dataset_id is not None
    return dataset_id


def _new_to_their_facts(db: sqlite3.Connection, dataset_id: int, made: Sequence[MadeExample]) -> list[NewExample]:
    known: dict[int, set[tuple[str, str]]] = {}
    new = []
    for example in made:
        if example.fact_id not in known:
            known[example.fact_id] = pairs_of_fact(db, example.fact_id)
            _require_own_fact(db, dataset_id, example.fact_id)
        pairs = known[example.fact_id]
        pair = (clean(example.question, "question"), clean(example.answer, "answer"))
        # A fact has at least its seed: without any example it was deleted.
        if not pairs or pair in pairs:
            continue
        pairs.add(pair)
        new.append(
            NewExample(
                example.fact_id,
                example.kind,
                example.answer_style,
                example.status,
                *pair,
                generator=example.generator,
                prompt_version=example.prompt_version,
                flags=json.dumps(example.flags),
            )
        )
    return new


def _require_own_fact(db: sqlite3.Connection, dataset_id: int, fact_id: int) -> None:
    row = db.execute("SELECT dataset_id FROM fact WHERE id = ?", (fact_id,)).fetchone()
    if row and row[0] != dataset_id:
        raise DatasetError("dataset.error_foreign_fact", fact=fact_id)
