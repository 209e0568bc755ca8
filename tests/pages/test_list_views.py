"""The list as HTML: filters, the table with its boxes, the question before a bulk change, history and conflict."""

import re
from datetime import UTC, datetime

from studio.datasets import EditConflict, Example, Facets, Filter, HistoryEntry, Page
from studio.pages.dataset_filters import check_name, confirm_bar, filters_row
from studio.pages.dataset_table import examples_table
from studio.pages.example_view import conflict_box, example_line, history_list

MARKUP = '"><script>x</script>'
MOMENT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def example(**values: object) -> Example:
    fields = {"id": 7, "fact_id": 3, "kind": "reverse", "answer_style": "short", "status": "rejected"}
    texts = {"question": MARKUP, "answer": MARKUP, "generator": MARKUP, "created_at": MOMENT, "updated_at": MOMENT}
    return Example.model_validate({**fields, **texts, **values})


def test_what_is_asked_for_stands_out_and_can_be_dropped() -> None:
    facets = Facets(tags=("銀魂", MARKUP), generators=("", "rules", "gpt-5"), checks=("leak", "no_subject"))
    row = filters_row(Filter(tag="銀魂", fact_id=3, sort="newest"), facets, "ja")
    assert re.search(r'class="oboe-set" data-field="tag"', row)
    assert '<option value="newest" selected="selected">' in row
    assert 'data-drop="fact_id"' in row and 'data-drop="all"' in row
    assert "テスト質問の漏れ" in row and "対象名なし" in row
    assert "<script" not in row
    assert 'data-drop="all"' not in filters_row(Filter(search="x", sort="longest"), facets, "ja")


def test_a_filter_that_nothing_has_any_more_is_still_shown_and_one_without_choices_is_left_out() -> None:
    row = filters_row(Filter(check="old_code"), Facets(tags=(), generators=(), checks=()), "en")
    assert '<option value="old_code" selected="selected">' in row
    assert "filter-tag" not in row
    assert check_name("old_code", "en") == "old_code"


def test_a_row_of_the_table_can_be_chosen_and_tells_its_status() -> None:
    table = examples_table(Page(examples=[example()], total=1, number=1, pages=1), 7, Filter(), "en")
    assert 'data-box="7"' in table and 'class="oboe-mark rejected"' in table
    assert 'aria-selected="true"' in table and "<script" not in table


def test_a_count_that_stopped_says_so() -> None:
    page = Page(examples=[example()], total=1200, more=True, number=1, pages=24)
    assert "1,200 例以上" in examples_table(page, None, Filter(search="は"), "ja")


def test_the_question_before_a_bulk_change_names_the_number_and_a_tag_is_typed_there() -> None:
    assert "12,000 例を削除" in confirm_bar("delete", 12_000, takes_facts=True, locale="ja")
    assert "その事実の例も" not in confirm_bar("delete", 12_000, takes_facts=False, locale="ja")
    assert "<input" in confirm_bar("tag", 3, takes_facts=False, locale="ja")


def test_history_and_conflict_show_both_texts_escaped() -> None:
    entry = HistoryEntry.model_validate(
        {
            "author": MARKUP,
            "made_at": MOMENT,
            "sentence": "dataset.done_edit",
            "values": {"question": MARKUP},
            "before": {"answer": "前の答え"},
            "after": {"answer": MARKUP},
            "undone": True,
        }
    )
    history = history_list([entry], "ja")
    assert "前の答え" in history and "元に戻した変更" in history and "<script" not in history
    assert history_list([], "ja") == ""
    conflict = conflict_box(EditConflict(example(answer="今の答え"), "碧"), "ja")
    assert "今の答え" in conflict and "碧" in conflict and "<script" not in conflict
    assert "<script" not in example_line(example(flags=("no_subject", MARKUP)), "ja")
