"""The list in a real browser: filters, many at once with its question and undo, a conflict of two people, and names."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.datasets import Datasets, Filter, MadeExample
from studio.store import open_store
from tests.browser.studio_app import chromium, running_app

pytestmark = pytest.mark.slow

FACTS = 60


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasets]:
    store = open_store(tmp_path_factory.mktemp("studio") / "data" / "studio.db")
    datasets = Datasets(store)
    datasets.create("アニメ")
    seeds = [datasets.add_fact("アニメ", f"第{n}話の題は何ですか？", f"題は「{n}」です。") for n in range(1, FACTS + 1)]
    made = {"kind": "reverse", "answer_style": "short", "generator": "rules", "status": "pending", "answer": "作品"}
    of_first = [{**made, "fact_id": seed.fact_id, "question": f"題{seed.id}は何話？"} for seed in seeds[:5]]
    datasets.add_examples("アニメ", [MadeExample.model_validate(one) for one in of_first])
    yield datasets
    store.close()


@pytest.fixture(scope="module")
def page(datasets: Datasets) -> Iterator[Page]:
    with running_app(Path(datasets.store.path.parent)) as address, chromium() as browser:
        page = browser.new_context(locale="ja-JP").new_page()
        page.goto(f"{address}/?dataset=アニメ")
        page.locator("#person textarea").fill("佐藤")
        yield page


@pytest.fixture
def whole(page: Page) -> Page:
    """The list without a filter, and nothing chosen."""
    if page.locator("[data-drop=all]").count():
        page.locator("[data-drop=all]").click()
    position(page, FACTS + 5)
    return page


def position(page: Page, number: int) -> None:
    expect(page.locator("#examples .oboe-position")).to_contain_text(f"全 {number} 例")


def test_filters_add_up_and_are_cleared_at_once(whole: Page) -> None:
    whole.locator("#filter-kind").select_option("reverse")
    position(whole, 5)
    whole.locator("#search textarea").fill("題3は")
    position(whole, 1)
    whole.locator("#search textarea").fill("")
    position(whole, 5)
    whole.locator("[data-drop=all]").click()
    position(whole, FACTS + 5)


def test_a_row_of_boxes_is_chosen_with_shift_and_kept_from_page_to_page(whole: Page) -> None:
    boxes = whole.locator("input[data-box]")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(whole.locator("[data-chosen]")).to_have_text("4 例を選択中")
    whole.locator("[data-page='2']").click()
    whole.locator("input[data-page-box]").click()
    expect(whole.locator("[data-chosen]")).to_have_text("19 例を選択中")
    whole.locator("[data-choose-none]").click()
    expect(whole.locator("[data-chosen]")).to_be_hidden()


def test_all_that_a_filter_finds_is_accepted_after_a_question_and_taken_back(whole: Page, datasets: Datasets) -> None:
    whole.locator("#filter-status").select_option("pending")
    position(whole, 5)
    whole.locator("input[data-box]").first.click()
    whole.locator("[data-choose-all]").click()
    whole.locator("[data-bulk=accepted]").click()
    expect(whole.locator(".oboe-confirm")).to_contain_text("5 例を採用します。")
    whole.locator("#search textarea").fill("題3は")  # another list: the question was about this one
    position(whole, 1)
    expect(whole.locator(".oboe-confirm")).to_have_count(0)
    whole.locator("#search textarea").fill("")
    position(whole, 5)
    whole.locator("input[data-box]").first.click()
    whole.locator("[data-choose-all]").click()
    whole.locator("[data-bulk=accepted]").click()
    first = datasets.page("アニメ", filter=Filter(status="pending")).examples[0]
    datasets.set_status("アニメ", [first.id], "accepted", author="鈴木")  # somebody else is quicker
    whole.locator("[data-run=yes]").click()
    expect(whole.locator(".oboe-confirm")).to_contain_text("4 例を採用します。")
    datasets.undo("アニメ", "鈴木")
    whole.locator("[data-run=yes]").click()
    expect(whole.locator(".oboe-confirm")).to_contain_text("5 例を採用します。")
    whole.locator("[data-run=yes]").click()
    expect(whole.locator("#examples .oboe-empty")).to_be_visible()
    assert datasets.counts("アニメ").pending == 0
    whole.locator("#undo").click()
    position(whole, 5)
    assert datasets.counts("アニメ").pending == 5


def test_a_deletion_says_that_a_fact_goes_with_its_seed_and_escape_leaves_all(whole: Page, datasets: Datasets) -> None:
    whole.locator("input[data-box]").first.click()
    whole.locator("[data-bulk=delete]").click()
    expect(whole.locator(".oboe-confirm")).to_contain_text("2 例を削除します。")
    expect(whole.locator(".oboe-confirm")).to_contain_text("その事実の例もすべて")
    whole.keyboard.press("Escape")
    expect(whole.locator(".oboe-confirm")).to_have_count(0)
    whole.locator("[data-choose-none]").click()
    assert datasets.counts("アニメ").facts == FACTS


def test_an_edit_over_another_persons_shows_both_texts_and_then_who_did_what(whole: Page, datasets: Datasets) -> None:
    whole.locator("#examples .column-question").nth(1).click()
    expect(whole.locator("#edit-answer textarea")).to_have_value("題は「1」です。")
    seed = datasets.page("アニメ", filter=Filter(search="第1話")).examples[0]
    datasets.edit_example("アニメ", seed.id, answer="鈴木の答え", author="鈴木")
    whole.locator("#edit-answer textarea").fill("佐藤の答え")
    whole.locator("#save-example").click()
    expect(whole.locator("#editor-conflict")).to_contain_text("鈴木の答え")
    expect(whole.locator("#edit-answer textarea")).to_have_value("佐藤の答え")
    whole.locator("#save-example").click()
    expect(whole.locator("#example-history li").first).to_contain_text("佐藤")
    expect(whole.locator("#example-history li").nth(1)).to_contain_text("鈴木の答え")
    assert datasets.example(seed.id).answer == "佐藤の答え"


def test_the_browser_knows_its_person_after_a_reload(whole: Page) -> None:
    whole.reload()
    expect(whole.locator("#person textarea")).to_have_value("佐藤")
