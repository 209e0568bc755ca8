"""A dataset checked in a real browser: each finding leads to its examples in one click, and nothing is deleted."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.datasets import Datasets
from studio.store import open_store
from tests.browser.studio_app import chromium, running_app

pytestmark = pytest.mark.slow

NAME = "アニメ"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one question answered in two ways and one work in two spellings."""
    store = open_store(tmp_path / "data" / "studio.db")
    datasets = Datasets(store)
    datasets.create(NAME)
    datasets.add_fact(NAME, "銀魂で、桂小太郎のあだ名はなんですか？", "桂小太郎のあだ名は「ヅラ」です。")
    datasets.add_fact(NAME, "銀魂で桂小太郎のあだ名は何でしょうか？", "桂小太郎のあだ名は「エリザベス」です。")
    datasets.add_fact(NAME, "ぽにぽにだっしゅ! の主人公は誰ですか？", "レベッカ宮本です。")
    datasets.add_fact(NAME, "ぱにぽにだっしゅ！の舞台はどこですか？", "桃月学園です。")
    store.close()
    return tmp_path / "data"


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder) as address, chromium() as browser:
        page = browser.new_context(locale="ja-JP", viewport={"width": 1440, "height": 900}).new_page()
        page.goto(f"{address}/?dataset={NAME}")
        page.get_by_role("tab", name="品質チェック").click()
        yield page


def test_findings_come_worst_first_and_lead_to_their_examples(page: Page) -> None:
    expect(page.locator("#checks-status")).to_contain_text("まだチェックしていません")
    page.locator("#checks-run").click()
    kinds, cards = page.locator("#checks-kinds li"), page.locator("#checks-findings article")
    expect(kinds.first).to_contain_text("食い違う回答")
    expect(cards).to_have_text([re.compile("ヅラ"), re.compile("エリザベス")])

    cards.last.get_by_role("button", name="不採用にする").click()
    expect(cards.last.get_by_role("button", name="採用に戻す")).to_be_visible()
    expect(page.locator("#checks-status")).to_contain_text("その後に 1 回の変更があります")

    page.locator("#checks-kinds li[data-code=spelling]").get_by_role("button", name="表示").click()
    expect(cards).to_have_text([re.compile("ぽにぽに"), re.compile("ぱにぽに")])
    page.get_by_role("button", name="一覧で開く").click()
    expect(page.locator("#examples tbody tr")).to_have_text([re.compile("ぽにぽに"), re.compile("ぱにぽに")])

    page.get_by_role("tab", name="品質チェック").click()
    page.locator("#checks-run").click()
    expect(page.locator("#checks-kinds li[data-code=conflict]")).to_have_count(0)
    expect(page.locator("#dataset-counts")).to_contain_text("4 例")
