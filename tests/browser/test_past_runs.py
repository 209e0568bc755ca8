"""Past runs in a real browser: found, compared, named, copied into the form and deleted; nothing typed strays."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.studio_app import chromium, running_app
from tests.test_runs import config
from training.contract import MetricRecord, RunFolder, RunStatus

pytestmark = pytest.mark.slow


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    runs = tmp_path / "data" / "runs"
    for age, rate in enumerate((1e-4, 1e-3), start=1):
        made(runs, f"sweep-{age}", age, name=f"demo {rate:g}", learning_rate=rate)
        (runs / f"sweep-{age}" / "about.json").write_text('{"group": "sweep-1"}')
    made(runs, "cpt-1", 3, state="crashed", name="銀魂 CPT")
    made(runs, "sft-1", 4, init_run="cpt-1").status.unlink()
    (tmp_path / "data" / "queue.json").write_text(json.dumps({"runs": ["sft-1"]}))
    with running_app(tmp_path / "data") as address, chromium() as browser:
        page = browser.new_page(locale="ja", viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"{address}/?tab=training")
        expect(row(page, "cpt-1")).to_be_visible(timeout=180_000)
        yield page


def made(runs: Path, run_id: str, age: int, state: str = "finished", **fields: object) -> RunFolder:
    folder = RunFolder(runs / run_id)
    folder.root.mkdir(parents=True)
    folder.config.write_text(config(**{"base_model": "assets/demo/model", **fields}).model_dump_json())
    folder.status.write_text(RunStatus.model_validate({"state": state, "step": 2, "total_steps": 2}).model_dump_json())
    records = [MetricRecord(step=step, total_steps=2, epoch=1, elapsed_s=1, loss=3 - step) for step in (1, 2)]
    folder.metrics.write_text("".join(record.model_dump_json(exclude_none=True) + "\n" for record in records))
    os.utime(folder.config, (age, age))
    return folder


def row(page: Page, run_id: str) -> object:
    return page.locator(f"#runs tr[data-run={run_id}]")


def test_past_runs_are_found_compared_named_copied_and_deleted(page: Page) -> None:
    search, tools = page.locator("#runs-search :is(input, textarea)"), page.locator("#run-tools")
    queue = page.locator(".oboe-queue")
    expect(queue).to_contain_text("cpt-1 を再開")
    search.fill("銀魂")
    expect(row(page, "sweep-1")).to_have_count(0)
    search.fill("")
    page.locator("#runs button[data-runs='sweep-1 sweep-2']").click()
    expect(page.locator("#run-comparison")).to_contain_text("学習率")
    expect(page.locator("#comparison-chart")).to_contain_text("demo 0.001")
    page.locator("#run-comparison button[data-close]").click()
    expect(page.locator("#run-comparison table")).to_have_count(0)
    row(page, "cpt-1").click()
    expect(tools.locator("[data-run=cpt-1]")).to_be_visible()
    tools.locator("textarea").fill("二回目で成功\n詳しくは後で")
    tools.locator("[data-action=keep]").click()
    expect(row(page, "cpt-1")).to_contain_text("二回目で成功")
    row(page, "sweep-1").click()
    expect(tools.locator("textarea")).to_have_value("")
    tools.locator("[data-action=clone]").click()
    expect(page.locator("#run-learning-rate :is(input, textarea)")).to_have_value("1e-4")
    page.locator("#run-learning-rate :is(input, textarea)").fill("1e-4、5e-4, 1e-3")
    expect(page.locator("#run-summary")).to_contain_text("3 件の学習を順に")
    row(page, "cpt-1").click()
    expect(page.locator("#run-resume")).to_be_visible()
    tools.locator("[data-action=ask]").click()
    tools.locator("[data-action=delete]").click()
    expect(page.locator(".toast-body.error")).to_contain_text("sft-1")
    page.locator("[data-cancel=sft-1]").click()
    expect(queue).to_have_count(0)
    tools.locator("[data-action=delete]").click()
    expect(row(page, "cpt-1")).to_have_count(0)
