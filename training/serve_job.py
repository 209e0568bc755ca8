"""One question on its way through the model: its tokens become pieces of an answer while they are generated.

It must not know how tokens are generated, nor of HTTP.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from training.reasoning import Delta, IdSplitter, Reply

log = logging.getLogger(__name__)

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 takes the likeliest. A seed matters only above 0."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether the answer must not depend on which other questions share its batch."""
        return self.temperature > 0 and self.seed is not None


@dataclass(frozen=True)
class Finished:
    """The end of an answer. Seconds count from when the question arrived, waiting included."""

    reply: Reply
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    first_token_s: float
    total_s: float


Event = Delta | Finished | Exception


@dataclass(eq=False)
class Job:
    """A question and its answer so far. `emit` is called on the model's thread and must only pass the event on."""

    model: str
    prompt_ids: list[int]
    max_tokens: int
    sampling: Sampling
    splitter: IdSplitter
    end_ids: frozenset[int]
    emit: Callable[[Event], None]
    created: float = field(default_factory=time.perf_counter)
    cancelled: bool = False
    done: bool = False
    tokens: int = 0
    first_token_s: float = 0.0

    def push(self, token_id: int) -> None:
        """Take the next token. Never raises: an exception inside `generate` would leave PEFT's hooks behind."""
        try:
            self._push(token_id)
        except Exception as error:
            log.exception("a token of %s could not be taken", self.model)
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End without an answer."""
        if not self.done:
            self.done = True
            self.emit(error)

    def cancel(self) -> None:
        """Nobody waits for the answer any more; the batch drops it at its next token."""
        self.cancelled = True

    def finish(self, reason: FinishReason) -> None:
        """End with what has been generated."""
        last, reply = self.splitter.finish(finished=reason == "stop")
        self.done = True
        self.emit(last)
        total_s = time.perf_counter() - self.created
        self.emit(Finished(reply, reason, len(self.prompt_ids), self.tokens, self.first_token_s, total_s))

    def _push(self, token_id: int) -> None:
        self.tokens += 1
        self.first_token_s = self.first_token_s or time.perf_counter() - self.created
        self.emit(self.splitter.feed([token_id]))
        if token_id in self.end_ids:
            self.finish("stop")
        elif self.cancelled:
            self.finish("cancelled")
        elif self.tokens >= self.max_tokens:
            self.finish("length")
