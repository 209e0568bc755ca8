"""What the review queue draws: texts escaped, shared answers once, every key of the script on the screen."""

import re
from datetime import UTC, datetime

import pytest

from studio.datasets import Example, Fact
from studio.datasets.review import Progress, Row, Sheet
from studio.pages.review_panel import SCRIPT, Wish
from studio.pages.review_view import KEYS, fields_of, frame, sheet_of, typed_list, typed_terms

MARKUP = '<script>"alert(1)"</script>'
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def example(number: int, question: str, answer: str, **values: object) -> Example:
    fields = {"fact_id": 1, "kind": "paraphrase", "answer_style": "short", "status": "pending", **values}
    times = {"created_at": MOMENT, "updated_at": MOMENT}
    return Example.model_validate({"id": number, "question": question, "answer": answer, **fields, **times})


def sheet(*examples: Example, done: int = 412, **values: object) -> Sheet:
    rows = tuple(Row(direction="forward", question=one.question, examples=(one,)) for one in examples)
    given = {"fact": Fact(id=1, question="問い", answer="答え"), "left_out": 0, "cursor": examples[0].id, **values}
    progress = Progress(done=done, total=2000)
    return Sheet.model_validate({**given, "rows": rows, "progress": progress, "history": {e.id: [] for e in examples}})


def visible(drawn: str) -> str:
    """What stands on the screen before an example is chosen."""
    return re.sub(r"<template.*?</template>", "", drawn)


def test_progress_reads_as_people_write_it() -> None:
    drawn = sheet_of(sheet(example(1, "問い", "答え")), "ja")
    assert "412 / 2,000 事実" in drawn and "20 %" in drawn
    assert "未確認の例は残っていません" in sheet_of(sheet(example(1, "問い", "答え"), done=2000), "ja")


def test_every_text_is_escaped() -> None:
    fact = Fact(id=1, question=MARKUP, answer=MARKUP, subject=MARKUP, tags=(MARKUP,), key_terms=((MARKUP, MARKUP),))
    examples = [example(number, f"{MARKUP}{number}", f"{MARKUP}{number}", flags=[MARKUP]) for number in (1, 2)]
    drawn = sheet_of(sheet(*examples, fact=fact, others=(MARKUP,)), "ja")
    assert "<script" not in drawn and '"alert' not in drawn


def test_an_answer_that_questions_share_stands_once_and_another_beside_its_question() -> None:
    shared = [example(number, f"問い{number}", "共有の答え") for number in (1, 2, 3)]
    drawn = visible(sheet_of(sheet(*shared, example(4, "問い4", "別の答え")), "ja"))
    assert (drawn.count("共有の答え"), drawn.count("別の答え")) == (1, 1)


def test_two_shared_answers_of_one_style_have_a_column_each() -> None:
    both = [example(number, f"問い{number % 2}", f"答え{number // 2}", answer_style="detailed") for number in range(4)]
    drawn = visible(sheet_of(sheet(*both), "ja"))
    assert [drawn.count(label) for label in ("詳細 1<", "詳細 2<", "答え0", "答え1")] == [2, 2, 1, 1]
    assert re.findall(r'data-example="(\d)".*?data-column="(\d)"', drawn) == [
        ("0", "0"),
        ("1", "0"),
        ("2", "1"),
        ("3", "1"),
    ]


def test_a_flag_is_named_in_the_cell_and_told_in_a_sentence_beside_it() -> None:
    drawn = sheet_of(sheet(example(1, "問い", "答え", flags=["no_subject", "x9"])), "ja")
    assert "対象名なし" in visible(drawn) and "x9" in visible(drawn)
    assert "対象の名前がありません" in drawn


def test_the_editor_offers_to_change_the_same_text_elsewhere() -> None:
    assert "同じ回答：ほかに 1 例" in sheet_of(sheet(example(1, "甲", "答え"), example(2, "乙", "答え")), "ja")
    assert "ほかに" not in sheet_of(sheet(example(1, "甲", "一"), example(2, "乙", "二")), "ja")


def test_lists_are_typed_in_half_or_full_width() -> None:
    assert typed_list(" アニメ｜主人公| アニメ |") == ["アニメ", "主人公"]
    assert typed_terms("レベッカ宮本｜ベッキー\n\n先生") == [["レベッカ宮本", "ベッキー"], ["先生"]]


def test_what_a_fact_says_is_typed_as_it_was_shown() -> None:
    fact = Fact(id=1, question="", answer="", spellings=("a", "b"), tags=("Fate/Zero",), key_terms=(("x", "y"), ("z",)))
    fields = fields_of(fact)
    assert (typed_list(fields["spellings"]), typed_list(fields["tags"])) == (["a", "b"], ["Fate/Zero"])
    assert typed_terms(fields["key_terms"]) == [["x", "y"], ["z"]]


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_key_of_the_script_is_on_the_screen(language: str) -> None:
    script = SCRIPT.read_text("utf-8")
    for key, action in KEYS:
        code = f"'Shift+Key{key[-1]}': '{action}'" if key.startswith("⇧") else f"Key{key}: '{action}'"
        assert code in script
    assert re.findall(r"data-action=\"(\w+)\"", frame(language)) == [action for _, action in KEYS]


def test_the_server_knows_every_act_of_the_script() -> None:
    acts = set(re.findall(r"'(save_fact|save|open)'", SCRIPT.read_text("utf-8")))
    acts |= {action for _, action in KEYS} - {"edit", "fact", "up", "down"} | {"reopen"}
    for act in acts:
        assert Wish(act=act, dataset="a", page="1", framed=True).act == act  # type: ignore[arg-type]
