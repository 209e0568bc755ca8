"""What splitting a reply needs to know of a tokenizer: special tokens by id, and ids back into text.

Standard library only; it must not know what the markers mean.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from training.reasoning_parts import HARMONY_MARKERS, THINK_MARKERS

_SPECIAL_NAME = re.compile(r"<\|[^|]*\|>|</?(?:s|think|pad|eos|bos|unk)>|\[(?:PAD|BOS|EOS|UNK)\]")


class AddedToken(Protocol):
    """A token that was added to a tokenizer's own, special or not."""

    content: str
    special: bool


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is read here."""

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """Added tokens by id."""

    def get_vocab(self) -> dict[str, int]:
        """Every token's id."""

    def decode(self, token_ids: list[int]) -> str:
        """The text of ids."""


@dataclass(frozen=True)
class Vocabulary:
    """What splitting needs to know of a tokenizer: `special` gives special tokens' ids by name, `decode` the text.

    Ids in `special` never become text of a reply; every other id does, so that markers typed as text stay text.
    """

    special: Mapping[str, int]
    decode: Callable[[Sequence[int]], str]

    @classmethod
    def of(cls, source: "Vocabulary | Tokenizer | Mapping[str, int]") -> "Vocabulary":
        """The vocabulary of a tokenizer, or of what its `get_vocab()` returned."""
        if isinstance(source, Vocabulary):
            return source
        if isinstance(source, Mapping):
            special = {name: number for name, number in source.items() if _SPECIAL_NAME.fullmatch(name)}
            return cls(special, _decoder_of(source))
        tokenizer, vocabulary = source, source.get_vocab()
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        names = {*added, *HARMONY_MARKERS, *THINK_MARKERS}
        special = {name: vocabulary[name] for name in names if name in vocabulary}
        return cls(special, lambda ids: tokenizer.decode(list(ids)))


def _decoder_of(ids: Mapping[str, int]) -> Callable[[Sequence[int]], str]:
    """A decoder for tokens as a vocabulary file spells them: byte-level BPE, `<0x0A>` bytes and `▁`, or as they are."""
    tokens = {number: token for token, number in ids.items()}
    byte_of = _byte_alphabet()
    byte_level = all(char in byte_of for token in ids if not _SPECIAL_NAME.fullmatch(token) for char in token)

    def spell(token: str) -> bytes:
        if byte_level:
            return bytes(byte_of[char] for char in token if char in byte_of)
        if match := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token):
            return bytes.fromhex(match[1])
        return token.replace("▁", " ").encode()

    return lambda numbers: b"".join(spell(tokens[number]) for number in numbers).decode(errors="replace")


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE (GPT-2's `bytes_to_unicode`) writes for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


class Incremental:
    """Decodes ids one by one. An earlier id stays as context: some decoders treat a first token differently."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._read = 0

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        piece = self._fresh()
        if not piece or piece.endswith("\ufffd"):
            return ""
        self._ids = self._ids[self._read :]
        self._read = len(self._ids)
        return piece

    def flush(self) -> str:
        piece = self._fresh()
        self._ids, self._read = [], 0
        return piece

    def _fresh(self) -> str:
        return self._decode(self._ids)[len(self._decode(self._ids[: self._read])) :] if self._ids else ""
