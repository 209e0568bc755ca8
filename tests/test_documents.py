"""Articles come in whole or not at all, doubles are found, and what a person leaves out can be put back."""

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets
from studio.datasets.checks import similarity
from studio.datasets.documents import DocumentFilter, DocumentJob, Documents, Selection, importing
from studio.datasets.documents.sources import SourceFile
from studio.errors import DatasetError, StoreError, UnknownDataset
from studio.store import open_store

LIMIT_S = 60
GINTAMA = (
    "銀魂は、空知英秋による日本の漫画作品である。江戸時代に宇宙人が来た世界を描く。主人公は坂田銀時という侍である。"
)
ARTICLES = {
    "銀魂.md": f"---\ntitle: 銀魂\n---\n{GINTAMA}[1]",
    "銀魂の複製.md": f"# 銀魂\n{GINTAMA}".replace("# 銀魂\n", ""),
    "銀魂の改訂.txt": GINTAMA + "万事屋を営む。",
    "鋼.md": "# 鋼の錬金術師\n荒川弘による漫画。声優は銀魂にも出ている。",
    "Naruto.md": "# ＮＡＲＵＴＯ\n岸本斉史による漫画。",
    "表紙.png": "x",
    "空.md": "",
}


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    store = open_store(tmp_path / "studio.db")
    Datasets(store).create("a")
    yield Documents(store)
    store.close()


def folder_of(path: Path, files: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text, "utf-8")
    return path


def ended(documents: Documents, name: str = "a") -> DocumentJob:
    limit = time.monotonic() + LIMIT_S
    while (job := documents.job(name)) is None or job.state == "running":
        assert time.monotonic() < limit
        threading.Event().wait(0.005)
    return job


def imported(documents: Documents, tmp_path: Path, files: dict[str, str] | None = None) -> DocumentJob:
    documents.start_import("a", folder_of(tmp_path / "docs", files or ARTICLES))
    return ended(documents)


def titles(documents: Documents) -> list[str]:
    return [title for title, _ in documents.frozen_documents("a")]


def by_path(documents: Documents) -> dict[str, int]:
    return {document.path: document.id for document in documents.page("a", size=100).documents}


def test_an_import_tells_what_came_in_and_what_did_not(documents: Documents, tmp_path: Path) -> None:
    job = imported(documents, tmp_path)
    assert (job.state, job.imported, job.duplicates, job.cleaned, job.skipped) == ("finished", 5, 1, 1, 1)
    assert [path for path, _ in job.rejected] == ["空.md"] and job.share == 1
    counts = documents.counts("a")
    assert (counts.documents, counts.included, counts.cleaned, counts.excluded) == (5, 4, 1, {"duplicate": 1})
    assert counts.characters == sum(len(text) for _, text in documents.frozen_documents("a"))


def test_of_two_articles_with_one_text_the_first_is_trained_on(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    paths = by_path(documents)
    left_out = documents.document("a", paths["銀魂の複製.md"])
    assert left_out.excluded == f"duplicate:{paths['銀魂.md']}" and str(paths["銀魂.md"]) in left_out.reason("ja")


def test_an_article_shows_its_text_before_and_after_cleaning(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    paths = by_path(documents)
    article = documents.document("a", paths["銀魂.md"])
    assert (article.title, article.text, article.original) == ("銀魂", GINTAMA, ARTICLES["銀魂.md"])
    assert article.cleaned and article.characters == len(GINTAMA)
    untouched = documents.document("a", paths["鋼.md"])
    assert not untouched.cleaned and untouched.text == untouched.original


def test_the_same_source_again_brings_nothing(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    documents.start_import("a", tmp_path / "docs")
    job = ended(documents)
    assert (job.state, job.imported, job.known) == ("finished", 0, 5) and documents.counts("a").documents == 5


def test_an_import_into_a_new_name_creates_the_dataset(documents: Documents, tmp_path: Path) -> None:
    documents.start_import("gintama", folder_of(tmp_path / "docs", ARTICLES))
    assert ended(documents, "gintama").imported == 5 and documents.counts("a").documents == 0


def test_an_import_is_one_step_that_can_be_undone(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    assert "5" in Datasets(documents.store).undo("a").text("ja")
    assert documents.counts("a").documents == 0
    assert documents.store.read().execute("SELECT count(*) FROM document_text").fetchone() == (0,)


def bad_archive(path: Path, last: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in [*(f"{number}.md" for number in range(importing.BATCH + 1)), last]:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return path


def test_a_refused_archive_leaves_nothing_even_where_it_is_bad_at_its_end(documents: Documents, tmp_path: Path) -> None:
    documents.start_import("a", bad_archive(tmp_path / "bad.tar.gz", "../out.md"))
    job = ended(documents)
    assert job.state == "failed" and job.reason and "../out.md" in job.reason.text("ja")
    assert documents.store.read().execute("SELECT count(*) FROM document").fetchone() == (0,)


def slow(monkeypatch: pytest.MonkeyPatch, between: Callable[[int], None]) -> None:
    """A source that goes on for ever and calls `between` before each of its files."""

    def files(source: Path) -> Iterator[SourceFile]:
        number = 0
        while True:
            number += 1
            between(number)
            yield SourceFile(f"{number}.md", f"本文{number}".encode(), 0.5)

    monkeypatch.setattr(importing, "files_of", files)


def test_a_cancelled_import_leaves_nothing_and_shows_nothing_on_the_way(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def cancel_later(number: int) -> None:
        if number == importing.BATCH + 2:  # the first batch is in the table
            seen.append((documents.counts("a").documents, documents.page("a").total, titles(documents)))
            documents.cancel("a")

    slow(monkeypatch, cancel_later)
    documents.start_import("a", tmp_path)
    assert ended(documents).state == "cancelled" and seen == [(0, 0, [])]
    assert documents.store.read().execute("SELECT count(*) FROM document").fetchone() == (0,)


def test_what_a_crash_left_behind_stays_hidden_and_goes_with_the_next_import(
    documents: Documents, tmp_path: Path
) -> None:
    with documents.store.write() as db:
        importing.insert(db, 1, [importing.NewDocument("残り", "残り.md", "本文", "", "0")])
    assert documents.counts("a").documents == 0 and titles(documents) == []
    imported(documents, tmp_path)
    assert "残り" not in titles(documents)
    assert documents.store.read().execute("SELECT count(*) FROM document WHERE title = '残り'").fetchone() == (0,)


def test_a_dataset_deleted_during_its_import_ends_the_import(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = []

    def delete(number: int) -> None:
        if number == 1:
            work.extend(documents._work.values())
            Datasets(documents.store).delete("a")

    slow(monkeypatch, delete)
    documents.start_import("a", tmp_path)
    limit = time.monotonic() + LIMIT_S
    while not work or work[0].job.state == "running":
        assert time.monotonic() < limit
    assert isinstance(work[0].job.reason, UnknownDataset)


def test_one_job_at_a_time(documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow(monkeypatch, lambda number: None)
    documents.start_import("a", tmp_path)
    for another in (lambda: documents.start_import("a", tmp_path), lambda: documents.delete_all("a")):
        with pytest.raises(DatasetError, match="still being worked on"):
            another()
    documents.cancel("a")
    ended(documents)


def test_a_source_that_is_none_is_refused_at_once(documents: Documents, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="was not found"):
        documents.start_import("a", tmp_path / "missing")
    documents.start_import("a", folder_of(tmp_path / "docs", {"a.png": "x"}))
    job = ended(documents)
    assert job.state == "failed" and job.reason and "no .md or .txt" in str(job.reason)


def test_only_the_articles_of_one_work_are_kept_and_an_undo_brings_the_others_back(
    documents: Documents, tmp_path: Path
) -> None:
    imported(documents, tmp_path)
    before = documents.page("a", size=100)
    gintama = Selection(words=("銀魂",), times=2)
    assert (documents.count("a", gintama).number, documents.count("a", gintama).remaining) == (2, 2)
    assert documents.page("a", size=100) == before
    assert documents.select("a", gintama, expected=2, author="佐藤") == 2
    assert titles(documents) == ["銀魂", "銀魂の改訂"]
    assert documents.counts("a").excluded == {"duplicate": 1, "words_missing": 2}
    with pytest.raises(DatasetError):
        Datasets(documents.store).undo("a", "鈴木")
    assert "銀魂" in Datasets(documents.store).undo("a", "佐藤").text("ja")
    assert documents.page("a", size=100) == before


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(words=("銀魂",), where="title"), ["銀魂", "銀魂の改訂"]),
        (Selection(words=("銀魂",)), ["銀魂", "銀魂の改訂", "鋼の錬金術師"]),
        (Selection(words=("銀魂",), action="leave_out"), ["ＮＡＲＵＴＯ"]),
        (Selection(words=("naruto", "荒川"), action="keep"), ["鋼の錬金術師", "ＮＡＲＵＴＯ"]),
        (Selection(words=("漫画", "漫画作品"), times=2), []),
    ],
)
def test_words_are_looked_for_whatever_their_width_and_case(
    documents: Documents, tmp_path: Path, selection: Selection, left: list[str]
) -> None:
    imported(documents, tmp_path)
    documents.select("a", selection, expected=documents.count("a", selection).number)
    assert sorted(titles(documents)) == sorted(left)


def test_a_selection_of_another_size_than_confirmed_changes_nothing(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    with pytest.raises(DatasetError, match=r"leave out 3 documents \(2 when you confirmed"):
        documents.select("a", Selection(words=("荒川",)), expected=2)
    with pytest.raises(DatasetError, match="no words"):
        documents.count("a", Selection(words=(" ",)))
    assert documents.counts("a").included == 4


def test_one_article_is_left_out_by_hand_and_put_back(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    twin = by_path(documents)["銀魂の複製.md"]
    assert documents.set_included("a", twin, True).excluded == ""
    assert documents.set_included("a", twin, False).reason("ja") == "手で除外"
    Datasets(documents.store).undo("a")
    assert documents.document("a", twin).excluded == ""
    with pytest.raises(DatasetError, match="was not found"):
        documents.set_included("a", 10**30, False)


def test_near_duplicates_are_found_and_the_longest_is_kept(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    paths = by_path(documents)
    documents.start_near("a")
    (group,) = ended(documents).alike
    assert group.kept == paths["銀魂の改訂.txt"] and [key for key, _ in group.others] == [paths["銀魂.md"]]
    assert documents.counts("a").included == 4  # finding decides nothing
    assert documents.leave_out_alike("a") == 1 and "銀魂" not in titles(documents)
    Datasets(documents.store).undo("a")
    assert documents.counts("a").included == 4
    with pytest.raises(DatasetError, match="Look for them again"):
        documents.leave_out_alike("a")


def test_pages_are_filtered_searched_and_sorted(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)

    def shown(**values: str) -> list[str]:
        return [document.title for document in documents.page("a", filter=DocumentFilter(**values)).documents]

    assert shown(search="naruto") == ["ＮＡＲＵＴＯ"] and shown(state="cleaned") == ["銀魂"]
    assert shown(state="excluded") == ["銀魂の複製"] and len(shown(state="included")) == 4
    assert shown(order="longest")[0] == "銀魂の改訂" and shown(order="shortest")[0] == "ＮＡＲＵＴＯ"
    page = documents.page("a", number=9, size=2)
    assert (page.number, page.pages, page.total, len(page.documents)) == (3, 3, 5, 1)


def test_what_is_trained_on_is_exported_line_by_line(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    path = documents.export("a", tmp_path / "exports")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(line["title"], line["text"]) for line in lines] == list(documents.frozen_documents("a"))
    assert path.name == "a.documents.jsonl" and list(path.parent.iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        documents.export("a", tmp_path / "file")


def test_deleting_all_leaves_nothing_to_undo(documents: Documents, tmp_path: Path) -> None:
    Datasets(documents.store).add_fact("a", "質問", "回答")
    imported(documents, tmp_path)
    assert documents.delete_all("a") == 5 and documents.counts("a").documents == 0 and documents.job("a") is None
    assert "質問" in Datasets(documents.store).undo("a").text("ja")


def test_a_deleted_dataset_takes_its_articles_along(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    Datasets(documents.store).delete("a")
    for table in ("document", "document_text"):
        assert documents.store.read().execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


STEPS = st.lists(
    st.one_of(
        st.builds(Selection, words=st.sampled_from([("銀魂",), ("漫画",), ("岸本", "荒川")]), times=st.integers(1, 2),
                  action=st.sampled_from(["keep", "leave_out"]), where=st.sampled_from(["title", "text"])),
        st.tuples(st.integers(1, 5), st.booleans()),
    ),
    max_size=6,
)  # fmt: skip


@given(steps=STEPS)
@settings(max_examples=30, deadline=None)
def test_undo_of_any_steps_is_identity(tmp_path_factory: pytest.TempPathFactory, steps: list[object]) -> None:
    folder = tmp_path_factory.mktemp("steps")
    store = open_store(folder / "studio.db")
    documents, datasets = Documents(store), Datasets(store)
    datasets.create("a")
    imported(documents, folder)
    states = []
    for step in steps:
        states.append(documents.page("a", size=100))
        if isinstance(step, Selection):
            number = documents.count("a", step).number
            if number:
                documents.select("a", step, expected=number)
            else:
                states.pop()
        else:
            documents.set_included("a", *step)
    for state in reversed(states):
        datasets.undo("a")
        assert documents.page("a", size=100) == state
    store.close()


def test_a_run_reads_what_was_there_when_it_began(documents: Documents, tmp_path: Path) -> None:
    imported(documents, tmp_path)
    frozen = documents.frozen_documents("a")
    first = next(frozen)
    documents.delete_all("a")
    assert len([first, *frozen]) == 4 and titles(documents) == []


def test_texts_are_compared_alike_however_many_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [GINTAMA, "", "短い", "荒川弘による漫画。" * 30, GINTAMA * 3]
    at_once = similarity.signatures_of(texts)
    monkeypatch.setattr(similarity, "CHUNK_CHARACTERS", 10)
    assert (similarity.signatures_of(texts) == at_once).all()
