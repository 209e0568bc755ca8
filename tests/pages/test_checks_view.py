"""The findings as a person sees them: worst first, compared, escaped, and honest about their age."""

from datetime import UTC, datetime

from studio.datasets import Example
from studio.datasets.checks import CodeCount, Finding, FindingPage, Report
from studio.pages.checks_view import findings_list, kinds_list, status_line

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def example(number: int, question: str, answer: str, status: str = "accepted") -> Example:
    fields = {"id": number, "fact_id": number, "kind": "seed", "answer_style": "short", "status": status}
    return Example.model_validate(
        {**fields, "question": question, "answer": answer, "created_at": NOW, "updated_at": NOW}
    )


def report(*counts: CodeCount, questions: int = 0, changes_since: int = 0) -> Report:
    return Report(
        checked_at=NOW, facts=1, examples=2, questions=questions, counts=list(counts), changes_since=changes_since
    )


def page(code: str, *examples: Example, **values: str | int) -> FindingPage:
    finding = Finding.model_validate(
        {"group_id": 1, "code": code, "values": values, "examples": examples, "total": len(examples) or 1}
    )
    return FindingPage(findings=[finding], total=1, number=1, pages=1)


def test_what_two_answers_to_one_question_differ_in_is_marked_and_escaped() -> None:
    drawn = findings_list(
        page("conflict", example(1, "父は誰？", "<医師>"), example(2, "父は誰？", "<医者>")), "conflict", "ja"
    )
    assert "&lt;医<mark>師</mark>&gt;" in drawn and "&lt;医<mark>者</mark>&gt;" in drawn
    assert "<医" not in drawn


def test_a_rejected_example_can_be_accepted_again() -> None:
    drawn = findings_list(page("foreign", example(7, "誰？", "who", "rejected"), what="answer"), "foreign", "ja")
    assert 'data-id="7" data-status="accepted"' in drawn and 'class="rejected"' in drawn


def test_a_finding_whose_examples_are_gone_says_so() -> None:
    assert "削除されました" in findings_list(page("duplicate"), "duplicate", "ja")


def test_what_augmentation_mends_leads_there() -> None:
    seed = example(1, "誰？", "人")
    lacking = findings_list(page("coverage_forward", seed, number=1, least=4), "coverage_forward", "ja")
    assert "データ拡張へ" in lacking
    assert "データ拡張へ" not in findings_list(page("duplicate", seed), "duplicate", "ja")


def test_a_dataset_without_findings_is_told_so_and_one_never_checked_is_not() -> None:
    assert "見つかりませんでした" in kinds_list(report(), "", "ja")
    assert kinds_list(None, "", "ja") == ""
    assert "まだチェックしていません" in status_line(None, "ja")


def test_the_status_says_what_has_changed_and_what_was_not_looked_for() -> None:
    old = status_line(report(changes_since=1234), "en")
    assert "1,234" in old and "no question set" in old
    assert "no question set" not in status_line(report(questions=75), "en")


def test_the_chosen_kind_is_marked() -> None:
    counts = [CodeCount(code="conflict", findings=1, examples=2), CodeCount(code="length", findings=3, examples=3)]
    drawn = kinds_list(report(*counts), "length", "en")
    assert 'data-code="length" aria-current="true"' in drawn
    assert drawn.count("aria-current") == 1
