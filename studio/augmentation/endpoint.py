"""Sends one request to an OpenAI-compatible endpoint until it is answered; it must not know facts, jobs or files.

The key comes from the environment and is in no value that this module returns or raises.
"""

import json
import random
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from studio.augmentation.keys import key_for
from studio.augmentation.ledger import Outcome
from studio.augmentation.options import EndpointOptions
from studio.augmentation.pace import Pace
from studio.errors import AugmentError
from studio.loopback import is_loopback
from training.contract import Frozen

ATTEMPTS = 8
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
# What a server may ask for in Retry-After; beyond that a person should know.
LONGEST_WAIT_S = 900.0
CONNECT_TIMEOUT_S = 10.0
MESSAGE_CHARACTERS = 300
OVERLOADED = frozenset({429, 529})
# Perhaps this request alone: too long, or against the rules of the house.
UNFIT = frozenset({400, 413, 422})
TRANSIENT = frozenset({408, 409, 425, 429})


class EndpointDown(AugmentError):
    """The endpoint cannot serve any fact: asking for the next one is pointless."""


class FactFailed(AugmentError):
    """The endpoint gave nothing usable for this fact; the next may still work."""


class Completion(Frozen):
    """A reply as it came, and what it cost. `outcome` says what kept it from being whole, malformed is judged later."""

    content: str
    outcome: Outcome
    prompt_tokens: int
    completion_tokens: int


class _Refused(Exception):
    """One attempt that another may follow: what to say if none does, and how long the server wants to be left alone."""

    def __init__(self, reason: AugmentError, *, overloaded: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(reason.key)
        self.reason = reason
        self.overloaded = overloaded
        self.retry_after_s = retry_after_s


class Endpoint:
    """One endpoint and model, asked from several threads. `on_failure` hears of every attempt that gave nothing."""

    def __init__(
        self,
        options: EndpointOptions,
        pace: Pace,
        *,
        key: str | None = None,
        on_failure: Callable[[str, AugmentError], None] = lambda title, error: None,
    ) -> None:
        self.options = options
        self.pace = pace
        self._key = key or key_for(options.base_url)
        self._on_failure = on_failure
        self._certificates = httpx.create_ssl_context()  # read once: every connection would take 30 ms for them
        self._own = threading.local()
        self._clients: list[httpx.Client] = []
        self._answered = False
        # The strictest form of reply that this server has not refused yet: schema, JSON, free text.
        self._forms = ["json_schema", "json_object", "text"]
        self._form_works = False

    def ask(self, title: str, conversation: list[dict[str, str]], schema: dict[str, Any]) -> Completion:
        """The reply to a conversation, however often it takes; `title` says whose it is.

        Raises:
            FactFailed: this request got no answer.
            EndpointDown: no request will.
            Stopped: the job ended while this one waited.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self.pace.turn() as began:
                    completion = self._once(conversation, schema)
            except _Refused as refused:
                self._on_failure(title, refused.reason)
                last = refused.reason
                self._rest(refused, attempt, began)
            else:
                self.pace.succeeded()
                return completion
        raise last

    def close(self) -> None:
        """Close the connections of all threads."""
        for client in self._clients:
            client.close()

    def _rest(self, refused: _Refused, attempt: int, began: float) -> None:
        """Wait before the next attempt: everybody where the server is overloaded, this request alone otherwise."""
        if attempt + 1 >= ATTEMPTS:
            return
        backoff = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S) * random.uniform(0.75, 1.0)
        pause_s = backoff if refused.retry_after_s is None else min(refused.retry_after_s, LONGEST_WAIT_S)
        if refused.overloaded:
            self.pace.refused(began, pause_s)
        else:
            self.pace.wait(pause_s)

    def _once(self, conversation: list[dict[str, str]], schema: dict[str, Any]) -> Completion:
        """One request; a server that refuses a form of reply is asked for the next looser one."""
        form = self._forms[0]
        try:
            response = self._client().post("chat/completions", json=self._body(conversation, schema, form))
        except httpx.TimeoutException:
            raise _Refused(self._failed("augment.error_timeout", seconds=self.options.timeout_s)) from None
        except httpx.TransportError as lost:
            if not self._answered:
                raise EndpointDown("augment.error_refused", address=self.options.base_url) from lost
            # A server that has answered before is being restarted, or dropped this one connection.
            raise _Refused(self._failed("augment.error_dropped")) from None
        if response.status_code in (400, 422) and form != "text" and not self._form_works:
            if self._forms[0] == form:
                self._forms = self._forms[1:]
            return self._once(conversation, schema)
        if response.status_code != 200:
            raise self._refusal(response)
        completion = self._read(response)
        self._answered = self._form_works = True
        return completion

    def _body(self, conversation: list[dict[str, str]], schema: dict[str, Any], form: str) -> dict[str, Any]:
        # No temperature and no max_tokens: some models refuse them, and thinking would use a limit up.
        body: dict[str, Any] = {"model": self.options.model, "messages": conversation}
        if form != "text":
            body["response_format"] = schema if form == "json_schema" else {"type": form}
        return body

    def _read(self, response: httpx.Response) -> Completion:
        """The first choice of a reply. Providers that block a reply send it without text, or without any choice."""
        try:
            body = response.json()
        except ValueError:
            # A proxy in between may give a page; a reply that was cut off is one of a server that has answered.
            raise self._half(response) from None
        try:
            return _completion(body)
        except (AttributeError, TypeError, ValueError, KeyError):
            raise self._incompatible() from None

    def _half(self, response: httpx.Response) -> Exception:
        if self._answered and "json" in response.headers.get("content-type", ""):
            return _Refused(self._failed("augment.error_dropped"))
        return self._incompatible()

    def _refusal(self, response: httpx.Response) -> Exception:
        """What a status other than 200 means: for this attempt, this request, or all of them."""
        status, message = response.status_code, self._message(response)
        values = {"address": self.options.base_url, "status": status}
        if status == 429 and "insufficient_quota" in response.text:
            return EndpointDown("augment.error_quota", message=message, **values)
        if status in TRANSIENT or status >= 500:
            reason = self._failed("augment.error_rate" if status == 429 else "augment.error_busy", status=status)
            return _Refused(reason, overloaded=status in OVERLOADED, retry_after_s=_retry_after(response.headers))
        if status in (401, 403):
            return EndpointDown("augment.error_key" if self._key else "augment.error_no_key", **values)
        if status == 404:
            if "model" in message.lower():
                return EndpointDown("augment.error_model", model=self.options.model, **values)
            return self._incompatible()
        if status in UNFIT:
            return FactFailed("augment.error_status", message=message, **values)
        return EndpointDown("augment.error_status", message=message, **values)

    def _message(self, response: httpx.Response) -> str:
        """The server's own words, without the key that some servers repeat."""
        text = response.text
        try:
            error = json.loads(text).get("error")
            text = str(error.get("message") or error) if isinstance(error, dict) else str(error or text)
        except (ValueError, AttributeError):
            pass
        # Before it is cut: half a key is a key too.
        return text.replace(self._key or "\0", "***")[:MESSAGE_CHARACTERS]

    def _failed(self, key: str, **values: object) -> FactFailed:
        return FactFailed(key, address=self.options.base_url, attempts=ATTEMPTS, **values)

    def _incompatible(self) -> EndpointDown:
        return EndpointDown("augment.error_incompatible", address=self.options.base_url)

    def _client(self) -> httpx.Client:
        """This thread's own connection: a pool that threads share costs twice the time of a request."""
        client: httpx.Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = _connect(self.options, self._key, self._certificates)
            self._clients.append(client)
        return client


def _connect(options: EndpointOptions, key: str | None, certificates: ssl.SSLContext) -> httpx.Client:
    return httpx.Client(
        base_url=options.base_url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(options.timeout_s, connect=min(options.timeout_s, CONNECT_TIMEOUT_S)),
        verify=certificates,
        # A proxy of the environment must not catch a server on this machine.
        trust_env=not is_loopback(urlsplit(options.base_url).hostname or ""),
    )


def _completion(body: dict[str, Any]) -> Completion:
    """The first choice of a reply, the tokens it cost, and what kept it from being whole.

    Raises KeyError, TypeError, ValueError or AttributeError where it is no reply of an OpenAI-compatible server.
    """
    if "choices" not in body and "usage" not in body:  # one that was kept back altogether is still counted
        raise KeyError("choices")
    usage: dict[str, Any] = body.get("usage") or {}
    choice: dict[str, Any] = next(iter(body.get("choices") or ()), {})
    content, finish = _text((choice.get("message") or {}).get("content")), choice.get("finish_reason")
    outcome: Outcome = "cut_off" if finish == "length" else "usable"
    if finish == "content_filter" or not (content.strip() or outcome == "cut_off"):
        outcome = "blocked"
    prompt_tokens = int(usage.get("prompt_tokens") or 0)
    # Thinking is in the total alone where a provider does not count it as written.
    written = max(int(usage.get("completion_tokens") or 0), int(usage.get("total_tokens") or 0) - prompt_tokens)
    return Completion(
        content=content, outcome=outcome, prompt_tokens=max(prompt_tokens, 0), completion_tokens=max(written, 0)
    )


def _text(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a message, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError(type(content))
    return content or ""


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a server wants to be left alone, told as seconds, milliseconds or a date."""
    try:
        if told := headers.get("retry-after-ms"):
            return max(0.0, float(told) / 1000)
        told = headers.get("retry-after")
        if told is None:
            return None
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
