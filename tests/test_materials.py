"""What a run trains is gathered whole, drawn by the seed, and never what it is asked."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from studio.datasets import Datasets
from studio.datasets.documents import Documents
from studio.datasets.versions import Versions
from studio.errors import RunFailed
from studio.runs.freeze import freeze
from studio.runs.materials import Materials, fewer_variants, gather
from studio.store import open_store
from tests.test_documents import ended
from training.contract import RunConfig, RunFolder, TrainingDocument, TrainingExample

GENERAL = [{"question": f"国{number}の首都はどこですか？", "answer": f"首都{number}です。"} for number in range(20)]
FACTS = [{"question": f"作品{number}の主人公は誰ですか？", "answer": f"人物{number}です。"} for number in range(12)]


def config(**changes: object) -> RunConfig:
    usual = {"dataset": "anime", "base_model": "someone/model", "probe_questions": 4, "num_train_epochs": 1}
    return RunConfig(**(usual | changes))


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materials]:
    folder = tmp_path_factory.mktemp("studio")
    store = open_store(folder / "studio.db")
    datasets, documents = Datasets(store), Documents(store)
    for name, pairs in (("anime", FACTS), ("general", GENERAL)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), "utf-8")
        datasets.import_file(name, path)
    for name in ("anime", "library"):
        articles = folder / name
        articles.mkdir()
        for number in range(6):
            text = f"# {name}{number}\n\n作品{number}は{name}の物語である。" + "長い話。" * number
            (articles / f"{number}.md").write_text(text, "utf-8")
        documents.start_import(name, articles)
        assert ended(documents, name).state == "finished"
    datasets.create("empty")
    yield Materials(datasets, Versions(store), documents)
    store.close()


def example(number: int, fact: int, kind: str) -> TrainingExample:
    return TrainingExample(
        id=number, fact_id=fact, split="train", kind=kind, answer_style="short", question=f"{number}", answer="a"
    )


def many() -> list[TrainingExample]:
    """Ten facts of a seed, 15 paraphrases and 8 reversed questions."""
    kinds = ["seed", *["paraphrase"] * 15, *["reverse"] * 8]
    return [example(fact * 100 + place, fact, kind) for fact in range(10) for place, kind in enumerate(kinds)]


def test_articles_and_replay_are_frozen_beside_the_examples(materials, tmp_path) -> None:
    chosen = config(method="mixed", replay_dataset="general", replay_share=0.4)
    folder = RunFolder(freeze(tmp_path / "runs", gather(materials, chosen)))
    assert folder.root.name == "custom-1"
    assert len(folder.read_examples()) == 12 and len(folder.read_documents()) == 6
    replay = folder.read_replay()
    assert len(replay) == round((12 + 6) * 0.4 / 0.6)
    assert {line.question for line in replay} <= {pair["question"] for pair in GENERAL}
    assert folder.read_config().dataset_version.startswith("v1@")
    assert not (tmp_path / "runs" / ".new").exists()


def test_a_run_without_articles_and_replay_has_no_such_files(materials, tmp_path) -> None:
    folder = RunFolder(freeze(tmp_path, gather(materials, config())))
    assert folder.read_documents() == folder.read_replay() == []
    assert not folder.documents.exists() and not folder.replay.exists()


def test_what_a_probe_asks_of_general_knowledge_is_not_replayed(materials, tmp_path) -> None:
    frozen = gather(materials, config(replay_dataset="general", replay_share=0.9))
    replayed = Counter(line.question for line in frozen.replay)
    assert sum(replayed.values()) == 12 * 9 and max(replayed.values()) - min(replayed.values()) <= 1
    asked = {one.question for one in frozen.probe_questions if one.question_set == "out_of_domain"}
    assert len(asked) == 4 and asked.isdisjoint(replayed)


@pytest.mark.parametrize(("method", "name", "kinds"), [
    ("sft", "general", {TrainingExample}),
    ("cpt", "general", {TrainingExample}),
    ("cpt", "library", {TrainingDocument}),
    ("mixed", "library", {TrainingDocument}),
    ("sft", "assets/demo/general.jsonl", {TrainingExample}),
])  # fmt: skip
def test_replay_is_what_the_method_can_read(materials, method, name, kinds) -> None:
    frozen = gather(materials, config(method=method, replay_dataset=name, replay_share=0.5))
    lines = list(frozen.replay)
    assert {type(line) for line in lines} == kinds
    assert len(lines) == {"sft": 12, "cpt": 6, "mixed": 18}[method]


@pytest.mark.parametrize(("changes", "lines"), [
    ({"num_train_epochs": 2, "replay_share": 0.25}, 2 * 4),
    ({"num_train_epochs": 2, "replay_share": 0.25, "packing": True}, 4),  # packed once: no epoch can have others
    ({"max_steps": 5, "replay_share": 0.25, "per_device_train_batch_size": 8}, 3 * 4),
    ({"num_train_epochs": 50, "replay_share": 0.25}, 20 - 4),
    ({"num_train_epochs": 50, "replay_share": 0.25, "method": "mixed", "replay_dataset": "library"}, 6),
])  # fmt: skip
def test_each_epoch_replays_others_as_far_as_there_are_any(materials, changes, lines) -> None:
    frozen = gather(materials, config(**({"replay_dataset": "general", "gradient_accumulation_steps": 1} | changes)))
    assert len(list(frozen.replay)) == lines


def test_the_same_seed_draws_the_same_replay(materials) -> None:
    def drawn(seed: int) -> list[str]:
        return [
            line.question
            for line in gather(materials, config(replay_dataset="general", replay_share=0.3, seed=seed)).replay
        ]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "empty"}, "Dataset empty has no accepted examples"),
        ({"dataset": "general", "method": "cpt"}, "Dataset general holds no article"),
        ({"replay_share": 0.2}, "20% of what is trained"),
        ({"replay_share": 0.2, "replay_dataset": "anime"}, "cannot be replayed in its own training"),
        ({"replay_share": 0.2, "replay_dataset": "gone"}, "Dataset gone, which shall be replayed, is not there"),
        ({"replay_share": 0.2, "replay_dataset": "../general.jsonl"}, "is not there"),
        ({"replay_share": 0.2, "replay_dataset": "assets/demo/model/config.json"}, "is not there"),
        ({"replay_share": 0.2, "replay_dataset": "library"}, "holds nothing that this method can replay"),
    ],
)
def test_nothing_to_train_or_to_replay_is_said_in_a_sentence(materials, changes, said) -> None:
    with pytest.raises(RunFailed, match=said):
        gather(materials, config(**changes))


def test_fewer_variants_keep_the_seed_and_both_directions_of_every_fact() -> None:
    for most in (2, 6, 12):
        kept = fewer_variants(many(), config(variants_per_fact=most))
        for fact in range(10):
            kinds = Counter(one.kind for one in kept if one.fact_id == fact)
            assert kinds.total() == most and kinds["seed"] == 1
            assert kinds["reverse"] == round(most / 3)


def test_more_variants_are_the_same_ones_and_more() -> None:
    drawn = {most: {one.id for one in fewer_variants(many(), config(variants_per_fact=most))} for most in (1, 4, 9, 30)}
    assert drawn[1] < drawn[4] < drawn[9] < drawn[30] == {one.id for one in many()}
    assert {one.id for one in fewer_variants(many(), config(variants_per_fact=4, seed=7))} != drawn[4]


def test_held_out_examples_are_no_variants() -> None:
    held = [one.model_copy(update={"split": "heldout_phrasing", "id": 10_000 + one.id}) for one in many()]
    kept = fewer_variants([*many(), *held], config(variants_per_fact=1))
    assert Counter(one.split for one in kept) == {"train": 10, "heldout_phrasing": len(held)}
