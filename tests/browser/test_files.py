"""In a real browser: files whose columns nobody could guess are looked at, brought in and exported again."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.studio_app import chromium, running_app

pytestmark = pytest.mark.slow

ROWS = [
    (number, f"「新世界図鑑{number}」の監督は誰ですか？", f"佐藤花子{number}です。" if number != 3 else "")
    for number in range(6)
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running_app(tmp_path_factory.mktemp("files") / "data") as address, chromium() as browser:
        page = browser.new_page(locale="ja-JP", viewport={"width": 1440, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(address)
        expect(page.locator("#examples tr[data-id]").first).to_be_visible()
        page.locator("#import button").first.click()
        yield page


def choose_format(page: Page, option: str) -> None:
    page.locator("#export-format input").click()
    page.get_by_role("option", name=option, exact=True).click()


def test_two_files_come_in_once_their_columns_are_said(page: Page, tmp_path: Path) -> None:
    table, lines = tmp_path / "ラボ.csv", tmp_path / "追加.jsonl"
    with table.open("w", encoding="cp932", newline="") as file:
        csv.writer(file).writerows([("No", "聞くこと", "言うこと"), *ROWS])
    lines.write_text(json.dumps({"question": "放送年は？", "answer": "2005年です。"}), encoding="utf-8")
    page.locator("#import-file input[type=file]").set_input_files([table, lines])
    expect(page.locator("#import-preview")).to_contain_text("聞くこと")  # named among the columns that are there
    page.locator("#import-columns select[data-field=question]").select_option("聞くこと")
    page.locator("#import-columns select[data-field=answer]").select_option("言うこと")
    expect(page.locator("#import-preview")).to_contain_text("6 件")
    expect(page.locator("#import-preview")).to_contain_text("回答が空です")
    page.locator("#import-start").click()
    expect(page.locator("#import-report")).to_contain_text("6 件を「ラボ」に取り込みました")
    expect(page.locator("#examples")).to_contain_text("佐藤花子5です。")
    expect(page.locator("#import-columns select")).to_have_count(0)


def test_what_the_list_shows_is_downloaded(page: Page) -> None:
    choose_format(page, "Alpaca")
    with page.expect_download() as whole:
        page.locator("#export").click()
    assert whole.value.suggested_filename == "ラボ-alpaca.json"
    assert len(json.loads(Path(whole.value.path()).read_text("utf-8"))) == 6
    page.locator("#search input, #search textarea").fill("放送年")
    expect(page.locator("#examples tr[data-id]")).to_have_count(1)
    with page.expect_download() as found:
        page.locator("#export").click()
    assert [row["output"] for row in json.loads(Path(found.value.path()).read_text("utf-8"))] == ["2005年です。"]


def test_lines_that_share_a_fact_lead_to_why_they_do(page: Page, tmp_path: Path) -> None:
    flat = [
        ("question", "answer"),
        ("ぱにぽにだっしゅ！の主人公は誰ですか？", "レベッカ宮本です。"),
        ("レベッカ宮本が主人公を務める作品は何ですか？", "ぱにぽにだっしゅ！です。"),
    ]
    with (tmp_path / "flat.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(flat)
    page.locator("#import-file input[type=file]").set_input_files(tmp_path / "flat.csv")
    expect(page.locator("#import-preview")).to_contain_text("2 件")
    page.locator("#import-start").click()
    expect(page.locator("#import-report")).to_contain_text("1 の事実は")
    page.locator("#import-report button").click()
    expect(page.get_by_role("tab", name="事実", exact=True)).to_have_attribute("aria-selected", "true")
