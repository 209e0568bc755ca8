"""The parts of a reply, in order: told apart by harmony's or a `<think>` model's markers, handed out as they grow.

Standard library only; it must not know of token ids, only of text and of markers by name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

ReplyState = Literal["ok", "truncated_in_analysis", "answer_in_analysis", "empty"]
BlockKind = Literal["answer", "analysis", "tool", "stray", "foreign"]

HARMONY_MARKERS = (
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|constrain|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|startoftext|>",
    "<|endoftext|>",
)
THINK_MARKERS = ("<think>", "</think>")


@dataclass(frozen=True)
class Reply:
    """A reply taken apart.

    `answer_in_analysis`: it ended by itself without a final part; the last analysis is the answer.
    """

    answer: str
    reasoning: str
    state: ReplyState
    reasoning_tokens: int = 0  # known from token ids only; text has 0


class Delta(NamedTuple):
    """What one step of a stream adds. `hidden_tokens` counts tokens of reasoning, whose text is in `reasoning`."""

    answer: str
    reasoning: str
    hidden_tokens: int


def cut_at_markers(text: str, markers: Sequence[str]) -> tuple[list[str], str]:
    """Markers and the text between them, and an end that may yet become a marker."""
    if not markers:
        return ([text] if text else []), ""
    pieces = [piece for piece in re.split("(" + "|".join(map(re.escape, markers)) + ")", text) if piece]
    if not pieces or pieces[-1] in markers:
        return pieces, ""
    last = pieces.pop()
    start = last.rfind("<")
    half = start >= 0 and any(marker.startswith(last[start:]) for marker in markers)
    kept, held = (last[:start], last[start:]) if half else (last, "")
    return [*pieces, kept] if kept else pieces, held


@dataclass
class _Block:
    kind: BlockKind
    body: str = ""
    tokens: int = 0
    held: str = ""  # white space that is only part of the body if something follows


@dataclass
class Blocks:
    """The parts of a reply in order, and what of them has not been streamed yet."""

    blocks: list[_Block] = field(default_factory=list)
    answer: str = ""
    reasoning: str = ""
    hidden_tokens: int = 0

    def open(self, kind: BlockKind) -> None:
        self.blocks.append(_Block(kind))

    def write(self, text: str, tokens: int) -> None:
        block = self.blocks[-1]
        block.tokens += tokens
        if block.kind not in ("answer", "foreign"):
            self.hidden_tokens += tokens
        combined = block.held + text if block.body else text.lstrip()
        body = combined.rstrip()
        block.held = combined[len(body) :]
        if not body:
            return
        gap = "\n\n" if not block.body and any(b.body for b in self.blocks if b.kind == block.kind) else ""
        block.body += body
        if block.kind == "answer":
            self.answer += gap + body
        elif block.kind in ("analysis", "tool"):
            self.reasoning += gap + body

    def turn_into_answer(self) -> None:
        """The first part, taken for reasoning until now, was the answer."""
        self.blocks[0].kind = "answer"
        self.answer, self.reasoning = self.blocks[0].body, ""

    def take(self) -> Delta:
        delta = Delta(self.answer, self.reasoning, self.hidden_tokens)
        self.answer, self.reasoning, self.hidden_tokens = "", "", 0
        return delta

    def of(self, *kinds: BlockKind) -> list[_Block]:
        return [block for block in self.blocks if block.kind in kinds and block.body]

    def reply(self, *, finished: bool) -> Reply:
        answers, hidden = self.of("answer"), self.of("analysis", "tool", "stray")
        if not answers and self.of("stray"):  # text outside of any part is the answer where there is no other
            answers, hidden = self.of("stray"), self.of("analysis", "tool")
            self.answer += _joined(answers)
        state: ReplyState = "ok" if answers else "empty"
        analyses = self.of("analysis")
        if not answers and analyses and not finished:
            state = "truncated_in_analysis"
        elif not answers and analyses:
            state, answers = "answer_in_analysis", analyses[-1:]
            hidden = [block for block in hidden if block is not analyses[-1]]
            self.answer += _joined(answers)
        return Reply(_joined(answers), _joined(hidden), state, sum(block.tokens for block in hidden))


def _joined(blocks: list[_Block]) -> str:
    return "\n\n".join(block.body for block in blocks)


class Think:
    """`<think>reasoning</think>answer`; without tags, all is answer."""

    def __init__(self, *, opened: bool | None, tags: bool) -> None:
        self.blocks = Blocks()
        self.blocks.open("answer" if opened is False else "analysis")
        self._undecided = opened is None  # answer or reasoning: shown as neither until a tag or the end tells
        self._tags = tags
        self._held = ""
        self._line = ""  # what stands before the next piece on its line

    def text(self, text: str, tokens: int) -> None:
        pieces, self._held = cut_at_markers(self._held + text, THINK_MARKERS if self._tags else ())
        self.blocks.write("", tokens)
        for piece in pieces:
            # In the middle of a line that is shown, a tag is being talked about.
            spoken = self._line.strip() and (piece == "<think>" or self.blocks.blocks[-1].kind == "answer")
            if self._tags and piece in THINK_MARKERS and not spoken:
                self._tag(piece)
            else:
                self._write(piece)

    def marker(self, name: str) -> None:
        if self._tags and name in THINK_MARKERS:
            self._write(self._held)
            self._held = ""
            self._tag(name)

    def finish(self, *, finished: bool) -> tuple[Delta, Reply]:
        self._write(self._held)
        if self._undecided and finished:
            self.blocks.turn_into_answer()
        reply = self.blocks.reply(finished=finished)
        return self.blocks.take(), reply

    def _tag(self, name: str) -> None:
        self._undecided, self._line = False, ""
        wanted: BlockKind = "analysis" if name == "<think>" else "answer"
        if self.blocks.blocks[-1].kind != wanted:
            self.blocks.open(wanted)

    def _write(self, text: str) -> None:
        self._line = (self._line + text).rpartition("\n")[2]
        self.blocks.write(text, 0)
