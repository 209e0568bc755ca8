"""The check before training in a real browser: it follows the form, and a click remedies what it finds."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.studio_app import chromium, running_app


def test_a_form_is_checked_as_it_stands_and_remedied_by_a_click(tmp_path: Path) -> None:
    with running_app(tmp_path / "data") as address, chromium() as browser:
        page = browser.new_page(locale="ja-JP")
        page.set_default_timeout(120_000)
        page.goto(address)
        page.get_by_role("tab", name="学習", exact=True).click()
        rate = page.locator("#run-learning-rate textarea, #run-learning-rate input")
        rate.fill("２e-5")
        low = page.locator("#preflight .oboe-finding", has_text="低すぎ")
        expect(low).to_be_visible()
        details = page.locator("#preflight-details")
        expect(details.locator("mark").first).to_be_visible(timeout=120_000)
        assert re.search(r"attention\s*20", details.inner_text())
        low.locator("button").click()
        expect(rate).to_have_value("2e-4")
        expect(low).to_have_count(0)
        page.locator("#preflight-budget textarea, #preflight-budget input").fill("１")
        expect(page.locator("#preflight button[data-fix*=max_steps]")).to_be_visible(timeout=120_000)
