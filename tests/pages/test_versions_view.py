"""Splits, versions and differences as HTML: what is told, and that nothing of a dataset is markup."""

from datetime import UTC, datetime

import pytest

from studio.datasets.splits import SplitCounts, SplitSize
from studio.datasets.versions import Comparison, Difference, Version
from studio.pages.versions_view import comparison_view, splits_table, versions_table

COUNTS = SplitCounts(sizes={"train": SplitSize(facts=2, phrasings=6, examples=1200)}, whole_facts=2, not_accepted=7)


def compared(before: dict[str, object], after: dict[str, object], entity: str = "example") -> str:
    kind = "changed" if before and after else "removed" if before else "added"
    counts = {one: {"added": 0, "changed": 0, "removed": 0} for one in ("fact", "example")}
    counts[entity][kind] = 1
    difference = Difference.model_validate({"kind": kind, "entity": entity, "id": 5, "before": before, "after": after})
    found = Comparison.model_validate(
        {"counts": counts, "differences": [difference], "total": 1, "number": 1, "pages": 1}
    )
    return comparison_view(found, "v1", "", None, "en")


def example(**values: object) -> dict[str, object]:
    rest = {"status": "accepted", "kind": "seed", "answer_style": "short", "fact_id": 1}
    return {"question": "主人公は？", "answer": "ハルです。", **rest, **values}


def test_every_split_is_told_and_only_what_is_kept_and_not_empty_opens_in_the_list() -> None:
    kept, tried = (splits_table(COUNTS, typed, "en") for typed in (False, True))
    assert "1,200" in kept and "7 examples" in kept and "2 facts" in kept
    assert kept.count("<tr") == 4
    assert 'data-split="train"' in kept and "heldout_fact" not in kept
    assert "data-split" not in tried


def test_a_version_is_listed_with_the_runs_that_trained_it() -> None:
    version = Version(
        id=1, name="<v1>", author="", made_at=datetime.now(UTC), sha256="ab" * 32, facts=36, examples=1152
    )
    table = versions_table([version], {"<v1>@abababababab": ["sft-3"]}, "ja")
    assert "&lt;v1&gt;" in table and "<v1>" not in table
    assert "1,152" in table and "sft-3" in table


def test_a_changed_text_is_shown_once_with_what_went_and_what_came() -> None:
    shown = compared(example(), example(answer="ハルでした。"))
    assert "主人公は？" in shown
    assert "ハルで<del>す</del><ins>した</ins>。" in shown


def test_a_changed_decision_has_a_word_and_its_question() -> None:
    shown = compared(example(), example(status="rejected"))
    assert "主人公は？" in shown and "<del>accepted</del> <ins>rejected</ins>" in shown


@pytest.mark.parametrize("sides", [(example(answer="<b>"), {}), ({}, example(answer="<b>"))])
def test_what_came_or_went_is_shown_with_its_texts_escaped(sides: tuple[dict[str, object], dict[str, object]]) -> None:
    shown = compared(*sides)
    assert "&lt;b&gt;" in shown and "<b>" not in shown and "主人公は？" in shown


def test_what_a_fact_holds_reads_as_a_list() -> None:
    empty = {"subject": "", "spellings": "[]", "tags": "[]", "key_terms": "[]", "short_answer": None}
    shown = compared(empty, {**empty, "key_terms": '[["ハル", "霧生ハル"], ["主人公"]]'}, "fact")
    assert "ハル／霧生ハル · 主人公" in shown


def test_two_sides_that_hold_the_same_say_so() -> None:
    counts = {one: {"added": 0, "changed": 0, "removed": 0} for one in ("fact", "example")}
    found = Comparison.model_validate({"counts": counts, "differences": [], "total": 0, "number": 1, "pages": 1})
    assert "Nothing is different" in comparison_view(found, "v1", "v2", None, "en")
