"""What a run trains, put together from its frozen files: examples, articles and replay, encoded, packed and ordered.

It must not know the model, nor how it is trained.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

from training import packing
from training.contract import RunConfig, RunFolder, TrainingDocument, TrainingExample
from training.data import IGNORED, encode_examples
from training.documents import cut
from training.errors import RunError
from training.packing import Collator, Layout, Piece
from training.sampling import SpreadBatches, Turns, useful_share

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

# Held-out phrasings that an evaluation reads: enough for a curve, and cheap beside an epoch.
EVALUATED_EXAMPLES = 128


@dataclass(frozen=True)
class TrainingData:
    """What is trained in one epoch, and what was counted on the way.

    `train` has one sequence a row (input_ids, labels, and seq_lengths of the pieces it holds); `subjects` are what each
    is about, as numbers. `packs_examples` says whether a sequence may hold several examples. Replayed examples of which
    there are more than an epoch has room for take turns.
    """

    train: Dataset
    evaluation: Dataset | None
    subjects: list[frozenset[int]]
    seed: int
    turns: Turns
    packs_examples: bool
    facts: int
    examples: int
    documents: int
    blocks: int
    replayed: int
    trained_tokens: int
    truncated: int
    untrained: int
    useful_token_share: float

    @property
    def sequences(self) -> int:
        """How many of an epoch."""
        return len(self.train) - self.turns.waiting + self.turns.seen

    def sampler(self, batch_size: int) -> SpreadBatches:
        """The order of the sequences; `batch_size` is what one optimizer step sees, over all processes."""
        return SpreadBatches(_lengths(self.train), self.subjects, batch_size, seed=self.seed, turns=self.turns)

    def collator(self, model: Any, tokenizer: "PreTrainedTokenizerBase") -> Collator:
        """What makes batches of the sequences as this model, ready to be trained, needs them.

        Raises RunError where examples are packed and the model would see one in another: it would copy, not learn.
        """
        layout: Layout = packing.layout_of(model) if self.packs_examples else "joined"
        if self.packs_examples and layout == "joined":
            raise RunError("worker.error_packing", base_model=tokenizer.name_or_path)
        return Collator(tokenizer.pad_token_id or 0, layout)


@dataclass(frozen=True)
class _Material:
    """What the frozen files hold of what is trained."""

    examples: list[TrainingExample]
    heldout: list[TrainingExample]
    documents: list[TrainingDocument]
    replayed_examples: list[TrainingExample]
    replayed_documents: list[TrainingDocument]


@dataclass(frozen=True)
class _Pieces:
    """Examples as pieces of text, and what had to be cut."""

    pieces: list[Piece]
    truncated: int = 0
    untrained: int = 0


def load(folder: RunFolder, config: RunConfig, tokenizer: "PreTrainedTokenizerBase") -> TrainingData:
    """Encode what the run's files hold.

    Examples are sequences of their own, or share one where the configuration packs; articles always fill sequences.
    No two examples of one fact, nor two parts of one article, share a sequence. Raises RunError where nothing is left.
    """
    material = _read(folder, config)
    numbers = {number: place for place, number in enumerate(dict.fromkeys(e.fact_id for e in material.examples))}
    encoded = _encode(tokenizer, config, material.examples, [numbers[e.fact_id] for e in material.examples])
    # Each replayed example is a subject of its own: its ids are those of another dataset.
    replay = _encode(tokenizer, config, material.replayed_examples, _count_from(numbers, material.replayed_examples))
    first = len(numbers) + len(material.replayed_examples)
    articles = [*material.documents, *material.replayed_documents]
    blocks = list(cut(tokenizer, articles, config.max_length, first))
    short = [*encoded.pieces, *replay.pieces]
    if material.examples and not encoded.pieces:
        raise RunError("worker.error_all_truncated", examples=len(material.examples), max_length=config.max_length)
    together = [*blocks, *short] if config.packing else blocks
    rows = packing.pack(together, config.max_length, config.seed)
    rows += [] if config.packing else [[piece] for piece in short]
    # A base that was never taught to chat can be pre-trained, and is not asked.
    heldout = material.heldout if tokenizer.chat_template or config.method != "cpt" else []
    held = _encode(tokenizer, config, heldout, range(len(heldout)))
    train, subjects = _dataset(rows), [frozenset(piece.subject for piece in row) for row in rows]
    turns = _turns(material, len(replay.pieces), config)
    unseen = turns.waiting - turns.seen
    tokens = [sum(int((piece.labels != IGNORED).sum()) for piece in row) for row in rows]
    of_unseen = sum(tokens[len(tokens) - turns.waiting :]) * unseen / max(1, turns.waiting)
    return TrainingData(
        train=train,
        evaluation=_dataset([[piece] for piece in held.pieces]) if held.pieces else None,
        subjects=subjects,
        seed=config.seed,
        turns=turns,
        packs_examples=config.packing and bool(short),
        facts=len(numbers),
        examples=len(material.examples),
        documents=len(material.documents),
        blocks=sum(len(row) > 1 or row[0].subject >= first for row in rows),
        replayed=len(replay.pieces) - unseen + len(material.replayed_documents),
        trained_tokens=sum(tokens) - round(of_unseen),
        truncated=encoded.truncated + replay.truncated,
        untrained=encoded.untrained + replay.untrained,
        useful_token_share=_useful(_lengths(train), subjects, config, turns),
    )


def require_texts(folder: RunFolder, config: RunConfig) -> None:
    """Raise RunError where the run's files hold nothing to train, before a base is loaded for them."""
    _read(folder, config)


def _read(folder: RunFolder, config: RunConfig) -> _Material:
    examples = folder.read_examples()
    trained = [example for example in examples if example.split == "train"] if config.method != "cpt" else []
    if config.method != "cpt" and not trained:
        raise RunError("worker.error_no_examples", examples=len(examples))
    documents = folder.read_documents() if config.method != "sft" else []
    if config.method != "sft" and not documents:
        raise RunError("worker.error_no_documents", dataset=config.dataset)
    replayed = folder.read_replay() if config.replay_share else []
    if config.replay_share and not replayed:
        raise RunError("worker.error_no_replay", share=f"{config.replay_share:.0%}", dataset=config.replay_dataset)
    return _Material(
        trained,
        [example for example in examples if example.split == "heldout_phrasing"][:EVALUATED_EXAMPLES],
        documents,
        [one for one in replayed if isinstance(one, TrainingExample)],
        [one for one in replayed if isinstance(one, TrainingDocument)],
    )


def _encode(
    tokenizer: "PreTrainedTokenizerBase",
    config: RunConfig,
    examples: Sequence[TrainingExample],
    subjects: Sequence[int],
) -> _Pieces:
    if not examples:
        return _Pieces([])
    encoded = encode_examples(tokenizer, examples, config.max_length, assistant_only_loss=config.assistant_only_loss)
    pieces = [
        Piece.of(row.input_ids, row.labels, subjects[place])
        for place, row in zip(encoded.places, encoded.rows, strict=True)
    ]
    return _Pieces(pieces, encoded.truncated, encoded.untrained)


def _count_from(taken: dict[int, int], examples: Sequence[TrainingExample]) -> range:
    return range(len(taken), len(taken) + len(examples))


def _dataset(rows: Sequence[Sequence[Piece]]) -> Dataset:
    """One row a sequence. Arrow is filled from arrays: a list of numbers for each article would take gigabytes."""
    columns = {
        "input_ids": [[piece.input_ids for piece in row] for row in rows],
        "labels": [[piece.labels for piece in row] for row in rows],
        "seq_lengths": [[np.array([len(piece.input_ids) for piece in row], dtype=np.int32)] for row in rows],
    }
    return Dataset(InMemoryTable(pa.table({name: _lists(parts) for name, parts in columns.items()})))


def _lists(rows: Sequence[Sequence[np.ndarray]]) -> pa.ListArray:
    lengths = [sum(len(part) for part in row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.concatenate([part for row in rows for part in row])
    return pa.ListArray.from_arrays(offsets, values)


def _lengths(dataset: Dataset) -> list[int]:
    return [sum(lengths) for lengths in dataset["seq_lengths"]]


def _turns(material: _Material, replayed: int, config: RunConfig) -> Turns:
    """Whether replayed examples take turns: those that share sequences with others cannot."""
    number = len(material.examples) + len(material.documents)
    share = config.replay_share
    seen = max(1, round(number * share / (1 - share)))
    joined = config.packing or bool(material.replayed_documents)
    return Turns(0, 0) if joined or replayed <= seen else Turns(replayed, seen)


def _useful(lengths: list[int], subjects: list[frozenset[int]], config: RunConfig, turns: Turns) -> float:
    """Share of useful tokens of the first epoch, as its batches are padded."""
    size = config.per_device_train_batch_size
    step = size * config.gradient_accumulation_steps * config.num_processes
    order = list(SpreadBatches(lengths, subjects, step, seed=config.seed, turns=turns))
    return useful_share(lengths, order, size)
