"""What pages draw: texts are escaped, states are told, hidden reasoning stays hidden."""

from typing import Any

import pytest

from studio.arena import Scene, Side
from studio.datasets import Counts, Fact, Filter, ImportPreview, ImportReport, Page, RejectedLine
from studio.datasets.preview import PreviewPair
from studio.errors import DatasetError
from studio.inference import Reply
from studio.pages.arena_view import answer, question_chips
from studio.pages.dataset_table import counts_line, examples_table
from studio.pages.import_view import import_preview, import_report
from studio.pages.markup import duration_text, figure, notice, size_text, whole_number
from studio.pages.run_view import run_panel
from studio.runs.presets import run_config
from training.contract import RunStatus

MARKUP = "<script>alert(1)</script>"


def reply(**values: Any) -> Reply:
    given = {"model": "base", "answer": "答え", "reply_state": "ok", "tokens": 12, "reasoning_tokens": 0}
    return Reply(**(given | {"seconds": 0.6, "first_token_s": 0.1} | values))


def column(side: Side, known: Fact | None = None, phase: str = "ready") -> str:
    return answer("左", "base", Scene(phase, (side,)), known, "ja")


def test_an_answer_is_text_and_never_markup() -> None:
    assert "<script" not in column(Side("base", text=MARKUP))
    assert "<script" not in column(Side("base", reply=reply(answer=MARKUP)))


def test_while_a_model_thinks_the_number_of_its_tokens_is_shown() -> None:
    assert "分析中… 312 トークン" in column(Side("base", reasoning_tokens=312))


def test_while_the_server_starts_the_column_says_so() -> None:
    assert "モデルを読み込んでいます" in column(Side("base"), phase="loading")


@pytest.mark.parametrize(
    ("state", "badge"),
    [
        ("ok", "回答あり"),
        ("truncated_in_analysis", "分析のみ・回答なし（上限に到達）"),
        ("answer_in_analysis", "分析欄に回答"),
        ("empty", "空の出力"),
    ],
)
def test_every_state_of_a_reply_has_its_badge(state: str, badge: str) -> None:
    assert badge in column(Side("base", reply=reply(reply_state=state)))


def test_reasoning_is_folded_and_only_there_when_it_was_asked_for() -> None:
    assert "<details" not in column(Side("base", reply=reply(reasoning_tokens=9)))
    assert "<details" in column(Side("base", reply=reply(reasoning_tokens=9, reasoning="考えた")))


def test_a_failed_side_says_why() -> None:
    assert "質問が空です" in column(Side("base", error=DatasetError("arena.error_empty_question")))


def test_an_answer_that_holds_the_key_terms_is_marked() -> None:
    fact = Fact(id=1, question="主人公は誰ですか？", answer="レベッカ宮本です。", key_terms=(("レベッカ宮本",),))
    assert "正解を含む<" in column(Side("base", reply=reply(answer="レベッカ宮本です。")), fact)
    assert "正解を含まない" in column(Side("base", reply=reply(answer="のぼてです。")), fact)


def test_example_questions_are_escaped_where_a_browser_reads_them() -> None:
    assert '"><b>' not in question_chips(['"><b>'], "ja")


def test_an_empty_table_says_what_to_do_next() -> None:
    nothing = Page(examples=[], total=0, number=1, pages=1)
    assert "取り込んで" in examples_table(nothing, None, Filter(), "ja")
    assert "検索" in examples_table(nothing, None, Filter(search="作者"), "ja")


def test_an_import_lists_the_lines_that_did_not_come_in() -> None:
    rejected = [RejectedLine.because(line, DatasetError("dataset.error_empty_file")) for line in range(1, 61)]
    drawn = import_report(ImportReport(imported=3, rejected=rejected, facts=3, examples=3), MARKUP, "en")
    assert drawn.count("<tr") == 51 and "And 10 more" in drawn and "<script" not in drawn


def test_a_preview_shows_only_the_columns_that_say_something_and_runs_nothing() -> None:
    pairs = [PreviewPair(file=MARKUP, line=1, question=MARKUP, answer="a", tags="作品")]
    seen = ImportPreview(pairs=pairs, imported=1, rejected=[], complete=False, unused_columns=[MARKUP])
    drawn = import_preview(seen, "ja")
    assert "<script" not in drawn and "20,000" in drawn
    assert [head in drawn for head in (">タグ<", ">対象<", ">事実<", ">ファイル<")] == [True, False, False, False]


def test_counts_explain_once_what_a_fact_is() -> None:
    counts = Counts(facts=36, examples=1152, pending=0, by_kind={"seed": 36, "paraphrase": 1116})
    assert "1 つの事実 =" in counts_line(counts, "ja") and "1,152" in counts_line(counts, "ja")


def test_a_crashed_run_tells_its_reason_and_what_was_measured() -> None:
    status = RunStatus(state="crashed", reason=f"強制終了 {MARKUP}", four_bit_share=0.889, adapter_modules={"mlp": 12})
    drawn = run_panel("demo-1", status, run_config({"preset": "demo"}), None, "ja")
    assert "強制終了" in drawn and "<script" not in drawn and "88.9 %" in drawn and "mlp 12" in drawn


def test_a_run_tells_what_it_trains_what_it_cut_and_what_it_did_by_itself() -> None:
    counted = {
        "facts": 36,
        "examples": 1152,
        "documents": 6,
        "replayed": 128,
        "blocks": 240,
        "useful_token_share": 0.98,
    }
    cut = {"truncated": 12, "untrained": 3}
    happened = {
        "resumed_from_step": 500, "best_step": 800, "out_of_memory_retries": 1,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 8,
    }  # fmt: skip
    status = RunStatus(state="finished", **counted, **cut, **happened)
    drawn = run_panel("demo-1", status, run_config({"preset": "demo"}), None, "ja")
    assert "事実 36 · 例 1,152 · 文書 6 · 復習 128 · まとめた系列 240 · 有効なトークン 98 %" in drawn
    assert "切った例 12（うち回答が残らず学習しないもの 3）" in drawn
    assert "ステップ 500 の" in drawn and "ステップ 800（" in drawn and "バッチ 2 × 累積 8" in drawn
    status = RunStatus(state="running", facts=36, examples=36, documents=0, blocks=0, replayed=0, truncated=0)
    drawn = run_panel("demo-1", status, run_config({"preset": "demo"}), None, "ja")
    assert "事実 36 · 例 36<" in drawn and "切った例" not in drawn


def test_a_run_that_has_no_figures_yet_is_measuring_and_never_zero() -> None:
    drawn = run_panel("demo-1", RunStatus(state="starting"), run_config({"preset": "demo"}), None, "ja")
    assert drawn.count("測定中") == 6


def test_numbers_read_well() -> None:
    assert [figure(value) for value in (None, 2e-4, 0.00106, 0.354, 12.5)] == [
        "–",
        "2e-4",
        "1.06e-3",
        "0.354",
        "12.500",
    ]
    assert [size_text(size) for size in (812_000_000, 27e9, 512)] == ["812 MB", "27.0 GB", "512 B"]
    assert [duration_text(s, "en") for s in (45, 199, 7500)] == ["45 s", "3 min 19 s", "2 h 5 min"]
    assert [whole_number(typed) for typed in ("８", "1,152", "-1", "八", "")] == [8, 1152, None, None, None]


def test_a_notice_escapes_what_it_tells() -> None:
    assert "<script" not in notice(MARKUP, "warning", MARKUP)
