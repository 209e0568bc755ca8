"""Cuts articles into pieces that a model can read at once; it must not know what is trained besides them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.contract import TrainingDocument
from training.data import IGNORED, plain_ids
from training.errors import RunError
from training.packing import Piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How pre-training ended a text, in models whose chat ends its turns otherwise (gpt-oss, Qwen; Llama 3).
SEPARATORS = ("<|endoftext|>", "<|end_of_text|>")
# Articles that are tokenized together.
BATCH = 256
# At most this part of a piece repeats the title.
TITLE_PART = 8


@dataclass(frozen=True)
class Marks:
    """What a model's own pre-training wrote around a text."""

    begin: tuple[int, ...]
    end: int


def marks_of(tokenizer: "PreTrainedTokenizerBase") -> Marks:
    """The token that separates texts, which is the tokenizer's end of a turn where it has no other.

    In front of a text stands what the tokenizer itself writes there. Raises RunError where no token ends a text.
    """
    known = {token.content: number for number, token in tokenizer.added_tokens_decoder.items()}
    end = next((known[token] for token in SEPARATORS if token in known), tokenizer.eos_token_id)
    if end is None:
        raise RunError("worker.error_no_separator", base_model=tokenizer.name_or_path)
    begin = tokenizer("")["input_ids"][:1]
    return Marks(tuple(number for number in begin if number == tokenizer.bos_token_id), end)


def cut(
    tokenizer: "PreTrainedTokenizerBase", documents: Sequence[TrainingDocument], max_length: int, first_subject: int
) -> Iterator[Piece]:
    """Each article in pieces of at most `max_length` tokens, its separator at the end; subjects count up.

    Nothing is left out, and every token carries loss once. A piece that goes on with an article begins with its title
    again, without loss: Japanese seldom repeats what a text is about.
    """
    marks = marks_of(tokenizer)
    for start in range(0, len(documents), BATCH):
        batch = documents[start : start + BATCH]
        headings = [f"# {document.title}\n\n" for document in batch]
        texts = [_titled(document, heading) for document, heading in zip(batch, headings, strict=True)]
        encoded = zip(plain_ids(tokenizer, texts), plain_ids(tokenizer, headings), strict=True)
        for number, (ids, heading_ids) in enumerate(encoded, start=first_subject + start):
            again = [*marks.begin, *heading_ids[: max_length // TITLE_PART]]
            for before, part in _parts([*ids, marks.end], list(marks.begin), again, max_length):
                yield Piece.of(before + part, [IGNORED] * len(before) + part, number)


def _titled(document: TrainingDocument, heading: str) -> str:
    opening = re.match(r"[#\s]*", document.text)
    begins = opening is not None and document.text.startswith(document.title, opening.end())
    return document.text if begins or not document.title else heading + document.text


def _parts(
    ids: list[int], begin: list[int], again: list[int], max_length: int
) -> Iterator[tuple[list[int], list[int]]]:
    """What stands in front of each part, and the part."""
    before = begin
    while ids:
        room = max_length - len(before)
        yield before, ids[:room]
        ids = ids[room:]
        before = again
