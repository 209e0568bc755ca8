"""Facts and examples as pages, the augmenter and the runs use them: paging, editing, undo, counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets, Filter, MadeExample
from studio.datasets.documents import Documents
from studio.errors import DatasetError, UnknownDataset
from studio.i18n import sentences
from studio.store import open_store


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    yield Datasets(store)
    store.close()


def made(fact_id: int, question: str, answer: str = "答え", **values: str) -> MadeExample:
    fields = {"kind": "paraphrase", "answer_style": "short", "generator": "rules", **values}
    return MadeExample.model_validate({"fact_id": fact_id, "question": question, "answer": answer, **fields})


def content(datasets: Datasets, name: str) -> object:
    """All that a dataset holds, column by column."""
    db, dataset_id = datasets.store.read(), datasets.require(name)
    return [
        db.execute(f"SELECT * FROM {table} WHERE dataset_id = ? ORDER BY id", (dataset_id,)).fetchall()
        for table in ("fact", "example")
    ]


def test_a_new_dataset_is_empty_and_listed(datasets: Datasets) -> None:
    datasets.create(" アニメ ")
    assert datasets.names() == ["アニメ"]
    assert datasets.require("アニメ") == datasets.require(" アニメ")
    page = datasets.page("アニメ")
    assert (page.examples, page.total, page.number, page.pages) == ([], 0, 1, 1)


@pytest.mark.parametrize("name", ["", " 　", "a" * 61, "a/b", "a\\b", "..", "a\nb", "a\0b", "\ud800", "what?"])
def test_a_name_that_cannot_be_used_is_refused_with_a_sentence(datasets: Datasets, name: str) -> None:
    with pytest.raises(DatasetError) as caught:
        datasets.create(name)
    assert caught.value.text("ja") != caught.value.text("en")
    assert datasets.names() == []


def test_a_name_is_taken_once(datasets: Datasets) -> None:
    datasets.create("a")
    with pytest.raises(DatasetError, match='already a dataset "a"'):
        datasets.create("a ")


def test_an_unknown_dataset_is_named_in_the_sentence(datasets: Datasets) -> None:
    with pytest.raises(UnknownDataset, match='no dataset "アニメ"'):
        datasets.counts("アニメ")
    with pytest.raises(UnknownDataset):
        datasets.page("\ud800\0")


def test_an_added_fact_is_its_accepted_seed(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", " 主人公は誰ですか？\n", "レベッカ宮本です。")
    assert (seed.question, seed.answer, seed.kind, seed.status) == (
        "主人公は誰ですか？",
        "レベッカ宮本です。",
        "seed",
        "accepted",
    )
    (fact,) = datasets.facts("a")
    assert (fact.id, fact.question, fact.answer, fact.short_answer) == (seed.fact_id, seed.question, seed.answer, True)


@pytest.mark.parametrize(("question", "answer"), [("", "a"), ("q", "　\n"), ("q\0", "a"), ("q", "\udc80")])
def test_a_text_that_cannot_be_stored_is_refused_with_a_sentence(
    datasets: Datasets, question: str, answer: str
) -> None:
    datasets.create("a")
    with pytest.raises(DatasetError):
        datasets.add_fact("a", question, answer)
    seed = datasets.add_fact("a", "q", "a")
    with pytest.raises(DatasetError):
        datasets.edit_example("a", seed.id, question=question, answer=answer)
    assert datasets.example(seed.id) == seed


def test_a_page_holds_at_most_a_hundred_and_its_number_is_clamped(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    datasets.add_examples("a", [made(seed.fact_id, f"q{number}") for number in range(249)])
    last = datasets.page("a", number=10**30, size=1000)
    assert (last.number, last.pages, last.total, len(last.examples)) == (3, 3, 250, 50)
    assert datasets.page("a", number=-5, size=0).examples == [seed]
    ids = [example.id for number in (1, 2, 3) for example in datasets.page("a", number=number, size=100).examples]
    assert ids == sorted(ids)


def test_the_examples_of_a_fact_stand_together(datasets: Datasets) -> None:
    datasets.create("a")
    first, second = datasets.add_fact("a", "q1", "a"), datasets.add_fact("a", "q2", "a")
    datasets.add_examples("a", [made(second.fact_id, "q2x"), made(first.fact_id, "q1x", kind="reverse")])
    assert [example.question for example in datasets.page("a").examples] == ["q1", "q1x", "q2", "q2x"]


def test_counts_tell_facts_examples_pending_and_kinds(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    added = datasets.add_examples(
        "a", [made(seed.fact_id, "q2", status="pending"), made(seed.fact_id, "q3", kind="reverse")]
    )
    counts = datasets.counts("a")
    assert added == 2
    assert (counts.facts, counts.examples, counts.pending) == (1, 3, 1)
    assert counts.by_kind == {"seed": 1, "paraphrase": 1, "reverse": 1}


def test_editing_the_seed_edits_the_fact(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    edited = datasets.edit_example("a", seed.id, answer="新しい答え")
    assert (edited.question, edited.answer) == ("q", "新しい答え")
    assert datasets.facts("a")[0].answer == "新しい答え"
    assert datasets.page("a", filter=Filter(search="新しい")).total == 1


def test_an_edit_that_changes_nothing_is_no_step_to_undo(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    datasets.edit_example("a", seed.id, question="q ")
    datasets.undo("a")
    assert datasets.counts("a").examples == 0


def test_an_edit_cannot_make_a_double_within_its_fact(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "答え")
    datasets.add_examples("a", [made(seed.fact_id, "q2")])
    with pytest.raises(DatasetError, match="the same question and answer already"):
        datasets.edit_example("a", seed.id + 1, question="q")


def test_an_example_of_another_dataset_is_refused(datasets: Datasets) -> None:
    datasets.create("a")
    datasets.create("b")
    seed = datasets.add_fact("a", "q", "a")
    with pytest.raises(DatasetError, match='does not belong to dataset "b"'):
        datasets.edit_example("b", seed.id, question="x")
    with pytest.raises(DatasetError, match='does not belong to dataset "b"'):
        datasets.delete_examples("b", [seed.id])
    with pytest.raises(DatasetError, match="another dataset"):
        datasets.add_examples("b", [made(seed.fact_id, "x")])


@pytest.mark.parametrize("example_id", [999, -1, 2**80])
def test_an_example_that_is_gone_is_refused(datasets: Datasets, example_id: int) -> None:
    datasets.create("a")
    with pytest.raises(DatasetError, match="There is no example"):
        datasets.example(example_id)
    with pytest.raises(DatasetError, match="There is no example"):
        datasets.delete_examples("a", [example_id])


def test_deleting_a_seed_deletes_its_fact_and_undo_brings_all_back(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    datasets.add_examples("a", [made(seed.fact_id, "q2"), made(seed.fact_id, "q3")])
    before = content(datasets, "a")
    assert datasets.delete_examples("a", [seed.id, seed.id + 1]) == 3
    assert (datasets.counts("a").facts, datasets.counts("a").examples) == (0, 0)
    assert datasets.page("a", filter=Filter(search="q")).total == 0
    assert str(datasets.undo("a")) == "Took back the deletion of 3 examples."
    assert content(datasets, "a") == before
    assert datasets.page("a", filter=Filter(search="q")).total == 3


def test_deleting_nothing_is_no_step_to_undo(datasets: Datasets) -> None:
    datasets.create("a")
    assert datasets.delete_examples("a", []) == 0
    with pytest.raises(DatasetError, match="no change to undo"):
        datasets.undo("a")


def test_undo_stays_within_its_dataset(datasets: Datasets) -> None:
    datasets.create("a")
    datasets.create("b")
    datasets.add_fact("a", "q", "a")
    with pytest.raises(DatasetError):
        datasets.undo("b")
    assert datasets.undo("a").text("ja") == "「q」の追加を元に戻しました。"


def test_ids_are_never_given_out_twice(datasets: Datasets) -> None:
    datasets.create("a")
    first = datasets.add_fact("a", "q", "a")
    datasets.undo("a")
    assert datasets.add_fact("a", "q", "a").id > first.id


def test_made_examples_that_the_fact_has_are_left_out(datasets: Datasets) -> None:
    datasets.create("a")
    seed, other = datasets.add_fact("a", "q", "答え"), datasets.add_fact("a", "r", "答え")
    batch = [made(seed.fact_id, "q"), made(seed.fact_id, "x"), made(seed.fact_id, " x "), made(other.fact_id, "x")]
    assert datasets.add_examples("a", batch) == 2
    assert datasets.add_examples("a", batch) == 0
    datasets.undo("a")
    assert datasets.counts("a").examples == 2


def test_what_was_made_of_a_fact_deleted_meanwhile_is_left_out(datasets: Datasets) -> None:
    datasets.create("a")
    gone, kept = datasets.add_fact("a", "q", "a"), datasets.add_fact("a", "r", "a")
    datasets.delete_examples("a", [gone.id])
    assert datasets.add_examples("a", [made(gone.fact_id, "x"), made(kept.fact_id, "y")]) == 1


def test_a_made_example_keeps_where_it_came_from(datasets: Datasets) -> None:
    datasets.create("a")
    seed = datasets.add_fact("a", "q", "a")
    datasets.add_examples("a", [made(seed.fact_id, "x", kind="reverse", prompt_version="augment.v1")])
    example = datasets.page("a", filter=Filter(search="x")).examples[0]
    assert (example.generator, example.prompt_version, example.kind) == ("rules", "augment.v1", "reverse")


def test_a_deleted_dataset_leaves_the_others_and_frees_its_name(datasets: Datasets) -> None:
    for name in ("a", "b"):
        datasets.create(name)
        datasets.add_fact(name, "問いかけ", "答え")
    before = content(datasets, "b")
    datasets.delete("a")
    datasets.create("a")
    assert datasets.counts("a").examples == 0
    assert content(datasets, "b") == before
    assert datasets.page("b", filter=Filter(search="問いかけ")).total == 1


def test_the_demo_is_installed_once(datasets: Datasets, tmp_path: Path) -> None:
    line = '{"fact_id": "b1", "question": "q", "answer": "a", "subject": "s", "tags": ["t"], "key_terms": [["a", "b"]]}'
    datasets.install_demo(tmp_path)
    assert datasets.names() == []
    (tmp_path / "dataset.jsonl").write_text(line + "\n", encoding="utf-8")
    datasets.install_demo(tmp_path)
    (fact,) = datasets.facts("demo")
    assert (fact.subject, fact.tags, fact.key_terms) == ("s", ("t",), (("a", "b"),))
    datasets.delete("demo")
    datasets.install_demo(tmp_path)
    assert datasets.names() == []


def test_a_demo_of_the_users_own_is_left_alone(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "dataset.jsonl").write_text('{"question": "q", "answer": "a"}\n', encoding="utf-8")
    datasets.create("demo")
    datasets.install_demo(tmp_path)
    assert datasets.counts("demo").examples == 0


def test_every_sentence_of_the_datasets_is_there_in_both_languages() -> None:
    ours = {locale: {key for key in sentences(locale) if key.startswith("dataset.")} for locale in ("ja", "en")}
    used = set()
    root = Path(__file__).parent.parent / "studio"
    for file in [root / "store.py", *(root / "datasets").glob("*.py")]:
        words = file.read_text(encoding="utf-8").split('"')
        used |= {word for word in words if word.startswith("dataset.") and "{" not in word and "jsonl" not in word}
    assert ours["ja"] == ours["en"]
    assert used <= ours["en"]


def test_an_undo_never_takes_back_the_demo_that_nobody_imported(datasets, tmp_path):
    (tmp_path / "dataset.jsonl").write_text('{"question": "問い？", "answer": "答え"}\n', "utf-8")
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles" / "海.md").write_text("# 海\n海の話。", "utf-8")
    documents = Documents(datasets.store)
    datasets.install_demo(tmp_path, documents.import_now)
    assert [title for title, _ in documents.frozen_documents("demo")] == ["海"]
    with pytest.raises(DatasetError):
        datasets.undo("demo")
    assert datasets.counts("demo").facts == 1
