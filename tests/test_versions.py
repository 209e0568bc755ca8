"""Versions of a dataset: frozen by content, compared, gone back to, and recorded by the runs that trained them."""

import itertools
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.datasets import Datasets, MadeExample
from studio.datasets.filters import Filter
from studio.datasets.splits import Splits
from studio.datasets.versions import Versions
from studio.errors import DatasetError, UnknownDataset
from studio.store import Store, open_store
from training.contract import RunConfig

_number = itertools.count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all tests: each takes a dataset of its own."""
    store = open_store(tmp_path_factory.mktemp("versions") / "studio.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def datasets(store: Store) -> Datasets:
    return Datasets(store)


@pytest.fixture(scope="module")
def versions(store: Store) -> Versions:
    return Versions(store)


def fresh(datasets: Datasets, facts: int = 2) -> str:
    """A new dataset of some facts, each with a phrasing and a reversed question."""
    name = f"d{next(_number)}"
    datasets.create(name)
    for number in range(facts):
        seed = datasets.add_fact(name, f"質問{number}？", f"回答{number}")
        fields = {"fact_id": seed.fact_id, "answer_style": "short", "generator": "rules", "answer": f"回答{number}"}
        made = [{"kind": "paraphrase", "question": f"言い換え{number}"}, {"kind": "reverse", "question": f"逆{number}"}]
        datasets.add_examples(name, [MadeExample.model_validate(fields | one) for one in made])
    return name


def content(datasets: Datasets, name: str) -> list[object]:
    """All that a dataset holds, column by column."""
    db, dataset_id = datasets.store.read(), datasets.require(name)
    return [
        db.execute(f"SELECT * FROM {table} WHERE dataset_id = ? ORDER BY id", (dataset_id,)).fetchall()
        for table in ("fact", "example")
    ]


def counts(versions: Versions, name: str, older: str, newer: str = "") -> dict[str, tuple[int, int, int]]:
    found = versions.compare(name, older, newer).counts
    return {entity: (of["added"], of["changed"], of["removed"]) for entity, of in found.items()}


def config(name: str, **fields: object) -> RunConfig:
    return RunConfig.model_validate({"dataset": name, "base_model": "m", **fields})


SAME = {"fact": (0, 0, 0), "example": (0, 0, 0)}


def test_a_version_says_who_froze_how_much_and_when(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets)
    version = versions.freeze(name, " 初回レビュー後 ", author=" 佐藤 ")
    assert versions.all(name) == [version]
    assert (version.name, version.author, version.facts, version.examples) == ("初回レビュー後", "佐藤", 2, 6)
    assert counts(versions, name, version.name) == SAME


def test_the_same_content_has_the_same_hash_and_is_stored_once(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets)
    first = versions.freeze(name)
    stored = datasets.store.read().execute("SELECT count(*) FROM image").fetchone()
    example = datasets.page(name).examples[0]
    datasets.edit_example(name, example.id, question="別の質問")
    datasets.edit_example(name, example.id, question=example.question)
    second = versions.freeze(name)
    assert (first.name, second.name, first.sha256) == ("v1", "v2", second.sha256)
    assert datasets.store.read().execute("SELECT count(*) FROM image").fetchone() == stored
    datasets.edit_example(name, example.id, question="別の質問")
    assert versions.freeze(name, "v9").sha256 != second.sha256
    assert versions.freeze(name).name == "v10"


@pytest.mark.parametrize("version", ["x" * 61, "a\nb", "a\0", "\ud800", "初回"])
def test_a_name_that_cannot_be_used_is_refused_with_a_sentence(
    datasets: Datasets, versions: Versions, version: str
) -> None:
    name = fresh(datasets)
    versions.freeze(name, "初回")
    with pytest.raises(DatasetError) as refused:
        versions.freeze(name, version)
    assert refused.value.text("ja") != refused.value.text("en")
    assert len(versions.all(name)) == 1


def test_what_is_not_there_is_named(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets)
    versions.freeze(name, "初回")
    with pytest.raises(DatasetError, match=r"no version \"二回\".*初回"):
        versions.go_back(name, "二回")
    with pytest.raises(DatasetError, match="no version"):
        versions.compare(name, "初回", "\ud800")
    for nowhere in ("どこにもない", "\ud800\0"):
        with pytest.raises(UnknownDataset):
            versions.freeze(nowhere)


def test_a_comparison_tells_added_changed_and_removed_with_both_texts(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets, facts=3)
    old = versions.freeze(name, "前")
    examples = datasets.page(name).examples
    datasets.edit_example(name, examples[1].id, answer="直した回答")
    datasets.delete_examples(name, [examples[3].id])  # a seed: its fact and three examples go
    new_fact = datasets.add_fact(name, "新しい質問", "新しい回答")
    versions.freeze(name, "後")
    assert counts(versions, name, "前", "後") == {"fact": (1, 0, 1), "example": (1, 1, 3)}
    assert counts(versions, name, "後", "前") == {"fact": (1, 0, 1), "example": (3, 1, 1)}
    assert versions.compare(name, old.name) == versions.compare(name, "前", "後")
    (changed,) = versions.compare(name, "前", kind="changed").differences
    assert (changed.id, changed.before["answer"], changed.after["answer"]) == (examples[1].id, "回答0", "直した回答")
    added = versions.compare(name, "前", kind="added").differences
    assert [(one.entity, one.id, one.before) for one in added] == [("example", new_fact.id, {})]


def test_differences_come_fifty_at_a_time(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets, facts=0)
    versions.freeze(name, "空")
    seed = datasets.add_fact(name, "q", "a")
    fields = {"fact_id": seed.fact_id, "kind": "paraphrase", "answer_style": "short", "generator": "rules"}
    datasets.add_examples(name, [MadeExample(**fields, question=f"q{at}", answer="a") for at in range(60)])
    pages = [versions.compare(name, "空", number=number) for number in (1, 2, 9)]
    shown = [(len(page.differences), page.total, page.number, page.pages) for page in pages]
    assert shown == [(50, 61, 1, 2), (11, 61, 2, 2), (11, 61, 2, 2)]


def test_going_back_is_one_edit_of_its_author_and_undone_as_one(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets, facts=3)
    versions.freeze(name, "v1")
    datasets.delete_examples(name, [datasets.page(name).examples[0].id])
    datasets.add_fact(name, "新しい質問", "新しい回答")
    before = content(datasets, name)
    assert versions.go_back(name, "v1", author="佐藤") == 6
    assert counts(versions, name, "v1") == SAME
    assert datasets.page(name).total == 9
    with pytest.raises(DatasetError):
        datasets.undo(name, "鈴木")
    assert datasets.undo(name, "佐藤").text("ja") == "バージョン「v1」へ戻した操作を取り消しました。"
    assert content(datasets, name) == before


def test_going_back_to_what_is_there_is_no_step_to_undo(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets)
    versions.freeze(name, "v1")
    assert versions.go_back(name, "v1", author="佐藤") == 0
    with pytest.raises(DatasetError, match="no change to undo"):
        datasets.undo(name, "佐藤")


def test_what_comes_back_is_found_by_searching(datasets: Datasets, versions: Versions) -> None:
    name = fresh(datasets)
    versions.freeze(name, "v1")
    for example in datasets.page(name).examples:
        if example.kind != "seed":
            datasets.edit_example(name, example.id, question=f"まったく違う文{example.id}")
    versions.go_back(name, "v1")
    assert datasets.page(name, filter=Filter(search="言い換え")).total == 2
    assert datasets.page(name, filter=Filter(search="まったく")).total == 0


def test_seeds_that_changed_places_change_back(datasets: Datasets, versions: Versions, store: Store) -> None:
    name = fresh(datasets)
    versions.freeze(name, "v1")
    seeds = [example for example in datasets.page(name).examples if example.kind == "seed"]
    phrasing = next(e for e in datasets.page(name).examples if (e.fact_id, e.kind) == (seeds[0].fact_id, "paraphrase"))
    with store.write() as db:
        db.execute("UPDATE example SET kind = 'paraphrase' WHERE id IN (?, ?)", (seeds[0].id, seeds[1].id))
        db.execute("UPDATE example SET kind = 'seed' WHERE id = ?", (phrasing.id,))
        db.execute("UPDATE example SET kind = 'seed', fact_id = ? WHERE id = ?", (seeds[1].fact_id, seeds[0].id))
    before = content(datasets, name)
    assert versions.go_back(name, "v1") == 3
    assert counts(versions, name, "v1") == SAME
    datasets.undo(name)
    assert content(datasets, name) == before


def test_a_run_trains_a_version_and_freezes_one_only_where_none_equals_the_dataset(
    datasets: Datasets, versions: Versions
) -> None:
    name = fresh(datasets)
    reference, examples = versions.frozen_examples(name, config(name))
    (first,) = versions.all(name)
    assert reference == first.reference == f"v1@{first.sha256[:12]}"
    assert examples == datasets.frozen_examples(name, config(name))
    assert versions.frozen_examples(name, config(name)) == (reference, examples)
    datasets.add_fact(name, "新しい質問", "新しい回答")
    assert versions.frozen_examples(name, config(name))[0].startswith("v2@")
    for wanted in ("v1", reference):  # a run can be repeated on what it trained
        assert versions.frozen_examples(name, config(name, dataset_version=wanted)) == (reference, examples)
    with pytest.raises(DatasetError, match="v1@000000000000"):
        versions.frozen_examples(name, config(name, dataset_version="v1@000000000000"))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_version_divides_as_its_dataset_did(datasets: Datasets, versions: Versions, share: float) -> None:
    name = fresh(datasets, facts=9)
    datasets.set_status(name, [datasets.page(name).examples[0].id, datasets.page(name).examples[4].id], "rejected")
    chosen = config(name, heldout_fact_share=share, heldout_phrasings=2, seed=3)
    assert versions.frozen_examples(name, chosen)[1] == datasets.frozen_examples(name, chosen)


def test_a_deleted_dataset_takes_its_versions_along(datasets: Datasets, versions: Versions) -> None:
    kept, name = fresh(datasets), fresh(datasets)
    versions.freeze(kept, "v1")
    images = datasets.store.read().execute("SELECT count(*) FROM image").fetchone()
    versions.freeze(name, "v1")
    versions.set_splits(name, Splits(seed=7))
    datasets.delete(name)
    assert datasets.store.read().execute("SELECT count(*) FROM image").fetchone() == images
    datasets.create(name)
    assert versions.all(name) == []
    assert versions.splits(name) == Splits()


actions = st.lists(
    st.tuples(
        st.sampled_from(["add", "edit", "delete", "augment", "merge", "split", "status", "fact", "tag", "undo"]),
        st.integers(0, 9),
        st.text("あいAｱ", min_size=1, max_size=4),
    ),
    max_size=10,
)


def act(datasets: Datasets, name: str, step: tuple[str, int, str]) -> None:
    """One change of a dataset; the number in `step` chooses the example."""
    action, pick, text = step
    examples = datasets.page(name, size=100).examples
    chosen = examples[pick % len(examples)] if examples else None
    if action == "add":
        datasets.add_fact(name, text, text)
    elif action == "undo":
        datasets.undo(name)
    elif chosen is not None:
        ids = [example.id for example in examples[pick % len(examples) :: 2]]
        facts = [example.fact_id for example in examples if example.kind == "seed"]
        fields = {"fact_id": chosen.fact_id, "kind": "reverse", "answer_style": "short", "generator": "rules"}
        {
            "edit": lambda: datasets.edit_example(name, chosen.id, question=text),
            "delete": lambda: datasets.delete_examples(name, ids),
            "augment": lambda: datasets.add_examples(name, [MadeExample(**fields, question=text, answer=text)]),
            "merge": lambda: datasets.merge_facts(name, [chosen.fact_id, *facts[:1]]),
            "split": lambda: datasets.split_fact(name, chosen.fact_id, [chosen.id]),
            "status": lambda: datasets.set_status(name, ids, "rejected"),
            "fact": lambda: datasets.edit_fact(name, chosen.fact_id, subject=text, tags=[text]),
            "tag": lambda: datasets.add_tag(name, ids, text),
        }[action]()


@settings(max_examples=40, deadline=None)
@given(actions, actions)
def test_whatever_was_done_going_back_gives_the_version_and_undo_the_present(
    datasets: Datasets, versions: Versions, earlier: list[tuple[str, int, str]], later: list[tuple[str, int, str]]
) -> None:
    name = fresh(datasets)
    for step in earlier:
        with suppress(DatasetError):
            act(datasets, name, step)
    frozen = versions.freeze(name)
    held = versions.frozen_examples(name, config(name))
    for step in later:
        with suppress(DatasetError):
            act(datasets, name, step)
    before = content(datasets, name)
    changed = versions.go_back(name, frozen.name, author="戻す人")
    assert counts(versions, name, frozen.name) == SAME
    assert versions.freeze(name).sha256 == frozen.sha256
    assert versions.frozen_examples(name, config(name))[1] == held[1] == datasets.frozen_examples(name, config(name))
    if changed:
        datasets.undo(name, "戻す人")
    assert content(datasets, name) == before
