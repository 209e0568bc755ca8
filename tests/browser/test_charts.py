"""The charts as a hand meets them: drawn from a run's files, looked at closely, smoothed, and never redrawn away."""

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from studio.pages.charts import Charts, Curve
from studio.pages.theme import style_sheets, theme
from studio.runs.registry import Runs
from tests.browser.studio_app import chromium
from training.contract import MetricRecord, ProbeAnswer, ProbeRecord, RunConfig, RunFolder, RunStatus

STEPS = 3_000
SAID = ProbeAnswer(question="主人公は誰ですか？", answer="ミナトです。", reply_state="ok", verdict="right")


def write_run(root: Path, run_id: str) -> None:
    folder = RunFolder(root / run_id)
    folder.root.mkdir(parents=True)
    folder.config.write_text(RunConfig(dataset="demo", base_model="some/model").model_dump_json())
    folder.status.write_text(RunStatus(state="finished", step=STEPS, total_steps=STEPS).model_dump_json())
    records = [
        MetricRecord(step=step, total_steps=STEPS, epoch=0, elapsed_s=step, loss=3 / step, learning_rate=1e-4)
        for step in range(1, STEPS + 1)
    ]
    folder.metrics.write_text("".join(record.model_dump_json() + "\n" for record in records))
    probes = [
        ProbeRecord(
            step=step, epoch=1, question_set=name, asked=10, right=right, partly=0, seconds=1, answers=(SAID,) * 10
        )
        for step, scores in ((0, (0, 9)), (STEPS, (10, 4)))
        for name, right in zip(("trained", "out_of_domain"), scores, strict=True)
    ]
    folder.probes.write_text("".join(record.model_dump_json() + "\n" for record in probes))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The component alone, with a text that names the runs to be drawn."""
    data_dir = tmp_path_factory.mktemp("charts")
    for run_id in ("sft-1", "sft-2"):
        write_run(data_dir / "runs", run_id)
    charts = Charts(Runs(data_dir, None))  # type: ignore[arg-type] - nothing is started here
    with gr.Blocks() as app:
        named = gr.Textbox("sft-1", elem_id="named")
        drawn = charts.build("charts")

        def show(names: str) -> str:
            first, *beside = names.split()
            return charts.shown(charts.read(Curve(first, tuple(beside))))

        gr.on([app.load, named.change], show, named, drawn, show_progress="hidden")
    options = {"theme": theme(), "css_paths": style_sheets(), "quiet": True, "prevent_thread_lock": True}
    _, address, _ = app.launch(server_name="127.0.0.1", **options)
    try:
        with chromium() as browser:
            opened = browser.new_page(locale="ja-JP", viewport={"width": 1280, "height": 900})
            opened.goto(address)
            yield opened
    finally:
        app.close()


def chart(page: Page, key: str = "loss"):
    return page.locator(f'#charts [data-chart="{key}"]')


def test_a_run_is_drawn_and_a_drag_shows_every_step_until_all_is_asked_for_again(page: Page) -> None:
    expect(chart(page).locator("polygon")).to_have_count(1)  # thinned, with its extremes
    expect(chart(page, "probes")).to_contain_text("学習した質問 100 % (10/10)")
    expect(chart(page, "probes")).to_contain_text("分野外 40 % (4/10)")
    box = chart(page).locator("> svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 60)
    expect(chart(page)).to_contain_text("学習 0.0")  # the legend says the value under the pointer
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 60)
    page.mouse.up()
    expect(chart(page).locator("polygon")).to_have_count(0)
    page.get_by_role("button", name="全体を表示").click()
    expect(chart(page).locator("polygon")).to_have_count(1)


def test_the_last_answers_are_a_click_away(page: Page) -> None:
    page.get_by_text("途中評価で聞いた質問と答え").click()
    expect(page.locator("#charts .oboe-chart-answers")).to_contain_text("3,000 ステップ")
    expect(page.locator("#charts .oboe-chart-answers tbody tr")).to_have_count(20)


def test_tools_and_an_opened_fold_outlive_a_new_drawing(page: Page) -> None:
    page.get_by_text("学習率・勾配・速度・メモリ").click()
    expect(chart(page, "learning_rate").locator("> svg")).to_be_visible()
    page.get_by_label("対数目盛").check()
    page.locator("#named textarea, #named input").first.fill("sft-1 sft-2")
    expect(page.locator("#charts .oboe-chart-legend.runs")).to_contain_text("sft-2")
    expect(chart(page, "learning_rate").locator("> svg")).to_be_visible()
    expect(chart(page, "learning_rate").locator("polyline.t1").first).to_be_attached()
    expect(page.get_by_label("対数目盛")).to_be_checked()
    expect(chart(page, "probes")).to_have_count(2)
