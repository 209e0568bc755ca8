"""Shows encoded sequences to people as the model sees them, and checks what of them is trained.

It must not know how a sequence was encoded.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tokenizers.decoders import DecodeStream

from training.data import IGNORED, Encoded
from training.preflight_report import Piece, Rendered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_TOKENS = 400
_ANSWER_HEADER = re.compile(r"<\|channel\|>\s*final\s*<\|message\|>")
_ANALYSIS_HEADER = re.compile(r"<\|channel\|>\s*analysis\s*<\|message\|>")


def render(tokenizer: "PreTrainedTokenizerBase", input_ids: Sequence[int], labels: Sequence[int]) -> Rendered:
    """The sequence in pieces of whole characters; a character counts as trained where any of its tokens is."""
    return Rendered(
        pieces=tuple(_pieces(tokenizer, input_ids[:MOST_TOKENS], labels)),
        tokens=len(input_ids),
        trained_tokens=sum(label != IGNORED for label in labels),
        left_out=max(0, len(input_ids) - MOST_TOKENS),
    )


def lint(tokenizer: "PreTrainedTokenizerBase", encoded: Encoded) -> set[str]:
    """Rules of the format that the trained part of a conversation breaks; empty where all is well."""
    broken: set[str] = set()
    trained = [number for number, label in zip(encoded.input_ids, encoded.labels, strict=True) if label != IGNORED]
    text = str(tokenizer.decode(trained, skip_special_tokens=False))
    has_channels = "<|channel|>" in str(tokenizer.chat_template or "")
    if encoded.truncated or not trained:
        return broken  # told by their numbers
    if has_channels and not _ANSWER_HEADER.search(text):
        broken.add("no_channel_header")
    if _ANALYSIS_HEADER.search(text):
        broken.add("trains_analysis")
    if trained[-1] not in special_ids(tokenizer):
        broken.add("no_end_token")
    return broken


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Ids of the tokens that no text of a person is encoded to."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def _pieces(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], labels: Sequence[int]) -> Iterator[Piece]:
    special = special_ids(tokenizer)
    # Holds bytes back until they are a character; special tokens go through it too, so that spaces stay right.
    stream = DecodeStream(skip_special_tokens=False)
    text, trained, waiting_trained = "", False, False
    for number, label in zip(ids, labels, strict=False):
        waiting_trained |= label != IGNORED
        fresh = stream.step(tokenizer.backend_tokenizer, number) or ""
        is_special = number in special
        if text and (is_special or (fresh and waiting_trained != trained)):
            yield Piece(text=text, trained=trained)
            text = ""
        if is_special:
            token = str(tokenizer.convert_ids_to_tokens(number))
            yield Piece(text=token, trained=label != IGNORED, special=True)
        elif fresh:
            text, trained = text + fresh, waiting_trained
        if fresh or is_special:
            waiting_trained = False
    if text:
        yield Piece(text=text, trained=trained)
