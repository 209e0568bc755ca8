"""What people do to a dataset together: filters, bulk changes, facts made one or two, conflicts, undo and history."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from studio.datasets import Datasets, EditConflict, Example, FactConflict, Filter, MadeExample, text_index
from studio.errors import DatasetError
from studio.i18n import sentences
from studio.store import MIGRATIONS, open_store


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


@pytest.fixture
def seed(datasets: Datasets) -> Example:
    """The seed of the fact in dataset "a" that also has a phrasing and a reversed question, both pending."""
    datasets.create("a")
    seed = datasets.add_fact("a", "主人公は誰ですか？", "レベッカ宮本です。", author="葵")
    made = [
        ("paraphrase", "主役は誰？", "宮本です。", "rules"),
        ("reverse", "レベッカ宮本の作品は？", "ぱにぽに。", "gpt-5"),
    ]
    datasets.add_examples(
        "a",
        [
            MadeExample.model_validate(
                {
                    "fact_id": seed.fact_id,
                    "kind": kind,
                    "answer_style": "short",
                    "question": question,
                    "answer": answer,
                    "generator": generator,
                    "status": "pending",
                    "flags": ("no_subject",) if kind == "reverse" else (),
                }
            )
            for kind, question, answer, generator in made
        ],
        author="葵",
    )
    return seed


def content(datasets: Datasets) -> object:
    db = datasets.store.read()
    return [db.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in ("fact", "example")]


def found(datasets: Datasets, **fields: object) -> list[str]:
    return [example.question for example in datasets.page("a", filter=Filter.model_validate(fields)).examples]


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"status": "accepted"}, ["seed"]),
        ({"status": "pending", "kind": "reverse"}, ["reverse"]),
        ({"kind": "forward"}, ["seed", "paraphrase"]),
        ({"answer_style": "detailed"}, []),
        ({"generator": "person"}, ["seed"]),
        ({"generator": "rules"}, ["paraphrase"]),
        ({"generator": "model"}, ["reverse"]),
        ({"generator": "gpt-5"}, ["reverse"]),
        ({"check": "no_subject"}, ["reverse"]),
        ({"check": "subject"}, []),
        ({"search": "宮本", "status": "pending"}, ["paraphrase", "reverse"]),
        ({"split": "train"}, ["seed"]),
        ({"sort": "shortest"}, ["paraphrase", "reverse", "seed"]),
        ({"sort": "longest", "kind": "forward"}, ["seed", "paraphrase"]),
    ],
)
def test_a_filter_lets_through_what_has_all_it_asks_for(
    datasets: Datasets, seed: Example, fields: dict[str, object], kinds: list[str]
) -> None:
    filter = Filter.model_validate(fields)
    assert [example.kind for example in datasets.page("a", filter=filter).examples] == kinds
    assert datasets.count("a", filter) == len(kinds)


def test_the_tag_of_a_fact_and_a_finding_of_a_whole_fact_find_all_its_examples(
    datasets: Datasets, seed: Example
) -> None:
    other = datasets.add_fact("a", "監督は？", "ひとりの人です。")
    assert datasets.add_tag("a", [seed.id], " アニメ ") == 1
    assert datasets.add_tag("a", Filter(kind="seed"), "アニメ") == 1
    assert datasets.add_tag("a", Filter(), "アニメ") == 0
    datasets.add_tag("a", [seed.id], "学園")
    assert datasets.fact(seed.fact_id).tags == ("アニメ", "学園")
    assert (datasets.count("a", Filter(tag="学園")), datasets.count("a", Filter(tag="アニメ"))) == (3, 4)
    with datasets.store.write() as db:
        row = (datasets.require("a"), "coverage_reverse", 1, other.fact_id)
        db.execute("INSERT INTO finding (dataset_id, code, group_id, fact_id) VALUES (?, ?, ?, ?)", row)
    assert found(datasets, check="coverage_reverse") == ["監督は？"]


def test_the_newest_change_comes_first(datasets: Datasets, seed: Example) -> None:
    datasets.edit_example("a", seed.id, answer="レベッカ宮本。")
    assert found(datasets, sort="newest")[0] == seed.question


def test_a_search_that_nearly_all_hold_pages_by_reading_on_and_finds_the_same(
    datasets: Datasets, seed: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(120):
        datasets.add_fact("a", f"第{number}話の題は何ですか？", "答えです。")
    listed = datasets.page("a", filter=Filter(search="です", kind="forward"), number=2)
    monkeypatch.setattr(text_index, "MANY", 10)
    assert datasets.page("a", filter=Filter(search="です", kind="forward"), number=2) == listed
    monkeypatch.setattr("studio.datasets.search.MOST_READ", 122)
    counted = datasets.page("a", filter=Filter(search="です"), number=9)
    assert (counted.more, counted.total, counted.pages, len(counted.examples)) == (True, 121, 3, 21)
    monkeypatch.setattr("studio.datasets.search.MOST_READ", 20)
    counted = datasets.page("a", filter=Filter(search="です"), number=9)
    assert (counted.more, counted.total) == (False, 122)


def test_a_decision_counts_what_it_changed_and_leaves_texts_and_times(datasets: Datasets, seed: Example) -> None:
    before = datasets.page("a").examples
    assert datasets.set_status("a", Filter(), "accepted", author="葵") == 2
    assert datasets.counts("a").pending == 0
    assert datasets.set_status("a", [seed.id], "accepted") == 0
    assert [e.updated_at for e in datasets.page("a").examples] == [e.updated_at for e in before]
    assert str(datasets.undo("a", author="葵")) == "Took back the acceptance of 2 examples."
    assert datasets.page("a").examples == before


def test_a_bulk_deletion_says_before_how_many_go_and_comes_back_whole(datasets: Datasets, seed: Example) -> None:
    before = content(datasets)
    assert datasets.deletion_count("a", Filter(kind="reverse")) == 1
    assert datasets.deletion_count("a", [seed.id]) == 3
    assert datasets.delete_examples("a", Filter(status="accepted")) == 3
    assert datasets.counts("a").facts == 0
    assert found(datasets, search="宮本") == []
    datasets.undo("a")
    assert content(datasets) == before
    assert len(found(datasets, search="宮本")) == 3


def test_an_id_that_is_gone_stops_a_bulk_change(datasets: Datasets, seed: Example) -> None:
    with pytest.raises(DatasetError, match="There is no example 999"):
        datasets.set_status("a", [seed.id, 999], "rejected")
    datasets.create("b")
    with pytest.raises(DatasetError, match='does not belong to dataset "b"'):
        datasets.set_status("b", [seed.id], "rejected")
    assert datasets.example(seed.id).status == "accepted"


def test_an_edit_of_what_was_changed_meanwhile_is_refused_with_what_it_is_now(
    datasets: Datasets, seed: Example
) -> None:
    shown = seed.updated_at.isoformat()
    datasets.edit_example("a", seed.id, answer="別の答え", expected=shown, author="葵")
    with pytest.raises(EditConflict, match="葵") as caught:
        datasets.edit_example("a", seed.id, answer="さらに別", expected=shown, author="碧")
    assert caught.value.current.answer == "別の答え"
    now = caught.value.current.updated_at.isoformat()
    assert datasets.edit_example("a", seed.id, answer="さらに別", expected=now, author="碧").answer == "さらに別"


def test_a_decision_of_another_person_does_not_stop_an_edit(datasets: Datasets, seed: Example) -> None:
    datasets.set_status("a", [seed.id], "rejected", author="碧")
    edited = datasets.edit_example("a", seed.id, answer="別", expected=seed.updated_at.isoformat(), author="葵")
    assert (edited.answer, edited.status) == ("別", "rejected")


def test_undo_is_per_person(datasets: Datasets, seed: Example) -> None:
    datasets.edit_example("a", seed.id, answer="葵の答え", author="葵")
    other = datasets.add_fact("a", "監督は？", "水島です。", author=" 碧 ")
    datasets.undo("a", author="葵")
    assert datasets.example(seed.id).answer == seed.answer
    assert datasets.example(other.id) == other
    datasets.undo("a", author="碧")
    with pytest.raises(DatasetError, match="no change to undo"):
        datasets.undo("a", author="碧")


def test_what_somebody_else_changed_since_is_not_taken_back(datasets: Datasets, seed: Example) -> None:
    datasets.edit_example("a", seed.id, answer="葵の答え", author="葵")
    datasets.edit_example("a", seed.id, answer="碧の答え", author="碧")
    with pytest.raises(DatasetError, match="碧"):
        datasets.undo("a", author="葵")
    assert datasets.example(seed.id).answer == "碧の答え"
    datasets.undo("a", author="碧")
    datasets.undo("a", author="葵")
    assert datasets.example(seed.id) == seed


def test_a_fact_that_others_built_on_is_not_taken_back(datasets: Datasets, seed: Example) -> None:
    fields = {"kind": "reverse", "answer_style": "short", "generator": "rules", "question": "q", "answer": "a"}
    mine = datasets.add_fact("a", "監督は？", "水島です。", author="碧")
    datasets.add_examples("a", [MadeExample.model_validate({"fact_id": mine.fact_id, **fields})], author="葵")
    before = content(datasets)
    with pytest.raises(DatasetError, match="same fact were added"):
        datasets.undo("a", author="碧")
    assert content(datasets) == before


def test_an_example_whose_fact_is_gone_does_not_come_back_alone(datasets: Datasets, seed: Example) -> None:
    phrasing = datasets.page("a", filter=Filter(kind="paraphrase")).examples[0]
    datasets.delete_examples("a", [phrasing.id], author="葵")
    datasets.delete_examples("a", [seed.id], author="碧")
    with pytest.raises(DatasetError, match="cannot be taken back"):
        datasets.undo("a", author="葵")
    datasets.undo("a", author="碧")
    datasets.undo("a", author="葵")
    assert datasets.example(phrasing.id) == phrasing


def test_the_history_of_an_example_says_what_it_was_and_who_changed_it_when(datasets: Datasets, seed: Example) -> None:
    datasets.edit_example("a", seed.id, answer="別の答え", author="碧")
    datasets.set_status("a", Filter(), "rejected", author="葵")
    datasets.undo("a", author="葵")
    rejected, edited, added = datasets.history(seed.id)
    assert (rejected.undone, rejected.before, rejected.after) == (True, {"status": "accepted"}, {"status": "rejected"})
    assert (edited.author, edited.before, edited.after) == ("碧", {"answer": seed.answer}, {"answer": "別の答え"})
    assert (added.before, added.after, added.author, added.undone) == ({}, {}, "葵", False)
    assert edited.text("ja") == "「主人公は誰ですか？」を編集"
    assert edited.made_at > added.made_at


def test_what_a_fact_says_is_edited_and_taken_back(datasets: Datasets, seed: Example) -> None:
    before = content(datasets)
    fields = {
        "subject": " ぱにぽに ",
        "spellings": ["パニポニ", ""],
        "tags": ["a", "a "],
        "key_terms": [["宮本"], [" "]],
    }
    shown = datasets.fact(seed.fact_id)
    fact = datasets.edit_fact("a", seed.fact_id, author="葵", short_answer=False, expected=shown.said, **fields)  # type: ignore[arg-type]
    assert (fact.subject, fact.spellings, fact.tags, fact.key_terms) == (
        "ぱにぽに",
        ("パニポニ",),
        ("a",),
        (("宮本",),),
    )
    assert fact.short_answer is False
    assert datasets.edit_fact("a", seed.fact_id, author="碧", tags=["a"]) == fact
    with pytest.raises(DatasetError, match="cannot be read"):
        datasets.edit_fact("a", seed.fact_id, subject="\0")
    with pytest.raises(FactConflict, match="葵") as caught:
        datasets.edit_fact("a", seed.fact_id, subject="他", expected=shown.said, author="碧")
    assert caught.value.current == fact
    with pytest.raises(DatasetError, match="no fact 999"):
        datasets.edit_fact("a", 999, subject="x")
    datasets.undo("a", author="葵")
    assert content(datasets) == before


def test_merged_facts_keep_one_seed_and_what_either_said(datasets: Datasets, seed: Example) -> None:
    other = datasets.add_fact("a", "主人公の名前は？", "ベッキーです。")
    datasets.edit_fact("a", other.fact_id, subject="ぱにぽに", tags=["アニメ"], key_terms=[["ベッキー"]])
    before = content(datasets)
    fact = datasets.merge_facts("a", [seed.fact_id, other.fact_id, seed.fact_id])
    assert (fact.id, fact.question, fact.subject, fact.tags) == (seed.fact_id, seed.question, "ぱにぽに", ("アニメ",))
    assert fact.key_terms == (("ベッキー",),)
    kinds = [example.kind for example in datasets.page("a").examples]
    assert kinds == ["seed", "paraphrase", "reverse", "paraphrase"]
    assert datasets.counts("a").facts == 1
    datasets.undo("a")
    assert content(datasets) == before
    with pytest.raises(DatasetError, match="at least two"):
        datasets.merge_facts("a", [seed.fact_id])


def test_a_split_off_fact_has_the_first_example_for_its_seed(datasets: Datasets, seed: Example) -> None:
    _, phrasing, reverse = datasets.page("a").examples
    before = content(datasets)
    new = datasets.split_fact("a", seed.fact_id, [reverse.id, seed.id])
    assert (new.question, datasets.fact(seed.fact_id).question) == (reverse.question, phrasing.question)
    assert [example.kind for example in datasets.page("a").examples] == ["seed", "paraphrase", "seed"]
    datasets.undo("a")
    assert content(datasets) == before
    for chosen in ([], [seed.id, phrasing.id, reverse.id], [999]):
        with pytest.raises(DatasetError, match="leave at least one"):
            datasets.split_fact("a", seed.fact_id, chosen)


def test_a_phrasing_can_be_called_a_reversed_question_but_the_seed_stays_the_seed(
    datasets: Datasets, seed: Example
) -> None:
    phrasing = datasets.page("a", filter=Filter(kind="paraphrase")).examples[0]
    assert datasets.edit_example("a", phrasing.id, kind="reverse", answer_style="detailed").kind == "reverse"
    assert datasets.edit_example("a", seed.id, kind="reverse") == seed


def test_every_edit_that_can_be_undone_can_be_told_in_the_history() -> None:
    keys = sentences("en")
    undone = {key.replace(".undone_", ".done_") for key in keys if key.startswith("dataset.undone_")}
    assert undone <= keys.keys()


def test_texts_of_an_older_database_are_found_by_one_two_and_three_characters(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "studio.db")) as old:
        old.executescript(MIGRATIONS[0])
        old.execute("INSERT INTO dataset (name, created_at) VALUES ('a', '2026-01-01')")
        old.execute("INSERT INTO fact (dataset_id) VALUES (1)")
        texts = "'seed', 'short', 'accepted', '監督は？', '庵野', '2026-01-01', '2026-01-01', '監督は?', '庵野'"
        columns = "dataset_id, fact_id, kind, answer_style, status, question, answer, created_at, updated_at"
        old.execute(f"INSERT INTO example ({columns}, folded_question, folded_answer) VALUES (1, 1, {texts})")
        old.execute("PRAGMA user_version = 1")
        old.commit()
    with closing(open_store(tmp_path / "studio.db")) as store:
        datasets = Datasets(store)
        assert [datasets.count("a", Filter(search=text)) for text in ("野", "監督", "監督は", "督庵")] == [1, 1, 1, 0]
        datasets.edit_example("a", 1, answer="樋口")
        assert [datasets.count("a", Filter(search=text)) for text in ("庵野", "樋口")] == [0, 1]
