"""Splits a model's reply into hidden reasoning and answer, from token ids or from text, whole or while it streams.

Standard library only; it must not know how the reply was generated. What it streams is never taken back: the pieces of
the answer joined are the answer of the finished reply.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from training.reasoning_harmony import Harmony
from training.reasoning_parts import HARMONY_MARKERS, THINK_MARKERS, Delta, Reply, ReplyState, Think, cut_at_markers
from training.reasoning_vocabulary import Incremental, Tokenizer, Vocabulary

__all__ = [
    "Delta",
    "IdSplitter",
    "ReasoningFormat",
    "Reply",
    "ReplyState",
    "TextSplitter",
    "Vocabulary",
    "detect_format",
    "parse_ids",
    "parse_text",
]

ReasoningFormat = Literal["harmony", "think", "plain"]


def detect_format(names: Iterable[str], chat_template: str | None) -> ReasoningFormat:
    """How a model writes its reasoning, from its special tokens' names and its chat template."""
    if {"<|start|>", "<|channel|>", "<|message|>"} <= set(names):
        return "harmony"
    return "think" if any(tag in (chat_template or "") for tag in THINK_MARKERS) else "plain"


def parse_text(text: str, reasoning_format: ReasoningFormat, *, finished: bool = True) -> Reply:
    """Split a reply's text, with its markers or, for a harmony model, with the markers lost.

    `finished` is False where the token limit ended the reply. A `think` reply without any marker that did not finish
    counts as reasoning: the opening tag may have been in the prompt.
    """
    splitter = TextSplitter(reasoning_format)
    splitter.feed(text)
    return splitter.finish(finished=finished)[1]


def parse_ids(
    token_ids: Iterable[int],
    vocabulary: Vocabulary | Tokenizer | Mapping[str, int],
    reasoning_format: ReasoningFormat,
    *,
    finished: bool,
) -> Reply:
    """Split a reply's token ids (without the prompt's). Markers are recognised by id only, never by spelling."""
    splitter = IdSplitter(vocabulary, reasoning_format)
    splitter.feed(token_ids)
    return splitter.finish(finished=finished)[1]


class IdSplitter:
    """Splits a reply while its token ids arrive. Text of half a character waits for the rest of its bytes.

    `opened` tells a `think` reply whether the prompt ended inside `<think>`; None where that is not known, and then
    nothing is shown before `</think>` or the end.
    """

    def __init__(
        self,
        vocabulary: Vocabulary | Tokenizer | Mapping[str, int],
        reasoning_format: ReasoningFormat,
        *,
        opened: bool | None = None,
    ) -> None:
        known = Vocabulary.of(vocabulary)
        self._names = {number: name for name, number in known.special.items()}
        self._decoder = Incremental(known.decode)
        self._reply = _reply_parser(reasoning_format, opened, bare=False)

    def feed(self, token_ids: Iterable[int]) -> Delta:
        """What these ids add."""
        for token_id in token_ids:
            name = self._names.get(token_id)
            if name is None:
                self._reply.text(self._decoder.push(token_id), 1)
            else:
                self._reply.text(self._decoder.flush(), 0)
                self._reply.marker(name)
        return self._reply.blocks.take()

    def finish(self, *, finished: bool) -> tuple[Delta, Reply]:
        """The last piece, and the whole reply."""
        self._reply.text(self._decoder.flush(), 0)
        return self._reply.finish(finished=finished)


class TextSplitter:
    """Splits a reply while its text arrives in pieces of any size; `opened` as for `IdSplitter`."""

    def __init__(self, reasoning_format: ReasoningFormat, *, opened: bool | None = None) -> None:
        self._markers = HARMONY_MARKERS if reasoning_format == "harmony" else ()
        self._reply = _reply_parser(reasoning_format, opened, bare=True)
        self._held = ""

    def feed(self, text: str) -> Delta:
        """What this piece of text adds."""
        pieces, self._held = cut_at_markers(self._held + text, self._markers)
        for piece in pieces:
            if piece in self._markers:
                self._reply.marker(piece)
            else:
                self._reply.text(piece, 0)
        return self._reply.blocks.take()

    def finish(self, *, finished: bool = True) -> tuple[Delta, Reply]:
        """The last piece, and the whole reply."""
        self._reply.text(self._held, 0)
        return self._reply.finish(finished=finished)


def _reply_parser(reasoning_format: ReasoningFormat, opened: bool | None, *, bare: bool) -> Harmony | Think:
    if reasoning_format == "harmony":
        return Harmony(bare=bare)
    return Think(opened=False if reasoning_format == "plain" else opened, tags=reasoning_format == "think")
