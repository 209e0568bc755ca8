"""Puts several pieces of text into one sequence, and finds out whether a model keeps them apart.

It must not know what the pieces say.
"""

import logging
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from training.data import IGNORED
from training.sampling import spread

log = logging.getLogger(__name__)

# Pieces that are fitted into sequences together, longest first: more fill the sequences better, but sort out lengths.
WINDOW = 4096
# Sequences with room that are looked at for one without the piece's subject.
TRIES = 64

# How packed sequences reach a model. rows: a batch of sequences whose positions begin anew with every piece, which
# transformers turns into a mask. flat: all pieces of the batch in one sequence with their lengths, as unsloth's kernels
# want them. joined: one text that sees all that stands before, which suits articles with a separator between them.
Layout = Literal["rows", "flat", "joined"]


@dataclass(frozen=True)
class Piece:
    """A text of its own: `labels` are the ids that carry loss, -100 elsewhere; pieces of one `subject` stay apart."""

    input_ids: np.ndarray
    labels: np.ndarray
    subject: int

    @classmethod
    def of(cls, input_ids: Sequence[int], labels: Sequence[int], subject: int) -> "Piece":
        """A piece whose first token carries no loss: nothing stands before it to be its prompt."""
        masked = np.array(labels, dtype=np.int32)
        masked[:1] = IGNORED
        return cls(np.array(input_ids, dtype=np.int32), masked, subject)


def pack(pieces: Sequence[Piece], length: int, seed: int) -> list[list[Piece]]:
    """The pieces in sequences of at most `length` tokens, filled as far as they go (best fit, longest first)."""
    order = spread([frozenset([piece.subject]) for piece in pieces], np.random.default_rng(seed))
    rows: list[list[Piece]] = []
    room: list[tuple[int, int]] = []  # tokens that are free, and the sequence's number, fullest first
    for start in range(0, len(order), WINDOW):
        for index in sorted(order[start : start + WINDOW], key=lambda index: -len(pieces[index].input_ids)):
            piece = pieces[index]
            free, number = _take_room(room, rows, piece) or (length, len(rows))
            if number == len(rows):
                rows.append([])
            rows[number].append(piece)
            if free > len(piece.input_ids):
                insort(room, (free - len(piece.input_ids), number))
    return rows


def _take_room(room: list[tuple[int, int]], rows: list[list[Piece]], piece: Piece) -> tuple[int, int] | None:
    first = bisect_left(room, (len(piece.input_ids), -1))
    for place in range(first, min(first + TRIES, len(room))):
        if all(other.subject != piece.subject for other in rows[room[place][1]]):
            return room.pop(place)
    return None


class Collator:
    """Makes a batch of tensors from sequences with `input_ids`, `labels` and `seq_lengths`."""

    def __init__(self, pad_token_id: int, layout: Layout = "rows") -> None:
        self._pad_token_id = pad_token_id
        self._layout = layout

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Input ids and labels, [batch, seq], with an attention mask or with position ids and lengths."""
        if self._layout == "flat":
            return self._flat(rows)
        batch = {
            "input_ids": _padded([row["input_ids"] for row in rows], self._pad_token_id),
            "labels": _padded([row["labels"] for row in rows], IGNORED),
        }
        if self._layout == "rows" and any(len(row["seq_lengths"]) > 1 for row in rows):
            # Without an attention mask: it would hide the borders. Padding is at position 0, a piece of its own.
            batch["position_ids"] = _padded([_positions(row["seq_lengths"]) for row in rows], 0)
        else:
            batch["attention_mask"] = _padded([[1] * len(row["input_ids"]) for row in rows], 0)
        return batch

    def _flat(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        lengths = [length for row in rows for length in row["seq_lengths"]]
        return {
            "input_ids": torch.tensor([[number for row in rows for number in row["input_ids"]]]),
            "labels": torch.tensor([[number for row in rows for number in row["labels"]]]),
            "position_ids": torch.tensor([_positions(lengths)]),
            "packed_seq_lengths": torch.tensor(lengths, dtype=torch.int32),
        }


def _positions(lengths: Sequence[int]) -> list[int]:
    return [position for length in lengths for position in range(length)]


def _padded(rows: Sequence[Sequence[int]], padding: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])


def layout_of(model: Any) -> Layout:
    """The layout in which this model, with the attention it really uses, keeps packed pieces apart; joined if none.

    It is measured: what stands in front of a piece must not change its loss.
    """
    for layout in ("rows", "flat"):
        if _keeps_apart(model, layout):
            return layout
    log.warning("this model sees packed texts as one")
    return "joined"


def _keeps_apart(model: Any, layout: Layout) -> bool:
    ids = np.linspace(1, model.config.get_text_config().vocab_size - 2, 24).astype(int).tolist()
    # In front of it once the same text, from which a model that sees it would copy, and once another one.
    losses = []
    for front in (ids, ids[::-1]):
        row = {"input_ids": front + ids, "labels": [IGNORED] * (len(ids) + 1) + ids[1:], "seq_lengths": [len(ids)] * 2}
        batch = {name: tensor.to(model.device) for name, tensor in Collator(0, layout)([row, row]).items()}
        try:
            with torch.no_grad(), _without_dropout(model):
                losses.append(float(model(**batch, use_cache=False).loss))
        except (TypeError, ValueError, RuntimeError) as error:
            log.info("layout %s: %s", layout, error)
            return False
    tolerance = 1e-5 if model.dtype is torch.float32 else 2e-2
    return abs(losses[0] - losses[1]) <= tolerance * losses[0]


@contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    """The model stays in the mode it trains in, which decides how some compute attention."""
    dropouts = [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.training]
    for module in dropouts:
        module.eval()
    try:
        yield
    finally:
        for module in dropouts:
            module.train()
