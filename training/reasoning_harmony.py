"""Reads harmony replies: parts with a header each, or text that lost its markers when it was saved.

Standard library only; it must not know of token ids, only of text and of markers by name.
"""

import re
from typing import Literal

from training.reasoning_parts import BlockKind, Blocks, Delta, Reply

# Saved text lost its markers: `<|end|><|start|>assistant<|channel|>final<|message|>` became `assistantfinal`.
_CHANNEL = r"(?P<channel>analysis|commentary|final)"
_BARE_LEAD = re.compile(rf"(?P<role>assistant\s*)?{_CHANNEL}")
_BARE_LEADS = ("assistantanalysis", "assistantcommentary", "assistantfinal", "analysis", "final")
# With a space between the words it is a header only after the end of a sentence: "the assistant final answer" is prose.
_BARE_HEADER = re.compile(
    rf"assistant(?:\s{{0,4}}to=\S{{1,80}}?\s{{0,4}})?{_CHANNEL}"
    r"|(?<=[.。!?！？…」』)）\"'\n])\s{0,4}assistant\s{1,4}(?P<spaced>analysis|commentary|final)(?![a-z])"
)
_BARE_HEADER_LENGTH = 120


class Harmony:
    """Parts with a header each: `<|start|>role<|channel|>channel<|message|>content<|end|>`, or what is left of that.

    `bare` also reads text whose markers were lost, which ids never need.
    """

    def __init__(self, *, bare: bool) -> None:
        self.blocks = Blocks()
        self._bare = bare
        # lead: before any marker. closed: after a part's end. bare: in a part whose markers were lost.
        self._section: Literal["lead", "role", "channel", "constrain", "content", "closed", "bare"] = "lead"
        self._role = ""
        self._channel = ""
        self._tail = ""  # of a bare part: not written yet, a header may be hiding in it
        self._lead_tokens = 0

    def text(self, text: str, tokens: int) -> None:
        if self._section == "content":
            self.blocks.write(text, tokens)
        elif self._section == "lead":
            self._role += text
            self._lead_tokens += tokens
            self._settle_lead(ended=False)
        elif self._section == "role":
            self._role += text
        elif self._section == "channel":
            self._channel += text
        elif self._section == "bare":
            self._tail += text
            self._settle_tail(ended=False)
        elif self._section == "closed" and text.strip():
            self._open("stray", text, tokens)

    def marker(self, name: str) -> None:
        in_header = self._section in ("lead", "role", "channel", "constrain")
        if name == "<|start|>":
            self._close()
            self._section = "role"
        elif name == "<|channel|>":
            if self._section not in ("lead", "role"):
                self._close()
            self._section = "channel"
        elif name == "<|constrain|>" and in_header:
            self._section = "constrain"
        elif name == "<|message|>" and self._section == "bare":
            self._settle_tail(ended=True)
        elif name == "<|message|>" and (in_header or self._section == "closed"):
            self._open(self._kind(), "", 0)
        elif name in ("<|end|>", "<|call|>") or (name == "<|return|>" and not self._thinking()):
            self._close()

    def finish(self, *, finished: bool) -> tuple[Delta, Reply]:
        self._close()
        reply = self.blocks.reply(finished=finished)
        return self.blocks.take(), reply

    def _thinking(self) -> bool:
        """Whether inside analysis, where `<|return|>` is a slip: what follows without a header is analysis still."""
        return self._section == "content" and self.blocks.blocks[-1].kind == "analysis"

    def _open(self, kind: BlockKind, text: str, tokens: int) -> None:
        self.blocks.open(kind)
        self.blocks.write(text, tokens)
        self._section, self._role, self._channel = "content", "", ""

    def _kind(self) -> BlockKind:
        """What the part is whose header was read. No channel, or one nobody knows, is visible text."""
        speaker = (self._role.split() or ["assistant"])[0]
        header = self._channel.strip() or speaker
        if not speaker.startswith(("assistant", "to=", "analysis", "commentary", "final")):
            return "foreign"
        if "to=" in self._role + self._channel:
            return "tool"
        return "analysis" if header.startswith("analysis") else "answer"

    def _close(self) -> None:
        """End the part, whichever section it is in; content in an unfinished header is kept."""
        if self._section == "lead":
            self._settle_lead(ended=True)
        if self._section == "bare":
            self._settle_tail(ended=True)
        if self._section in ("role", "channel"):
            name, text = _after_header_word(self._channel if self._section == "channel" else self._role)
            if text:
                self._open("analysis" if name == "analysis" else "stray", text, 0)
        self._section, self._role, self._channel = "closed", "", ""

    def _settle_lead(self, *, ended: bool) -> None:
        settled = _lead(self._role, bare=self._bare, ended=ended)
        if settled is None:
            return
        kind, text, bare = settled
        self._open(kind, "" if bare else text, self._lead_tokens)
        if bare:
            self._section, self._tail = "bare", text
            self._settle_tail(ended=ended)

    def _settle_tail(self, *, ended: bool) -> None:
        """Write a bare part's text up to the next bare header, and what follows that, as far as it is certain."""
        while match := _BARE_HEADER.search(self._tail):
            rest = self._tail[match.end() :]
            if not ended and len(rest.lstrip()) < len("to="):
                return
            self.blocks.write(self._tail[: match.start()], 0)
            channel = match["channel"] or match["spaced"]
            self._open(_bare_kind(channel, match.group() + rest.lstrip()[:3]), "", 0)
            if channel == "final":
                self.blocks.write(rest, 0)
                return
            self._section, self._tail = "bare", rest
        certain = len(self._tail) if ended else max(0, len(self._tail) - _BARE_HEADER_LENGTH)
        self.blocks.write(self._tail[:certain], 0)
        self._tail = self._tail[certain:]
        self._section = "content" if ended else "bare"


def _after_header_word(header: str) -> tuple[str, str]:
    """The word of a header that was never closed, and what was written after it as if it were content."""
    words = ("assistant", "analysis", "commentary", "final")
    text = header.strip()
    name = next((word for word in words if text.startswith(word)), "")
    rest = text[len(name) :].strip()
    half_a_header = rest.startswith("to=") or rest == "json" or (not name and any(w.startswith(rest) for w in words))
    return name, "" if half_a_header else rest


def _bare_kind(channel: str, header: str) -> BlockKind:
    if channel == "analysis":
        return "analysis"
    return "tool" if "to=" in header else "answer"


def _lead(text: str, *, bare: bool, ended: bool) -> tuple[BlockKind, str, bool] | None:
    """What text before any marker is, its content, and whether bare headers may follow; None: too early to tell."""
    word = text.lstrip()
    match = _BARE_LEAD.match(word) if bare else None
    if match and (match["role"] or match["channel"] != "commentary"):
        rest = word[match.end() :]
        if not ended and len(rest.lstrip()) < len("to="):
            return None
        if match["role"] or match["channel"] == "analysis":
            kind = _bare_kind(match["channel"], rest.lstrip()[:3])
            return kind, rest, match["channel"] != "final"
        # "final東京" had a marker between; "final answer" and "finally" are prose.
        first = rest.lstrip()[:1]
        prose = first.isascii() and first.isalnum() and (first.islower() or rest[:1].isspace())
        return "answer", text if prose else rest, False
    undecided = bare and any(lead.startswith("".join(word.split())) for lead in _BARE_LEADS)
    if not ended and (undecided or "to=".startswith(word[:3])):
        return None
    return "answer", text, False
