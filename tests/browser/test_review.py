"""Fifty facts reviewed in a real browser without a mouse, and the last ten by two people at once."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.datasets import Datasets, MadeExample
from studio.store import Store, open_store
from tests.browser.studio_app import chromium, running_app

pytestmark = pytest.mark.slow

FACTS, ALONE = 60, 50
WAITING = 5  # examples of a fact that wait for a decision


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("studio") / "data" / "studio.db")
    fill(Datasets(store))
    yield store
    store.close()


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    with running_app(store.path.parent) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(address: str, browser: Browser) -> Page:
    return open_review(browser, address, "ja-JP", "佐藤")


@pytest.fixture(scope="module")
def other(address: str, browser: Browser) -> Page:
    return open_review(browser, address, "en-US", "鈴木")


def fill(datasets: Datasets) -> None:
    """Facts with an accepted seed and five examples that wait: two forward, three reversed."""
    datasets.create("アニメ")
    made = []
    for number in range(1, FACTS + 1):
        seed = datasets.add_fact("アニメ", f"第{number}話の主人公は誰ですか？", f"主人公は人物{number}です。")
        kinds = ["paraphrase"] * 2 + ["reverse"] * 3
        made += [
            MadeExample.model_validate(
                {
                    "fact_id": seed.fact_id,
                    "kind": kind,
                    "answer_style": "detailed" if place == 1 else "short",
                    "question": f"{kind}の質問{number}-{place}",
                    "answer": f"{kind}の回答{number}",
                    "generator": "rules",
                    "status": "pending",
                }
            )
            for place, kind in enumerate(kinds)
        ]
    datasets.add_examples("アニメ", made)


def open_review(browser: Browser, address: str, locale: str, person: str) -> Page:
    page = browser.new_context(locale=locale, viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{address}/?dataset=アニメ")
    page.locator("#person input, #person textarea").fill(person)
    expect(page.locator("#examples tr[data-id]").first).to_be_visible()
    page.get_by_role("tab", name=re.compile("^(レビュー|Review)$")).click()
    expect(page.locator(".oboe-sheet")).to_be_visible()
    return page


def fact(page: Page) -> int:
    return int(page.locator(".oboe-sheet").get_attribute("data-fact") or 0)


def cursor(page: Page) -> str | None:
    return page.locator(".oboe-cell[aria-current]").get_attribute("data-example")


def press(page: Page, *keys: str) -> None:
    """Press each key once the page shows what the key before has led to."""
    for key in keys:
        before = page.locator("[data-part=sheet]").get_attribute("data-drawn")
        page.keyboard.press(key)
        if key not in {"j", "k", "e", "f", "Escape"}:
            expect(page.locator("[data-part=sheet]")).not_to_have_attribute("data-drawn", before or "")


def expect_progress(page: Page, done: int) -> None:
    expect(page.locator(".oboe-review-progress")).to_contain_text(re.compile(rf"^{done} / {FACTS}\b"))


def decided(store: Store) -> Counter[str]:
    dataset_id = Datasets(store).require("アニメ")
    rows = store.read().execute("SELECT status FROM example WHERE dataset_id = ?", (dataset_id,))
    return Counter(status for (status,) in rows)


def test_fifty_facts_are_decided_without_the_mouse(page: Page, store: Store) -> None:
    ways = [
        ["Shift+A"],
        ["a"] * WAITING,
        ["r", "Shift+A"],
        ["j", "r", "k", "a", "u", "Shift+A"],
        ["r", "a", "u", "u", "a", "Shift+A"],
    ]
    for done in range(ALONE):
        expect_progress(page, done)
        assert fact(page) == done + 1
        press(page, *ways[done % len(ways)])
    expect_progress(page, ALONE)
    undecided = (FACTS - ALONE) * WAITING
    rejected = 2 * ALONE // len(ways)
    assert decided(store) == {
        "accepted": FACTS + ALONE * WAITING - rejected,
        "rejected": rejected,
        "pending": undecided,
    }


def test_previous_next_and_undo_lead_through_the_facts(page: Page) -> None:
    at = fact(page)
    press(page, "p")
    assert fact(page) == at - 1
    press(page, "n")
    assert fact(page) == at
    press(page, "u")
    assert fact(page) == ALONE
    expect_progress(page, ALONE - 1)
    press(page, "Shift+A")
    expect_progress(page, ALONE)


def test_keys_work_with_an_input_method_and_never_while_it_composes(page: Page) -> None:
    first = cursor(page)
    send = """(init) => document.body.dispatchEvent(
        new KeyboardEvent('keydown', {bubbles: true, cancelable: true, ...init}))"""
    page.evaluate(send, {"code": "KeyA", "key": "ち", "isComposing": True})
    page.evaluate(send, {"code": "KeyJ", "key": "ま"})  # the key of J on a kana keyboard
    moved = cursor(page)
    assert moved != first
    assert page.locator(f'[data-example="{first}"]').get_attribute("data-status") == "pending"
    page.evaluate(send, {"code": "KeyA", "key": "Process"})
    expect(page.locator(f'[data-example="{moved}"]')).to_have_attribute("data-status", "accepted")
    press(page, "u")
    expect(page.locator(f'[data-example="{moved}"]')).to_have_attribute("data-status", "pending")


def test_a_key_that_is_held_down_decides_once(page: Page) -> None:
    waiting = page.locator('[data-status="pending"]')
    number = waiting.count()
    page.keyboard.down("a")
    for _ in range(5):
        page.keyboard.down("a")
    page.keyboard.up("a")
    expect(waiting).to_have_count(number - 1)
    press(page, "u")
    expect(waiting).to_have_count(number)


def test_quick_keys_decide_one_after_the_other(page: Page) -> None:
    waiting = page.locator('[data-status="pending"]')
    for _ in range(WAITING - 1):  # faster than the server answers
        page.keyboard.press("a")
    expect(waiting).to_have_count(1)
    assert fact(page) == ALONE + 1
    press(page, *["u"] * (WAITING - 1))
    expect(waiting).to_have_count(WAITING)


def test_a_server_that_does_not_answer_is_told_and_the_key_works_again(page: Page) -> None:
    calls = re.compile("component_server")
    page.route(calls, lambda route: route.abort())
    page.keyboard.press("a")
    expect(page.locator(".oboe-told")).to_contain_text("サーバーから応答がありません")
    page.unroute(calls)
    press(page, "a", "u")
    expect(page.locator('[data-status="pending"]')).to_have_count(WAITING)


def test_an_example_is_edited_where_it_stands(page: Page, store: Store) -> None:
    example = cursor(page)
    page.keyboard.press("e")
    question = page.locator("form[data-part=example] [name=question]")
    expect(question).to_be_focused()
    question.fill("書き直した質問は arjknpu ですか？")
    question.dispatch_event("keydown", {"code": "Escape", "keyCode": 229})  # it ends the composition, not the editor
    expect(question).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(question).to_be_hidden()
    expect(page.locator(".oboe-sheet li[data-here]")).to_contain_text("書き直した質問は arjknpu ですか？")
    assert cursor(page) == example
    page.keyboard.press("e")
    question.fill("書きかけ")
    page.keyboard.press("Escape")
    expect(question).to_be_visible()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    press(page, "u")
    expect(page.locator(".oboe-sheet")).not_to_contain_text("書き直した質問")


def test_what_a_fact_says_of_itself_is_edited_here(page: Page, store: Store) -> None:
    page.keyboard.press("f")
    form = page.locator("form[data-part=fact]")
    form.locator("[name=subject]").fill("ぱにぽにだっしゅ！")
    form.locator("[name=spellings]").fill("ぽにぽにだっしゅ!｜ぱにぽに")
    form.locator("[name=tags]").fill("アニメ|主人公")
    form.locator("[name=key_terms]").fill("レベッカ宮本｜ベッキー\n人物")
    form.locator("[name=short_answer]").select_option("explanation")
    page.keyboard.press("Control+Enter")
    expect(form).to_be_hidden()
    expect(page.locator(".oboe-review-fact")).to_contain_text("レベッカ宮本（ベッキー） · 人物")
    kept = Datasets(store).fact(fact(page))
    assert (kept.spellings, kept.tags) == (("ぽにぽにだっしゅ!", "ぱにぽに"), ("アニメ", "主人公"))
    assert (kept.key_terms, kept.short_answer) == ((("レベッカ宮本", "ベッキー"), ("人物",)), False)
    press(page, "u")
    expect(page.locator(".oboe-review-fact")).not_to_contain_text("レベッカ宮本")


def test_an_edit_of_what_somebody_changed_meanwhile_shows_both_texts(page: Page, other: Page, store: Store) -> None:
    assert fact(other) != fact(page)
    while fact(other) != fact(page):
        press(other, "p")
    expect(other.locator(".oboe-review-progress")).to_contain_text("佐藤")
    for each, text in ((page, "佐藤の質問"), (other, "鈴木の質問")):
        each.keyboard.press("e")
        each.locator("form[data-part=example] [name=question]").fill(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("form[data-part=example]")).to_be_hidden()
    other.keyboard.press("Control+Enter")
    expect(other.locator("form[data-part=example] [data-part=conflict]")).to_contain_text("佐藤の質問")
    expect(other.locator("form[data-part=example] [name=question]")).to_have_value("鈴木の質問")
    other.keyboard.press("Control+Enter")
    expect(other.locator("form[data-part=example]")).to_be_hidden()
    press(page, "a")  # nobody decides on a text that he has not seen
    expect(page.locator(".oboe-told")).to_have_class(re.compile("warning"))
    expect(page.locator(".oboe-sheet li[data-here]")).to_contain_text("鈴木の質問")
    press(page, "u")  # and what somebody else has changed since is not taken back
    expect(page.locator(".oboe-told")).to_have_class(re.compile("failed"))
    for each, text in ((page, "佐藤の主題"), (other, "鈴木の主題")):
        each.keyboard.press("f")
        each.locator("form[data-part=fact] [name=subject]").fill(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("form[data-part=fact]")).to_be_hidden()
    other.keyboard.press("Control+Enter")
    expect(other.locator("form[data-part=fact] [data-part=conflict]")).to_contain_text("佐藤の主題")
    other.keyboard.press("Control+Enter")
    expect(other.locator("form[data-part=fact]")).to_be_hidden()
    assert Datasets(store).fact(fact(other)).subject == "鈴木の主題"
    press(other, "n")
    assert fact(other) != fact(page)


def test_two_people_finish_the_queue_at_once(page: Page, other: Page, store: Store) -> None:
    people = (page, other)
    for _ in range(FACTS):
        if all(each.locator(".oboe-review-done").count() for each in people):
            break
        marks = [each.locator("[data-part=sheet]").get_attribute("data-drawn") for each in people]
        for each in people:  # both at once: neither waits for the other
            each.keyboard.press("Shift+A" if each.locator('[data-status="pending"]').count() else "n")
        for each, mark in zip(people, marks, strict=True):
            expect(each.locator("[data-part=sheet]")).not_to_have_attribute("data-drawn", mark or "")
    for each in people:
        expect_progress(each, FACTS)
    assert decided(store)["pending"] == 0
    decisions = store.read().execute(
        "SELECT author, count(*), count(DISTINCT entity_id) FROM edit_change JOIN edit ON edit.id = edit_id"
        " WHERE undone_at IS NULL AND entity_id > ? AND json_extract(after, '$.status') IS NOT NULL GROUP BY author",
        (FACTS + ALONE * WAITING,),  # seeds come first, then what was made of each fact in turn
    )
    by_person = {author: (number, examples) for author, number, examples in decisions}
    assert set(by_person) == {"佐藤", "鈴木"}
    assert sum(number for number, _ in by_person.values()) == (FACTS - ALONE) * WAITING  # each example once, by one


def test_the_other_views_know_of_the_decisions_when_the_queue_is_left(page: Page) -> None:
    page.get_by_role("tab", name="一覧", exact=True).click()
    expect(page.locator("#examples")).to_contain_text("第1話の主人公は誰ですか？")
