"""Articles go in through a real browser: progress, a selection with its undo, and two archives that are refused."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.datasets import Datasets
from studio.store import open_store
from tests.browser.studio_app import chromium, running_app

pytestmark = pytest.mark.slow

DATASET = "記事だけ"
ARTICLES = 400
GINTAMA = 25


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("studio")
    store = open_store(folder / "data" / "studio.db")
    Datasets(store).create(DATASET)
    store.close()
    with running_app(folder / "data") as address, chromium() as browser:
        page = browser.new_context(locale="ja-JP", viewport={"width": 1440, "height": 900}).new_page()
        page.goto(f"{address}/?dataset={DATASET}")
        page.get_by_role("tab", name="文書").click()
        # Where there are no articles yet, the import is open.
        expect(page.locator("#documents-start")).to_be_visible()
        yield page


def archive(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for number in range(ARTICLES):
            work = "銀魂" if number < GINTAMA else "別の作品"
            text = f"---\ntitle: 記事{number}\n---\n{work}の第{number}話は[[漫画]]である。[1]\n"
            member = tarfile.TarInfo(f"docs/{number:03}.md")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def bring(page: Page, file: Path) -> None:
    if not page.locator("#documents-start").is_visible():
        page.locator("#documents-import > button").click()
    page.locator("#documents-file input[type=file]").set_input_files(file)
    expect(page.locator("#documents-file")).to_contain_text(file.stem.partition(".")[0])
    page.locator("#documents-start").click()


def test_an_archive_comes_in_and_its_articles_are_listed(page: Page, tmp_path: Path) -> None:
    bring(page, archive(tmp_path / "anime.tar.gz"))
    expect(page.locator("#documents-job")).to_contain_text(f"{ARTICLES} 件の文書を取り込みました")
    expect(page.locator("#documents tbody tr")).to_have_count(50)
    expect(page.locator("#documents-counts")).to_contain_text(f"学習に使う文書 {ARTICLES} 件")


def test_a_text_is_shown_before_and_after_cleaning(page: Page) -> None:
    page.locator("#documents tbody tr").first.click()
    expect(page.locator("#document del").first).to_contain_text("---")
    expect(page.locator("#document td").last).to_have_text("銀魂の第0話は漫画である。")


def test_a_selection_is_counted_confirmed_and_taken_back(page: Page) -> None:
    page.locator("#documents-words textarea, #documents-words input").fill("銀魂")
    page.locator("#documents-count").click()
    expect(page.locator("#documents-confirm")).to_contain_text(
        f"{ARTICLES - GINTAMA} 件を除外し、{GINTAMA} 件が残ります"
    )
    page.locator("#documents-confirm [data-act=yes]").click()
    expect(page.locator("#documents-counts")).to_contain_text(f"学習に使う文書 {GINTAMA} 件")
    page.locator("#documents [data-act=undo]").click()
    expect(page.locator("#documents-counts")).to_contain_text(f"学習に使う文書 {ARTICLES} 件")


def test_what_is_trained_on_is_exported(page: Page, tmp_path: Path) -> None:
    page.locator("#documents [data-act=export]").click()
    with page.expect_download() as download:
        page.locator("#documents-confirm a").click()
    download.value.save_as(tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == ARTICLES


def test_archives_that_escape_or_explode_are_refused_with_a_sentence(page: Page, tmp_path: Path) -> None:
    blanks = {f"{number}.md": b" " * 9_000_000 for number in range(5)}
    for name, files, sentence in (
        ("escape", {"../../out.md": b"x"}, "フォルダの外"),
        ("bomb", blanks, "異常に大きく"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as bad:
            for entry, data in files.items():
                bad.writestr(entry, data)
        bring(page, tmp_path / f"{name}.zip")
        expect(page.locator("#documents-job")).to_contain_text(sentence)
    expect(page.locator("#documents-counts")).to_contain_text(f"学習に使う文書 {ARTICLES} 件")


def test_all_articles_are_deleted_after_a_question(page: Page) -> None:
    page.locator("#documents [data-act=delete]").click()
    expect(page.locator("#documents-confirm")).to_contain_text("元に戻せません")
    page.locator("#documents-confirm [data-act=yes]").click()
    expect(page.locator("#documents-counts")).to_contain_text("文書がまだありません")


def test_a_source_that_is_none_leaves_what_was_typed(page: Page) -> None:
    typed = page.locator("#documents-folder textarea, #documents-folder input")
    typed.fill("/nowhere/銀魂")
    page.locator("#documents-start").click()
    expect(page.locator(".toast-body.error")).to_contain_text("見つからない")
    expect(typed).to_have_value("/nowhere/銀魂")
    # Gradio's own word for it would cover the field.
    seen = "all => all.filter((word) => word.checkVisibility({checkOpacity: true})).length"
    assert page.get_by_text("エラー", exact=True).evaluate_all(seen) == 0
