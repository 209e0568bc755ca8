"""A lab's whole file in a real browser: 31,748 questions are imported, checked, exported, divided and frozen."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.studio_app import ROOT, chromium, running_app

pytestmark = pytest.mark.slow

LINES = 31_748
DATASET = "大きなデータ"
WAIT_MS = 300_000  # bounds for a machine that does other work as well
KANA = "アイカキサシタチナニハヒマミラリ"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with running_app(tmp_path_factory.mktemp("studio") / "data") as address, chromium() as browser:
        page = browser.new_page(locale="ja-JP", viewport={"width": 1440, "height": 900})
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        expect(page.locator("#examples tr[data-id]").first).to_be_visible(timeout=WAIT_MS)
        yield page


def write_questions(path: Path, lines: int) -> Path:
    """One question a line about invented works, as reading-comprehension sets are laid out: no two are alike."""
    wordings = json.loads((ROOT / "assets/demo/wordings.json").read_text("utf-8"))
    draw = random.Random(0)
    aspects = list(wordings)
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            aspect, work = aspects[number % len(aspects)], number // len(aspects)
            title = "".join(draw.choices(KANA, k=5)) + f"の旅{work}"
            question = draw.choice(wordings[aspect]["forward"]).format(t=title, v="")
            answer = "".join(draw.choices(KANA, k=6)) + f"{number}号"
            row = {"id": f"tr-{number:06}", "title": title, "question": question, "answer": answer}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def open_section(page: Page, name: str) -> None:
    page.locator("#dataset-sections").get_by_role("tab", name=name, exact=True).click()


def import_file(page: Page, path: Path, name: str, number: int) -> None:
    """Drop a file in, read the preview, import it under a name."""
    page.locator("#import button").first.click()
    page.locator("#import-file input[type=file]").set_input_files(path)
    expect(page.locator("#import-preview table").first).to_be_visible(timeout=WAIT_MS)
    page.locator("#import-name textarea").fill(name)
    page.locator("#import-start").click()
    expect(page.locator("#import-report")).to_contain_text(f"{number:,}", timeout=WAIT_MS)
    expect(page.locator("#dataset-counts")).to_contain_text(f"{number:,}", timeout=WAIT_MS)


def run_checks(page: Page, number: int) -> None:
    open_section(page, "品質チェック")
    page.locator("#checks-run").click()
    expect(page.locator("#checks-status")).to_contain_text(f"{number:,} 例をチェックしました", timeout=WAIT_MS)


def show_splits(page: Page) -> None:
    open_section(page, "分割とバージョン")
    expect(page.locator("#splits tbody tr")).to_have_count(3, timeout=WAIT_MS)
    expect(page.locator("#split-seed textarea")).to_have_value("42", timeout=WAIT_MS)


def hold_out_facts(page: Page, share: str) -> None:
    """Keep a share of the facts out of training, for good."""
    page.locator("#split-heldout-fact-share textarea").fill(share)
    page.locator("#keep-splits").click()
    expect(page.locator("#splits button[data-split=heldout_fact]")).to_be_visible(timeout=WAIT_MS)


def freeze_version(page: Page, name: str, number: int) -> None:
    page.locator("#version-name textarea").fill(name)
    page.locator("#version-freeze").click()
    expect(page.locator("#versions tbody tr").first).to_contain_text(name, timeout=WAIT_MS)
    expect(page.locator("#versions tbody tr").first).to_contain_text(f"{number:,}")


def export_all(page: Page, target: Path) -> Path:
    open_section(page, "一覧")
    with page.expect_download(timeout=WAIT_MS) as download:
        page.locator("#export").click()
    download.value.save_as(target)
    return target


def test_a_file_of_a_labs_size_comes_in(page: Page, tmp_path: Path) -> None:
    import_file(page, write_questions(tmp_path / "questions.jsonl", LINES), DATASET, LINES)
    expect(page.locator("#examples tr[data-id]").first).to_be_visible(timeout=WAIT_MS)


def test_it_is_checked(page: Page) -> None:
    run_checks(page, LINES)
    expect(page.locator("#checks-kinds li").first).to_be_visible()


def test_it_is_exported_whole(page: Page, tmp_path: Path) -> None:
    path = export_all(page, tmp_path / "exported.jsonl")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(rows) == LINES
    assert {"question", "answer", "fact_id"} <= rows[0].keys()


def test_its_splits_are_shown_and_changed_and_open_in_the_list(page: Page) -> None:
    show_splits(page)
    hold_out_facts(page, "0.1")
    shown = page.locator("#splits tbody tr").all_inner_texts()
    train, _, facts = (int(row.split()[-1].replace(",", "")) for row in shown)
    assert train + facts == LINES and facts > LINES / 50
    page.locator("#splits button[data-split=heldout_fact]").click()
    expect(page.locator("#examples .oboe-position")).to_contain_text(f"{facts:,}", timeout=WAIT_MS)


def test_it_is_frozen_as_a_version_and_compared_with_now(page: Page) -> None:
    open_section(page, "分割とバージョン")
    freeze_version(page, "取り込み直後", LINES)
    page.locator("#versions button[data-version]").first.click()
    expect(page.locator("#comparison")).to_contain_text("違いはありません", timeout=WAIT_MS)


def test_a_run_would_be_divided_so(page: Page) -> None:
    page.get_by_role("tab", name="学習", exact=True).click()
    page.locator("#group-data button").first.click()
    expect(page.locator("#run-heldout-fact-share textarea")).to_have_value("0.1", timeout=WAIT_MS)
