"""The review queue: which fact comes next, what a decision leads to, and that nobody decides on what has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets, MadeExample
from studio.datasets.filters import Filter
from studio.datasets.review import HELD_S, LARGEST_SHEET, Reader, ReviewQueue, Sheet, stamp_of
from studio.datasets.text import is_short_answer
from studio.errors import DatasetError
from studio.store import open_store

SATO, SUZUKI = Reader(page="1", person="佐藤"), Reader(page="2", person="鈴木")


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def queue(datasets: Datasets, clock: list[float]) -> ReviewQueue:
    datasets.create("a")
    for number in (1, 2, 3):
        fill(datasets, number)
    return ReviewQueue(datasets, lambda: clock[0])


def made(fact_id: int, question: str, **values: str) -> MadeExample:
    fields = {
        "kind": "paraphrase",
        "answer_style": "short",
        "answer": "答え",
        "generator": "rules",
        "status": "pending",
    }
    return MadeExample.model_validate({"fact_id": fact_id, "question": question, **fields, **values})


def fill(datasets: Datasets, number: int) -> None:
    """A fact with an accepted seed, two phrasings with two answers each, and one reversed question."""
    seed = datasets.add_fact("a", f"問い{number}", "答え")
    detailed = {"answer_style": "detailed", "answer": "詳しい答え"}
    examples = [
        made(seed.fact_id, "逆", kind="reverse"),
        made(seed.fact_id, "乙", **detailed),
        made(seed.fact_id, "乙"),
    ]
    datasets.add_examples("a", [*examples, made(seed.fact_id, f"問い{number}", **detailed)])


def opened(sheet: Sheet | None) -> Sheet:
    assert sheet is not None
    return sheet


def shown(sheet: Sheet) -> list[tuple[str, str, str]]:
    return [(row.direction, row.question, e.answer_style) for row in sheet.rows for e in row.examples]


def here(sheet: Sheet) -> str:
    """The example under the cursor."""
    (example,) = [example for example in sheet.examples if example.id == sheet.cursor]
    return f"{example.question} {example.answer_style}"


def stamps(sheet: Sheet, ids: list[int]) -> dict[int, str]:
    return {example.id: stamp_of(example) for example in sheet.examples if example.id in ids}


def decide(queue: ReviewQueue, sheet: Sheet, status: str = "accepted", reader: Reader = SATO) -> Sheet:
    """The decision of one key."""
    after, changed = queue.decide("a", stamps(sheet, [sheet.cursor]), status, reader)  # type: ignore[arg-type]
    assert changed == 0
    return opened(after)


def accept_all(queue: ReviewQueue, sheet: Sheet, reader: Reader = SATO) -> Sheet:
    return opened(queue.decide("a", stamps(sheet, sheet.waiting), "accepted", reader)[0])


def test_a_sheet_is_ordered_by_direction_question_and_answer_style(queue: ReviewQueue) -> None:
    sheet = opened(queue.open("a", SATO))
    assert (sheet.fact.question, sheet.progress.done, sheet.progress.total) == ("問い1", 0, 3)
    assert shown(sheet) == [
        ("forward", "問い1", "short"),
        ("forward", "問い1", "detailed"),
        ("forward", "乙", "short"),
        ("forward", "乙", "detailed"),
        ("reverse", "逆", "short"),
    ]
    assert here(sheet) == "問い1 detailed"  # the seed is decided already


def test_a_decision_moves_to_what_waits_next_and_the_last_one_to_the_next_fact(queue: ReviewQueue) -> None:
    sheet = opened(queue.open("a", SATO))
    for expected in ("乙 short", "乙 detailed", "逆 short"):
        sheet = decide(queue, sheet)
        assert (here(sheet), sheet.fact.id) == (expected, 1)
    sheet = decide(queue, sheet, "rejected")
    assert (sheet.fact.id, sheet.progress.done) == (2, 1)


def test_the_cursor_returns_to_what_was_passed_over(queue: ReviewQueue, datasets: Datasets) -> None:
    sheet = opened(queue.open("a", SATO))
    last = sheet.examples[-1].id
    after, _ = queue.decide("a", stamps(sheet, [last]), "accepted", SATO)
    assert here(opened(after)) == "問い1 detailed"


def test_accepting_all_decides_only_on_what_waits(queue: ReviewQueue) -> None:
    sheet = decide(queue, opened(queue.open("a", SATO)), "rejected")
    assert accept_all(queue, sheet).fact.id == 2
    statuses = [example.status for example in opened(queue.previous("a", 2, SATO)).examples]
    assert statuses == ["accepted", "rejected", "accepted", "accepted", "accepted"]


def test_another_decision_in_a_finished_fact_stays_there(queue: ReviewQueue) -> None:
    accept_all(queue, opened(queue.open("a", SATO)))
    sheet = opened(queue.previous("a", 2, SATO))
    after = decide(queue, sheet, "rejected")
    assert (after.fact.id, after.cursor) == (1, after.examples[1].id)


def test_undo_leads_back_to_what_was_decided(queue: ReviewQueue) -> None:
    sheet = opened(queue.open("a", SATO))
    decided = decide(queue, sheet)
    assert accept_all(queue, decided).fact.id == 2
    back, undone = queue.undo("a", SATO)
    assert (opened(back).fact.id, opened(back).cursor) == (1, decided.cursor)
    assert "3" in undone.text("ja")
    assert opened(queue.undo("a", SATO)[0]).cursor == sheet.cursor
    assert opened(queue.open("a", SATO)).progress.done == 0


def test_undo_never_takes_back_what_somebody_else_did(queue: ReviewQueue) -> None:
    decide(queue, opened(queue.open("a", SATO)))
    with pytest.raises(DatasetError):
        queue.undo("a", SUZUKI)


def test_two_people_are_led_to_different_facts(queue: ReviewQueue) -> None:
    assert opened(queue.open("a", SATO)).fact.id == 1
    assert opened(queue.open("a", SUZUKI)).fact.id == 2
    assert opened(queue.next("a", 1, SATO)).fact.id == 3
    assert opened(queue.next("a", 2, SUZUKI)).fact.id == 1


def test_who_is_at_the_same_fact_is_named_and_forgotten_after_a_while(queue: ReviewQueue, clock: list[float]) -> None:
    queue.open("a", SATO)
    assert opened(queue.previous("a", 2, SUZUKI)).others == ("佐藤",)
    clock[0] = HELD_S + 1
    assert opened(queue.open("a", Reader(page="3"))).fact.id == 1


def test_a_reloaded_page_finds_its_fact_again(queue: ReviewQueue) -> None:
    queue.open("a", SATO)
    there = opened(queue.next("a", 1, SATO))
    wanted = there.examples[-1].id
    assert opened(queue.open("a", SATO, wanted)).cursor == wanted


def test_what_was_changed_meanwhile_is_not_decided_and_is_shown(queue: ReviewQueue, datasets: Datasets) -> None:
    seen = opened(queue.open("a", SATO))
    changed = seen.waiting[1]
    datasets.edit_example("a", changed, question="別の問い", author="鈴木")
    after, number = queue.decide("a", stamps(seen, seen.waiting), "accepted", SATO)
    assert (number, opened(after).cursor, opened(after).waiting) == (1, changed, [changed])
    assert opened(after).history[changed][0].author == "鈴木"


def test_two_decisions_on_one_example_at_once_are_one(queue: ReviewQueue) -> None:
    seen = opened(queue.open("a", SATO))
    decide(queue, seen, "rejected", SUZUKI)
    after, number = queue.decide("a", stamps(seen, [seen.cursor]), "accepted", SATO)
    assert (number, opened(after).examples[1].status) == (1, "rejected")


def test_the_end_of_the_queue_goes_round_all_facts(queue: ReviewQueue) -> None:
    sheet = opened(queue.open("a", SATO))
    while sheet.waiting:
        sheet = accept_all(queue, sheet)
    assert (sheet.progress.done, sheet.progress.total) == (3, 3)
    assert [opened(queue.next("a", fact_id, SATO)).fact.id for fact_id in (1, 2, 3)] == [2, 3, 1]
    assert opened(queue.previous("a", 1, SATO)).fact.id == 3


def test_data_that_came_in_accepted_can_be_reviewed_and_that_is_undone_as_one(
    queue: ReviewQueue, datasets: Datasets
) -> None:
    datasets.set_status("a", Filter(status="pending"), "accepted", author="鈴木")
    assert opened(queue.open("a", SATO)).progress.reopenable == 15
    sheet, number = queue.reopen("a", SATO)
    assert (number, opened(sheet).fact.id, len(opened(sheet).waiting), opened(sheet).progress.done) == (15, 1, 5, 0)
    assert here(opened(sheet)) == "問い1 short"
    assert opened(queue.undo("a", SATO)[0]).progress.done == 3


def test_a_dataset_without_facts_has_nothing_to_show(queue: ReviewQueue, datasets: Datasets) -> None:
    datasets.create("b")
    assert (queue.open("b", SATO), queue.next("b", 0, SATO), queue.previous("b", 0, SATO)) == (None, None, None)


def test_a_huge_fact_shows_a_sheet_of_it_and_what_waits_comes_first(queue: ReviewQueue, datasets: Datasets) -> None:
    datasets.add_examples("a", [made(1, f"問い{number:03}") for number in range(LARGEST_SHEET + 20)])
    sheet = opened(queue.open("a", SATO))
    assert (len(sheet.examples), len(sheet.waiting), sheet.left_out) == (LARGEST_SHEET, LARGEST_SHEET, 25)
    assert len(accept_all(queue, sheet).waiting) == 24


def test_examples_of_another_dataset_are_refused(queue: ReviewQueue, datasets: Datasets) -> None:
    datasets.create("b")
    sheet = opened(queue.open("a", SATO))
    with pytest.raises(DatasetError):
        queue.decide("b", stamps(sheet, [sheet.cursor]), "accepted", SATO)
    with pytest.raises(DatasetError):
        queue.at("b", sheet.cursor, SATO)


def test_a_fact_that_is_deleted_meanwhile_is_left(queue: ReviewQueue, datasets: Datasets) -> None:
    sheet = opened(queue.open("a", SATO))
    datasets.delete_examples("a", [sheet.examples[0].id], author="鈴木")
    with pytest.raises(DatasetError):
        queue.decide("a", stamps(sheet, [sheet.cursor]), "accepted", SATO)
    assert opened(queue.open("a", SATO)).fact.id == 2


def test_a_text_is_corrected_wherever_the_fact_holds_it_and_undone_as_one(
    queue: ReviewQueue, datasets: Datasets
) -> None:
    sheet = opened(queue.open("a", SATO))
    texts = [(example.question, example.answer) for example in sheet.examples]
    datasets.edit_example(
        "a", sheet.cursor, question="正しい問い", answer="正しい詳しい答え", everywhere=True, author="佐藤"
    )
    assert [(example.question, example.answer) for example in opened(queue.open("a", SATO)).examples] == [
        ("正しい問い", "答え"),
        ("正しい問い", "正しい詳しい答え"),
        ("乙", "答え"),
        ("乙", "正しい詳しい答え"),
        ("逆", "答え"),
    ]
    assert datasets.fact(1).question == "正しい問い"
    back, _ = queue.undo("a", SATO)
    assert [(example.question, example.answer) for example in opened(back).examples] == texts


def test_a_correction_everywhere_cannot_make_two_examples_one(queue: ReviewQueue, datasets: Datasets) -> None:
    sheet = opened(queue.open("a", SATO))
    with pytest.raises(DatasetError, match="the same question and answer"):
        datasets.edit_example("a", sheet.examples[2].id, question="問い1", everywhere=True)
    assert opened(queue.open("a", SATO)) == sheet


@pytest.mark.parametrize(
    ("answer", "short"),
    [
        ("ぽにぽにだっしゅ! の主人公はレベッカ宮本です。", True),
        ("レベッカ宮本が主人公を務める作品は「ぽにぽにだっしゅ!」です。", True),
        ("彼女が主人公の作品は「ぽにぽにだっしゅ!」です。この作品で彼女は天才少女教師として描かれています。", False),
        ("宇宙人です。教師です。", False),
    ],
)
def test_a_title_with_an_exclamation_mark_makes_no_second_sentence(answer: str, short: bool) -> None:
    assert is_short_answer(answer) == short
