"""Proposed facts are split, merged and confirmed by hand, and test questions by key, in a real browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.datasets import Datasets
from studio.datasets.questions import QuestionSets
from studio.store import open_store
from tests.browser.studio_app import chromium, running_app
from tests.test_questions import ASKED, TRAINED
from tests.test_recovery import TABLE_1


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("facts")
    (folder / "data").mkdir()
    store = open_store(folder / "data" / "studio.db")
    datasets = Datasets(store)
    datasets.import_file("アニメ", file_of(folder / "flat.jsonl", [*TABLE_1, *TRAINED]))
    asked = [(question, reference) for question, reference, *_ in ASKED]
    QuestionSets(datasets).import_file("アニメ", "報告書", file_of(folder / "asked.jsonl", asked))
    store.close()
    with running_app(folder / "data") as address:
        yield address


def file_of(path: Path, pairs: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"質問": question, "回答": answer}, ensure_ascii=False) for question, answer in pairs]
    path.write_text("\n".join(lines), "utf-8")
    return path


def opened(browser: Browser, address: str, section: str) -> Page:
    page = browser.new_context(locale="ja-JP", viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{address}?tab=dataset&dataset=アニメ")
    page.get_by_role("tab", name=section, exact=True).click()
    return page


def test_a_proposed_fact_is_split_merged_again_and_confirmed(browser: Browser, address: str) -> None:
    page = opened(browser, address, "事実")
    fact = page.locator("article")
    expect(fact).to_have_count(1)
    expect(fact).to_contain_text("「レベッカ宮本」")
    fact.locator("summary").click()
    for number in (4, 5, 6, 7):
        fact.locator("input[name=example]").nth(number).check()
    fact.get_by_role("button", name="選んだ例を別の事実に分ける").click()
    expect(fact).to_contain_text("言い換え 4 例 · 逆方向 0 例")
    page.get_by_role("button", name=re.compile("すべての事実")).click()
    expect(fact).to_have_count(7)
    page.locator("#facts-search textarea, #facts-search input").fill("ぽにぽに")
    expect(fact).to_have_count(2)
    for number in (0, 1):
        fact.nth(number).locator("input[name=fact]").check()
    page.get_by_role("button", name="1 つの事実にまとめる").click()
    expect(fact).to_have_count(1)
    fact.get_by_role("button", name="この事実でよい").click()
    expect(fact).to_contain_text("確認済み")
    page.context.close()


def test_test_questions_are_confirmed_by_key(browser: Browser, address: str) -> None:
    page = opened(browser, address, "質問セット")
    questions = page.locator("li[data-question]")
    expect(questions).to_have_count(6)
    expect(questions.nth(0)).to_have_attribute("data-here", "")
    page.keyboard.press("a")
    expect(page.locator("#question-sets")).to_contain_text("1 / 6 問を確認済み")
    expect(questions.nth(1)).to_have_attribute("data-here", "")
    page.keyboard.press("5")
    expect(questions.nth(1).locator("button[data-kind=out_of_domain]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("k")
    page.keyboard.press("u")
    expect(page.locator("#question-sets")).to_contain_text("1 / 6 問を確認済み")
    page.keyboard.press("f")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    expect(page.locator("#question-sets")).to_contain_text("2 / 6 問を確認済み")
    page.context.close()
