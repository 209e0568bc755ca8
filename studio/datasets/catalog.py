"""The datasets of a studio: what pages, the augmenter and the runs ask of them; it must not know SQL or file formats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from studio.datasets.model import Counts, Example, Fact, ImportReport, MadeExample, Page, Undone
from studio.store import Store
from training.contract import RunConfig, TrainingExample

ExportFormat = Literal["jsonl", "csv"]


class Datasets:
    """All datasets of one store. Every method may be called from any thread and raises DatasetError for people."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> list[str]:
        """Names in the order of creation."""
        raise NotImplementedError

    def create(self, name: str) -> int:
        """Make an empty dataset and return its id."""
        raise NotImplementedError

    def delete(self, name: str) -> None:
        """Remove a dataset with all it holds; this is not undoable."""
        raise NotImplementedError

    def require(self, name: str) -> int:
        """The id of a dataset that exists."""
        raise NotImplementedError

    def counts(self, name: str) -> Counts:
        """How many facts and examples the dataset holds."""
        raise NotImplementedError

    def page(self, name: str, *, search: str = "", number: int = 1, size: int = 50) -> Page:
        """Examples by fact, at most 100 a page; a number out of range takes the nearest page."""
        raise NotImplementedError

    def example(self, example_id: int) -> Example:
        """One example of any dataset."""
        raise NotImplementedError

    def facts(self, name: str) -> list[Fact]:
        """Every fact, in the order of creation."""
        raise NotImplementedError

    def add_fact(self, name: str, question: str, answer: str) -> Example:
        """Add a fact by hand and return its seed example."""
        raise NotImplementedError

    def edit_example(
        self, name: str, example_id: int, *, question: str | None = None, answer: str | None = None
    ) -> Example:
        """Change an example's text; None leaves a text as it is."""
        raise NotImplementedError

    def delete_examples(self, name: str, ids: Sequence[int]) -> int:
        """Delete examples and return how many went; a seed takes its fact and all the fact's examples along."""
        raise NotImplementedError

    def add_examples(self, name: str, made: Sequence[MadeExample]) -> int:
        """Add made examples in one undoable step and return how many were new to their fact."""
        raise NotImplementedError

    def undo(self, name: str) -> Undone:
        """Take the last change of the dataset back and say which it was."""
        raise NotImplementedError

    def import_file(self, name: str, path: Path, mapping: Mapping[str, str] | None = None) -> ImportReport:
        """Bring a file in, creating the dataset if it is new. `mapping` names columns: {"question": "Q"}."""
        raise NotImplementedError

    def export_file(self, name: str, format: ExportFormat | str, folder: Path) -> Path:
        """Write the dataset into a file in `folder` and return its path."""
        raise NotImplementedError

    def frozen_examples(self, name: str, config: RunConfig) -> list[TrainingExample]:
        """The accepted examples with their splits by fact; the same seed gives the same splits."""
        raise NotImplementedError

    def install_demo(self, folder: Path) -> None:
        """Import `dataset.jsonl` of the demo folder as dataset `demo`, once: a person may have deleted it."""
        raise NotImplementedError
