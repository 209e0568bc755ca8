"""Asks an OpenAI-compatible endpoint to reword and reverse one fact; it must not know datasets, jobs or files.

The key comes from the environment and is in no value that this module returns or raises.
"""

import re
import threading
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, ValidationError

from studio.augmentation.keys import key_for, origin
from studio.augmentation.plan import Plan
from studio.datasets.model import Fact, MadeExample
from studio.errors import AugmentError
from studio.loopback import is_loopback
from training.contract import PROJECT_ROOT, AnswerStyle, Frozen

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI
    from openai.types.chat import ChatCompletion

PROMPT_VERSION = "augment.v1.ja"
ATTEMPTS = 5
LONGEST_WAIT_S = 60.0


class EndpointOptions(Frozen):
    """Where to ask, and whom; there is no field for a key on purpose."""

    base_url: str = Field(min_length=1, max_length=400)
    model: str = Field(min_length=1, max_length=200)
    concurrency: int = Field(default=8, ge=1, le=64, description="Requests under way at once.")
    timeout_s: float = Field(default=120.0, gt=0, le=3600, description="Longest wait for one reply.")


class Reply(Frozen):
    """What the model wrote about one fact, as the prompt asks for it."""

    questions: list[str]
    answer: str
    reverse_questions: list[str]
    reverse_answers: list[str]


class Wording(Frozen):
    """A reply with what it cost."""

    reply: Reply
    content: str
    tokens: int


class EndpointDown(AugmentError):
    """The endpoint cannot serve any fact: asking for the next one is pointless."""


class FactFailed(AugmentError):
    """The endpoint gave nothing usable for this fact; the next may still work."""


class Cancelled(Exception):
    """The job was cancelled while a request waited for its turn."""


def read_options(options: dict[str, JsonValue] | None) -> EndpointOptions:
    """The options of a job, checked.

    Raises:
        AugmentError: a setting is missing, unknown or out of bounds, or the address is none or holds a password.
    """
    try:
        read = EndpointOptions.model_validate(options or {})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise AugmentError("augment.error_option", name=str(first["loc"][0]), problem=first["msg"]) from None
    if origin(read.base_url) is None:
        raise AugmentError("augment.error_address", address=read.base_url)
    address = urlsplit(read.base_url)
    if address.username or address.password or address.query:
        raise AugmentError("augment.error_key_in_address")
    return read


def parse(content: str) -> Reply | None:
    """The reply in a text, also where prose or a code fence surrounds its JSON; None where there is none."""
    found = re.search(r"\{.*\}", content, re.DOTALL)
    try:
        return Reply.model_validate_json(found[0]) if found else None
    except ValidationError:
        return None


def examples(fact: Fact, plan: Plan, reply: Reply, model: str) -> list[MadeExample]:
    """The product of a reply's questions and answers with the seed pair counted in."""
    seed_style: AnswerStyle = "short" if fact.short_answer else "detailed"
    other_style: AnswerStyle = "detailed" if fact.short_answer else "short"
    forward = _distinct([fact.question, *reply.questions])[: plan.forward]
    answers = _distinct([fact.answer, reply.answer])[: plan.answers]
    styled = list(zip(answers, (seed_style, other_style), strict=False))
    made = [
        _example(fact, "paraphrase", (question, *answer), model)
        for question in forward
        for answer in styled
        if (question, answer[0]) != (fact.question, fact.answer)
    ]
    styles: tuple[AnswerStyle, AnswerStyle] = ("short", "detailed")
    reversed_answers = list(zip(_distinct(reply.reverse_answers)[: plan.answers], styles, strict=False))
    reversed_questions = [question for question in _distinct(reply.reverse_questions) if question not in forward]
    return made + [
        _example(fact, "reverse", (question, *answer), model)
        for question in reversed_questions[: plan.reverse]
        for answer in reversed_answers
    ]


class Endpoint:
    """One endpoint and model, asked from several threads."""

    def __init__(self, options: EndpointOptions, cancelled: threading.Event) -> None:
        self.options = options
        self._cancelled = cancelled
        self._down = threading.Event()
        self._answered = False
        self._key = key_for(options.base_url)
        self._client = _client(options, self._key)
        # The strictest way of asking that this server has not refused yet: schema, JSON, free text.
        self._formats = [_schema(), {"type": "json_object"}, None]

    def ask(self, fact: Fact, plan: Plan) -> Wording:
        """Ask for all phrasings and answers of one fact, once more where the reply cannot be read.

        Raises:
            FactFailed: this fact got nothing usable.
            EndpointDown: no fact will.
            Cancelled: the job was cancelled while waiting.
        """
        messages = [{"role": "user", "content": prompt(fact, plan)}]
        tokens = 0
        for _ in range(2):
            completion = self._completion(messages)
            tokens += completion.usage.total_tokens if completion.usage else 0
            content = completion.choices[0].message.content or ""
            if reply := parse(content):
                return Wording(reply=reply, content=content, tokens=tokens)
            again = "JSON だけを、求めた形で返してください。ほかの文字は書かないでください。"
            messages = [messages[0], {"role": "assistant", "content": content}, {"role": "user", "content": again}]
        raise FactFailed("augment.error_malformed")

    def give_up(self) -> None:
        """Let every request that waits its turn go: the endpoint serves nothing any more."""
        self._down.set()

    def _completion(self, messages: list[dict[str, str]]) -> "ChatCompletion":
        import openai

        values: dict[str, object] = {"address": self.options.base_url, "attempts": ATTEMPTS}
        for attempt in range(ATTEMPTS):
            if self._cancelled.is_set() or self._down.is_set():
                raise Cancelled
            try:
                return self._once(messages)
            except openai.APITimeoutError:
                error: AugmentError = FactFailed("augment.error_timeout", seconds=self.options.timeout_s, **values)
                self._wait(attempt, None)
            except openai.APIConnectionError as lost:
                error = EndpointDown("augment.error_refused", **values)
                if not self._answered:
                    raise error from lost
                # A server that has answered before is being restarted, or dropped this one connection.
                self._wait(attempt, None)
            except openai.APIStatusError as refused:
                if refused.status_code != 429 and refused.status_code < 500:
                    raise self._refusal(refused) from None
                error = FactFailed("augment.error_busy", status=refused.status_code, **values)
                self._wait(attempt, refused.response.headers.get("retry-after"))
        raise error

    def _once(self, messages: list[dict[str, str]]) -> "ChatCompletion":
        """One request; a server that refuses a response format is asked for the next looser one."""
        import openai

        chosen = self._formats[0]
        try:
            # No temperature and no max_tokens: some models refuse them, and thinking would use a limit up.
            extra = {"response_format": chosen} if chosen else {}
            reply = self._client.chat.completions.create(model=self.options.model, messages=messages, **extra)  # type: ignore[call-overload]
        except openai.BadRequestError:
            if chosen is None:
                raise
            if self._formats[0] is chosen:
                self._formats = self._formats[1:]
            return self._once(messages)
        except (openai.APIResponseValidationError, ValueError) as error:
            raise self._incompatible() from error
        if not isinstance(reply, openai.types.chat.ChatCompletion) or not reply.choices:
            raise self._incompatible()
        self._answered = True
        return reply

    def _incompatible(self) -> EndpointDown:
        return EndpointDown("augment.error_incompatible", address=self.options.base_url)

    def _refusal(self, error: "APIStatusError") -> EndpointDown:
        values = {"address": self.options.base_url, "status": error.status_code}
        if error.status_code in {401, 403}:
            return EndpointDown("augment.error_key" if self._key else "augment.error_no_key", **values)
        if error.status_code == 404:
            named = isinstance(error.body, dict) and "model" in str(error.body).lower()
            return (
                EndpointDown("augment.error_model", model=self.options.model, **values)
                if named
                else self._incompatible()
            )
        message = str(error.message)[:300]
        return EndpointDown("augment.error_status", message=message.replace(self._key or "\0", "***"), **values)

    def _wait(self, attempt: int, retry_after: str | None) -> None:
        """Sit a pause out, as long as the server asks for; a cancel ends it at once."""
        try:
            pause = float(retry_after) if retry_after else 0.5 * 2**attempt
        except ValueError:
            pause = 0.5 * 2**attempt
        until = monotonic() + min(max(pause, 0.0), LONGEST_WAIT_S)
        while attempt + 1 < ATTEMPTS and monotonic() < until and not self._down.is_set():
            self._cancelled.wait(min(0.2, max(until - monotonic(), 0.0)))
            if self._cancelled.is_set():
                return


def prompt(fact: Fact, plan: Plan) -> str:
    """The prompt for one fact."""
    template = (PROJECT_ROOT / "assets" / "prompts" / f"{PROMPT_VERSION}.txt").read_text(encoding="utf-8")
    longer = "元の答えより詳しい、一文か二文の答えにしてください。"
    shorter = "元の答えの要点だけを述べる、短い一文にしてください。"
    return template.format(
        forward=plan.forward - 1,
        reverse=plan.reverse,
        answer_style=longer if fact.short_answer else shorter,
        question=fact.question,
        seed_answer=fact.answer,
    )


def _client(options: EndpointOptions, key: str | None) -> "OpenAI":
    import openai

    host = urlsplit(options.base_url).hostname or ""
    # A proxy of the environment must not catch a server on this machine.
    client = openai.DefaultHttpxClient(trust_env=not is_loopback(host), timeout=options.timeout_s)
    # Local servers ask for no key, but the client wants one.
    return openai.OpenAI(
        base_url=options.base_url,
        api_key=key or "none",
        http_client=client,
        max_retries=0,
        timeout=options.timeout_s,
    )


def _schema() -> dict[str, object]:
    """Reply as a strict JSON schema."""
    schema = Reply.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "wordings", "strict": True, "schema": schema}}


def _distinct(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _example(fact: Fact, kind: str, pair: tuple[str, str, AnswerStyle], model: str) -> MadeExample:
    question, answer, style = pair
    return MadeExample(
        fact_id=fact.id,
        kind="reverse" if kind == "reverse" else "paraphrase",
        answer_style=style,
        question=question,
        answer=answer,
        generator=model,
        prompt_version=PROMPT_VERSION,
    )
