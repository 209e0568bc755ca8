"""What charts hold: every figure of every run, scores by question set or tag, words in the reader's language."""

from pathlib import Path
from typing import Any

import pytest

from studio.pages.charts_view import Charted, View, answers_table, charts_of
from studio.runs.series import RunSeries
from training.contract import MetricRecord, ProbeAnswer, ProbeQuestion, ProbeRecord, RunFolder


def charted(root: Path, name: str, *, steps: int = 4, probes: int = 2, load: bool = True) -> Charted:
    folder = RunFolder(root / name)
    folder.root.mkdir()
    figures: dict[str, Any] = {
        "learning_rate": 1e-4,
        "grad_norm": 0.5,
        "tokens_per_s": 900.0,
        "memory_bytes": 3 * 10**9,
    }
    records = [
        MetricRecord(step=step, total_steps=steps, epoch=0, elapsed_s=step, loss=1 / step, **figures)
        for step in range(1, steps + 1)
    ]
    records = [record.model_copy(update={"gpu_load": 0.875}) if load else record for record in records]
    records += [MetricRecord(step=steps, total_steps=steps, epoch=1, elapsed_s=9, eval_loss=0.4)] if steps else []
    folder.metrics.write_text("".join(record.model_dump_json() + "\n" for record in records))
    asked = [
        ProbeRecord(
            step=step * 2,
            epoch=step,
            question_set=question_set,
            asked=4,
            right=step,
            partly=0,
            seconds=0.1,
            by_tag={"星": (step, 3), "海": (0, 1)},
        )
        for step in range(probes)
        for question_set in ("trained", "out_of_domain")
    ]
    folder.probes.write_text("".join(record.model_dump_json() + "\n" for record in asked))
    questions = [ProbeQuestion(question_set="trained", question=f"{place}？", reference="") for place in range(20)]
    folder.probe_questions.write_text("".join(question.model_dump_json() + "\n" for question in questions))
    return Charted(name, RunSeries().of(folder), steps)


def charts(*runs: Charted, language: str = "ja", **view: Any) -> dict[str, Any]:
    return charts_of(runs, View(runs=tuple(run.name for run in runs), **view), language)


def titles(drawn: dict[str, Any]) -> list[str]:
    return [chart["title"] for chart in drawn["charts"]]


def test_one_run_has_a_chart_of_each_figure_and_one_of_all_scores(tmp_path: Path) -> None:
    drawn = charts(charted(tmp_path, "sft"))
    assert titles(drawn) == [
        "損失",
        "途中評価の正答率（%）",
        "学習率",
        "勾配ノルム",
        "トークン/秒",
        "メモリ（GB）",
        "GPU 使用率（%）",
    ]
    loss, probes, *_, memory, load = drawn["charts"]
    assert [(line["label"], line["dashed"]) for line in loss["lines"]] == [
        ("学習", False),
        ("評価（未学習の言い回し）", True),
    ]
    assert [(line["label"], line["tone"]) for line in probes["lines"]] == [("学習した質問", "0"), ("分野外", "base")]
    assert probes["lines"][0] | {"x": [0, 2], "values": [0.0, 25.0], "told": ["0/4", "1/4"]} == probes["lines"][0]
    assert memory["lines"][0]["values"][0] == 3.0 and load["lines"][0]["values"][0] == 87.5


def test_several_runs_share_their_charts_and_have_a_chart_a_question_set(tmp_path: Path) -> None:
    drawn = charts(charted(tmp_path, "a"), charted(tmp_path, "b", load=False), language="en")
    assert [line["label"] for line in drawn["charts"][0]["lines"]] == [
        "a",
        "b",
        "a (evaluation)",
        "b (evaluation)",
    ]
    assert titles(drawn)[1:3] == ["Right answers (%): trained", "Right answers (%): out of domain"]
    assert [(line["label"], line["tone"]) for line in drawn["charts"][1]["lines"]] == [("a", "0"), ("b", "1")]
    assert [run["name"] for run in drawn["runs"]] == ["a", "b"]
    assert [line["tone"] for line in drawn["charts"][-1]["lines"]] == ["0"]


def test_a_question_set_is_shown_by_tag(tmp_path: Path) -> None:
    drawn = charts(charted(tmp_path, "sft"), by_tag="trained")
    (chart,) = [chart for chart in drawn["charts"] if chart["share"]]
    assert chart["title"] == "sft の正答率（%）: 学習した質問、タグごと"
    assert [(line["label"], line["told"][-1]) for line in chart["lines"]] == [("星", "1/3"), ("海", "0/1")]


def test_a_closer_look_draws_only_its_steps(tmp_path: Path) -> None:
    drawn = charts(charted(tmp_path, "sft", steps=900), first=100, last=110)
    assert drawn["charts"][0]["lines"][0]["x"] == list(range(100, 111)) and drawn["whole"] == 900


def test_a_probe_that_asks_fewer_questions_than_there_are_says_so(tmp_path: Path) -> None:
    assert "20 問のうち 8 問" in charts(charted(tmp_path, "sft"))["note"]
    assert charts(charted(tmp_path, "new", probes=0))["note"] == ""


@pytest.mark.parametrize("runs", [0, 1])
def test_before_the_first_step_the_charts_say_so(tmp_path: Path, runs: int) -> None:
    drawn = charts(*[charted(tmp_path, "new", steps=0, probes=0) for _ in range(runs)], language="en")
    assert drawn["charts"] == [] and "first step" in drawn["nothing"]


def test_five_runs_of_a_hundred_thousand_steps_stay_small(tmp_path: Path) -> None:
    import json

    run = charted(tmp_path, "long", steps=20_000)
    assert len(json.dumps(charts(*[run] * 5))) < 1_000_000


def test_the_last_probe_s_answers_are_text_with_their_verdict_and_an_empty_one_says_why() -> None:
    record = ProbeRecord(step=5, epoch=1, question_set="reverse", asked=2, right=1, partly=0, seconds=1)
    said = [("<b>誰？</b>", "ミナト", "ok", "right"), ("どこ？", "", "truncated_in_analysis", "wrong")]
    fields = ("question", "answer", "reply_state", "verdict")
    answers = tuple(ProbeAnswer.model_validate(dict(zip(fields, values, strict=True))) for values in said)
    table = answers_table([record, record.model_copy(update={"step": 1_000, "answers": answers})], "ja")
    assert "1,000 ステップ" in table and "&lt;b&gt;誰？" in table and "<b>" not in table
    assert "正解" in table and "不正解" in table and "分析のみ・回答なし" in table
    assert answers_table([], "ja") == ""
