"""What a run trains in one epoch: which texts, in which sequences, in which order."""

from collections import Counter
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tests.worker.running import make_examples, make_run, write_examples
from tests.worker.test_data import metaspace
from tests.worker.tiny import make_tokenizer
from training import mixture, worker
from training.contract import Frozen, RunConfig, RunFolder, TrainingDocument, TrainingExample
from training.data import IGNORED
from training.documents import Marks, marks_of
from training.errors import RunError
from training.mixture import TrainingData

pytestmark = pytest.mark.usefixtures("signals_restored")

ARTICLES = [
    TrainingDocument(id=1, title="星の図書館", text="# 星の図書館\n\n" + "ミナトは図書館で本を読む。" * 20),
    TrainingDocument(id=2, title="青い塔", text="主人公はハルである。<|return|>と書いてある。"),
    TrainingDocument(id=3, title="短い話", text="短い話は短い。"),
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


def write_lines(path: Path, lines: list[Frozen]) -> None:
    path.write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")


def general_examples(number: int) -> list[TrainingExample]:
    """Replayed ones, whose ids are those of another dataset."""
    return [
        TrainingExample(
            id=place, fact_id=place, split="train", kind="seed", answer_style="short",
            question=f"首都{place}は？", answer="東京です。",
        )
        for place in range(number)
    ]  # fmt: skip


def config(**changes: object) -> RunConfig:
    return RunConfig(**({"dataset": "anime", "base_model": "base", "max_length": 96} | changes))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    write_examples(folder, make_examples())
    write_lines(folder.documents, ARTICLES)
    return folder


def texts_of(tokenizer: PreTrainedTokenizerFast, data: TrainingData) -> list[list[str]]:
    """The pieces of every sequence, as text."""
    found = []
    for row in data.train:
        ids = iter(row["input_ids"])
        found.append([tokenizer.decode([next(ids) for _ in range(length)]) for length in row["seq_lengths"]])
    return found


def trained_tokens(data: TrainingData) -> Counter[int]:
    return Counter(label for row in data.train for label in row["labels"] if label != IGNORED)


def test_examples_are_sequences_of_their_own_and_articles_are_not_looked_at(tokenizer, folder) -> None:
    data = mixture.load(folder, config(), tokenizer)
    assert (data.facts, data.examples, data.documents, data.blocks, data.replayed) == (6, 18, 0, 0, 0)
    assert len(data.train) == 18 and len(data.evaluation) == 6
    assert all(len(pieces) == 1 and pieces[0].endswith("<|return|>") for pieces in texts_of(tokenizer, data))
    assert Counter(data.subjects) == {frozenset([fact]): 3 for fact in range(6)}


def test_every_token_of_every_article_is_trained_once_and_ends_with_the_separator_of_texts(tokenizer, folder) -> None:
    data = mixture.load(folder, config(method="cpt"), tokenizer)
    assert (data.facts, data.examples, data.documents, data.truncated) == (0, 0, 3, 0)
    assert data.blocks == len(data.train) and all(sum(row["seq_lengths"]) <= 96 for row in data.train)
    separator = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    whole = Counter()
    for article, heading in zip(ARTICLES, ("", "# 青い塔\n\n", ""), strict=True):
        ids = [*tokenizer(heading + article.text, split_special_tokens=True)["input_ids"], separator]
        whole.update(ids[1:])  # nothing stands before the first one
    assert trained_tokens(data) == whole
    assert tokenizer.eos_token_id not in whole  # what a person typed is text, and a chat's end ends no article


def test_a_piece_that_goes_on_with_an_article_begins_with_its_title_without_loss(tokenizer, folder) -> None:
    data = mixture.load(folder, config(method="cpt", max_length=300), tokenizer)
    pieces = [piece for row in texts_of(tokenizer, data) for piece in row if "ミナト" in piece]
    assert len(pieces) > 1 and all(piece.startswith("# 星の図書館\n\n") for piece in pieces)
    title = tokenizer("# 星の図書館\n\n")["input_ids"]
    rows = [row for row in data.train if row["input_ids"][: len(title)] == title]
    assert any(row["labels"][: len(title)] == [IGNORED] * len(title) for row in rows)


def test_a_tokenizer_s_own_marks_stand_around_an_article() -> None:
    plain = make_tokenizer()
    assert marks_of(plain) == Marks((), plain.convert_tokens_to_ids("<|endoftext|>"))
    llama = metaspace()
    assert marks_of(llama) == Marks((), llama.eos_token_id)
    llama.eos_token = None
    with pytest.raises(RunError, match="no token that ends a text"):
        marks_of(llama)


@pytest.mark.parametrize("method", ["sft", "cpt", "mixed"])
@pytest.mark.parametrize("packing", [False, True])
def test_no_sequence_holds_two_examples_of_a_fact_or_two_parts_of_an_article(
    tokenizer, folder, method, packing
) -> None:
    data = mixture.load(folder, config(method=method, packing=packing), tokenizer)
    assert [len(about) for about in data.subjects] == [len(row["seq_lengths"]) for row in data.train]
    assert data.packs_examples is (packing and method != "cpt")
    assert (max(map(len, data.subjects)) > 1) is (packing or method != "sft")


def test_questions_are_mixed_into_articles_by_packing_all_of_them(tokenizer, folder) -> None:
    data = mixture.load(folder, config(method="mixed", packing=True, max_length=160), tokenizer)
    kinds = [{"<|start|>" in piece for piece in row} for row in texts_of(tokenizer, data)]
    assert {True, False} in kinds
    assert (data.examples, data.documents, data.facts) == (18, 3, 6)


def test_replay_is_trained_beside_facts_and_may_carry_their_numbers(tokenizer, folder) -> None:
    write_lines(folder.replay, [*general_examples(6), ARTICLES[2]])
    data = mixture.load(folder, config(replay_share=0.25), tokenizer)
    assert (data.replayed, data.examples, data.facts) == (7, 18, 6)
    assert len(set(data.subjects)) == 6 + 6 + 1
    assert data.blocks == 1


def test_replay_that_is_too_much_for_an_epoch_takes_turns_unless_it_is_packed(tokenizer, folder) -> None:
    write_lines(folder.replay, general_examples(20))
    data = mixture.load(folder, config(replay_share=0.25), tokenizer)
    assert (data.replayed, data.examples, data.sequences, len(data.train)) == (6, 18, 24, 38)
    sampler, seen = data.sampler(4), Counter()
    for number in range(3):
        sampler.set_epoch(number)
        seen.update(sampler)
    assert [seen[index] for index in range(18)] == [3] * 18
    assert sum(seen[index] for index in range(18, 38)) == 18 and max(seen[index] for index in range(18, 38)) == 1
    whole = mixture.load(folder, config(), tokenizer)
    assert whole.trained_tokens < data.trained_tokens < sum(trained_tokens(data).values())
    packed = mixture.load(folder, config(replay_share=0.25, packing=True), tokenizer)
    assert (packed.replayed, packed.sequences) == (20, len(packed.train))


def test_the_order_of_an_epoch_is_decided_by_seed_and_epoch_alone(tokenizer, folder) -> None:
    sampler = mixture.load(folder, config(), tokenizer).sampler(4)
    first, again = list(sampler), list(sampler)
    assert first == again and sorted(first) == list(range(18))
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(mixture.load(folder, config(seed=7), tokenizer).sampler(4)) != first


def test_articles_lie_tightly_even_where_they_are_short(tokenizer, folder) -> None:
    short = [TrainingDocument(id=n, title=f"話{n}", text="短い話である。" * (n % 7 + 1)) for n in range(200)]
    write_lines(folder.documents, short)
    data = mixture.load(folder, config(method="cpt", max_length=256), tokenizer)
    assert data.useful_token_share > 0.97
    assert sum(len(about) for about in data.subjects) >= 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "cpt"}, "no article"),
        ({"method": "mixed"}, "no article"),
        ({"replay_share": 0.25, "replay_dataset": "general"}, "25% of what is trained shall be replayed from general"),
        ({"max_length": 8}, "All 18 examples are cut before the first token of their answer: max_length is 8"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_sentence(tokenizer, folder, changes, said) -> None:
    folder.documents.unlink()
    with pytest.raises(RunError, match=said):
        mixture.load(folder, config(**changes), tokenizer)


def test_no_examples_left_is_said_even_where_articles_are(tokenizer, folder) -> None:
    write_examples(folder, [example for example in make_examples() if example.split != "train"])
    with pytest.raises(RunError, match="no example of the split train"):
        mixture.load(folder, config(method="mixed"), tokenizer)
    assert mixture.load(folder, config(method="cpt"), tokenizer).evaluation is not None


def test_a_step_of_packed_examples_has_the_loss_of_the_same_examples_apart(tiny_model, tmp_path) -> None:
    losses = []
    for packing in (False, True):
        run = make_run(
            tmp_path / str(packing), tiny_model, packing=packing, max_steps=1, per_device_train_batch_size=32,
            max_length=160, probe_questions=0,
        )  # fmt: skip
        assert worker.main([str(run.root)]) == 0
        status = run.read_status()
        assert (status.examples, status.blocks > 0) == (18, packing)
        losses.append(run.read_metrics()[0][0].loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_articles_questions_and_replay_are_trained_together(tiny_model, folder) -> None:
    run = make_run(
        folder.root, tiny_model, method="mixed", replay_share=0.1, max_steps=2, max_length=128, probe_questions=0
    )
    write_lines(run.replay, [ARTICLES[2]])
    assert worker.main([str(run.root)]) == 0
    status = run.read_status()
    assert (status.examples, status.documents, status.replayed, status.facts) == (18, 3, 1, 6)
    assert status.blocks and 0.5 < status.useful_token_share <= 1


def test_a_broken_file_of_articles_is_named_before_a_base_is_loaded(tmp_path) -> None:
    run = make_run(tmp_path, "/no/such/model", method="cpt")
    run.documents.write_text('{"id": 1', encoding="utf-8")
    assert worker.main([str(run.root)]) == 1
    assert "documents.jsonl" in run.read_status().reason
    run.documents.unlink()
    assert worker.main([str(run.root)]) == 1
    assert run.read_status().reason_code == "worker.error_no_documents"
