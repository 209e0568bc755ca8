"""Asks any OpenAI-compatible server: our own model server, vLLM, Ollama, OpenAI, Gemini.

It knows the protocol, not who asks. Reasoning that a foreign server leaves in the text is split off here, so it
reaches a page only where the options ask for it.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from studio.errors import InferenceError
from training.reasoning import ReasoningFormat, ReplyState, TextSplitter, parse_text
from training.reasoning import Reply as SplitReply

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 10.0
MESSAGE_CHARACTERS = 300
OUR_FINGERPRINT = "oboe"  # our server says so in every event: its content holds no reasoning
OUR_SENTENCES = ("inference", "worker")  # rooms of i18n whose keys our server's errors carry
HARMONY_MODELS = ("gpt-oss", "llm-jp-4")
HARMONY_MARKERS = ("<|channel|>", "<|start|>", "<|message|>")

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens. `token` may be empty; `silence_timeout_s` bounds the wait for the next sign of life."""

    base_url: str
    token: str = field(default="", repr=False)
    silence_timeout_s: float = 300.0


@dataclass(frozen=True)
class Options:
    """How to answer. None leaves the choice to the server."""

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    reasoning_effort: str | None = None
    include_reasoning: bool = False

    def fields(self) -> dict[str, Any]:
        """The request's fields, without those left to the server."""
        chosen = {
            "max_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "reasoning_effort": self.reasoning_effort,
            "include_reasoning": self.include_reasoning or None,
        }
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True)
class Reply:
    """A whole answer. Seconds are counted here, so they include waiting; `tokens` counts reasoning too."""

    model: str
    answer: str
    reply_state: ReplyState
    tokens: int
    reasoning_tokens: int
    seconds: float
    first_token_s: float
    reasoning: str = ""


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer: new text, and how many tokens of reasoning there are by now.

    The last one has `reply`, whose answer is the one to keep: it replaces what was shown.
    """

    text: str = ""
    reasoning_tokens: int = 0
    reasoning: str = ""
    reply: Reply | None = None


def ask(endpoint: Endpoint, model: str, messages: Messages, options: Options | None = None) -> Reply:
    """The whole answer.

    Raises:
        InferenceError: a sentence for each way in which a server can fail to answer.
    """
    for chunk in stream(endpoint, model, messages, options):
        if chunk.reply is not None:
            return chunk.reply
    raise InferenceError("inference.error_died", address=endpoint.base_url)


def stream(endpoint: Endpoint, model: str, messages: Messages, options: Options | None = None) -> Iterator[Chunk]:
    """The answer while it is being written. Closing the iterator cancels the answer on the server.

    Raises InferenceError, possibly after some chunks.
    """
    options = options or Options()
    body = {"model": model, "messages": [dict(message) for message in messages], "stream": True, **options.fields()}
    reading = _Reading(model, options)
    with _talking(endpoint) as client, client.stream("POST", "chat/completions", json=body) as response:
        _require_success(endpoint, response)
        for event in _events(endpoint, response):
            if chunk := reading.take(event):
                yield chunk
    if not reading.ended:
        raise InferenceError("inference.error_died", address=endpoint.base_url)
    yield reading.end()


def models(endpoint: Endpoint) -> list[str]:
    """The names that a server answers to. Raises InferenceError."""
    with _talking(endpoint) as client:
        response = client.get("models")
        _require_success(endpoint, response)
        try:
            return [str(card["id"]) for card in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            raise _not_openai(endpoint, "no list of models") from None


class _Reading:
    """What has arrived of one answer, from our own server or from one that leaves reasoning in the text."""

    def __init__(self, model: str, options: Options) -> None:
        self._model = model
        self._include_reasoning = options.include_reasoning
        self._started = time.perf_counter()
        self._first_token_s = 0.0
        self._text = _Text(model)
        self._reasoning: list[str] = []
        self._hidden = 0
        self._pieces = 0
        self._last: dict[str, Any] = {}
        self._finish_reason: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the server said that the answer is complete."""
        return self._finish_reason is not None

    def take(self, event: dict[str, Any]) -> Chunk | None:
        """What one event adds for a reader, if anything."""
        self._last |= {name: event[name] for name in ("usage", "reply_state") if event.get(name)}
        choice = (event.get("choices") or [{}])[0]
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
        shown, hidden = self._text.feed(delta.get("content") or "", event.get("system_fingerprint") == OUR_FINGERPRINT)
        # Our server counts reasoning; where another writes it out, each piece is about a token.
        counted = delta.get("reasoning_tokens") or self._hidden + bool(thought or hidden)
        if not (delta.get("content") or thought or counted > self._hidden):
            return None
        self._first_token_s = self._first_token_s or time.perf_counter() - self._started
        self._pieces += 1
        self._hidden = counted
        self._reasoning.append(thought)
        return Chunk(shown, counted, (thought or hidden) if self._include_reasoning else "")

    def end(self) -> Chunk:
        """The last text and the whole reply."""
        finished = self._finish_reason not in ("length", "cancelled")
        last, split = self._text.finish(finished=finished)
        reasoning = "".join(self._reasoning) or split.reasoning
        state: ReplyState = self._last.get("reply_state") or split.state
        if state == "empty" and reasoning and not finished:
            state = "truncated_in_analysis"
        usage = self._last.get("usage") or {}
        details = usage.get("completion_tokens_details") or {}
        reply = Reply(
            model=self._model,
            answer=split.answer,
            reply_state=state,
            tokens=usage.get("completion_tokens") or self._pieces,
            reasoning_tokens=usage.get("reasoning_tokens", details.get("reasoning_tokens", self._hidden)) or 0,
            seconds=time.perf_counter() - self._started,
            first_token_s=self._first_token_s,
            reasoning=reasoning if self._include_reasoning else "",
        )
        return Chunk(last, reply.reasoning_tokens, reply=reply)


class _Text:
    """The text of one answer. A foreign server may leave the markers of reasoning in it; ours never does."""

    def __init__(self, model: str) -> None:
        self._harmony = any(name in model.lower() for name in HARMONY_MODELS)
        self._splitter: TextSplitter | None = None
        self._whole = ""
        self._untagged = False  # a foreign reply that began like an answer

    def feed(self, text: str, ours: bool) -> tuple[str, str]:
        """What of it is answer, and what is reasoning."""
        self._whole += text
        if self._splitter is None:
            form = "plain" if ours else _format_of(self._whole, harmony=self._harmony)
            if form is None or not text:
                return "", ""
            self._untagged = form == "plain" and not ours
            self._splitter, text = TextSplitter(form, opened=False), self._whole
        delta = self._splitter.feed(text)
        return delta.answer, delta.reasoning

    def finish(self, *, finished: bool) -> tuple[str, SplitReply]:
        """The rest of the answer, and the answer taken apart."""
        if self._splitter is None:
            self._splitter = TextSplitter("plain")
            self._splitter.feed(self._whole)
        last, reply = self._splitter.finish(finished=finished)
        if self._untagged and "</think>" in reply.answer:  # the opening tag was in the prompt
            return last.answer, parse_text(self._whole, "think", finished=finished)
        return last.answer, reply


def _format_of(text: str, *, harmony: bool) -> ReasoningFormat | None:
    """How a foreign reply that begins like this marks its reasoning; None: too early to tell."""
    begun = text.lstrip()
    if harmony or any(begun.startswith(marker) for marker in HARMONY_MARKERS):
        return "harmony"
    if begun.startswith("<think>"):
        return "think"
    return None if any(marker.startswith(begun) for marker in ("<think>", *HARMONY_MARKERS)) else "plain"


@contextmanager
def _talking(endpoint: Endpoint) -> "Iterator[httpx.Client]":
    """A client whose failures are sentences. Loopback is asked directly, whatever proxy the environment names."""
    import httpx

    parts = _parts(endpoint)
    address = endpoint.base_url.rstrip("/") + "/"
    timeout = httpx.Timeout(endpoint.silence_timeout_s, connect=CONNECT_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
    try:
        direct = parts.hostname in ("127.0.0.1", "localhost", "::1")
        # Reading the certificates takes a third of a second, which an answer over plain HTTP need not wait for.
        encrypted = parts.scheme == "https"
        with httpx.Client(
            base_url=address, timeout=timeout, headers=headers, verify=encrypted, trust_env=not direct
        ) as client:
            yield client
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise InferenceError("inference.error_unreachable", address=endpoint.base_url) from error
    except httpx.TimeoutException as error:
        seconds = f"{endpoint.silence_timeout_s:g}"
        raise InferenceError("inference.error_timeout", address=endpoint.base_url, seconds=seconds) from error
    except httpx.InvalidURL as error:
        raise InferenceError("inference.error_address", address=endpoint.base_url) from error
    except httpx.HTTPError as error:
        raise InferenceError("inference.error_died", address=endpoint.base_url) from error


def _parts(endpoint: Endpoint) -> SplitResult:
    try:
        parts = urlsplit(endpoint.base_url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise InferenceError("inference.error_address", address=endpoint.base_url)


def _events(endpoint: Endpoint, response: "httpx.Response") -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events; a server that ignores `stream` sends one whole answer."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.read()
        yield _as_event(endpoint, _parsed(endpoint, response.text))
        return
    for line in response.iter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        event = _parsed(endpoint, data)
        if error := event.get("error"):
            raise _refusal(endpoint, 500, error)
        yield event


def _as_event(endpoint: Endpoint, whole: dict[str, Any]) -> dict[str, Any]:
    try:
        choice = whole["choices"][0]
        return {
            **whole,
            "choices": [{"delta": choice["message"], "finish_reason": choice.get("finish_reason", "stop")}],
        }
    except (KeyError, IndexError, TypeError):
        raise _not_openai(endpoint, "no choices") from None


def _parsed(endpoint: Endpoint, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise _not_openai(endpoint, "no JSON") from None
    if not isinstance(value, dict):
        raise _not_openai(endpoint, "no JSON object")
    return value


def _require_success(endpoint: Endpoint, response: "httpx.Response") -> None:
    if response.is_success:
        return
    response.read()
    try:
        error = json.loads(response.text)["error"]
    except (ValueError, KeyError, TypeError):
        if response.status_code in (401, 403):
            raise InferenceError("inference.error_token") from None
        raise _not_openai(endpoint, f"status {response.status_code}") from None
    raise _refusal(endpoint, response.status_code, error)


def _refusal(endpoint: Endpoint, status: int, error: object) -> InferenceError:
    """A server's error object as a sentence; ours carries the key of one."""
    said = error if isinstance(error, dict) else {"message": error}
    code, values = str(said.get("code")), said.get("values")
    if isinstance(values, dict) and code.partition(".")[0] in OUR_SENTENCES:
        return InferenceError(code, **values)
    if status in (401, 403):
        return InferenceError("inference.error_token")
    message = str(said.get("message"))[:MESSAGE_CHARACTERS]
    return InferenceError("inference.error_foreign", address=endpoint.base_url, status=status, message=message)


def _not_openai(endpoint: Endpoint, problem: str) -> InferenceError:
    return InferenceError("inference.error_not_openai", address=endpoint.base_url, problem=problem)
