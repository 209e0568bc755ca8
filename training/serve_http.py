"""The model server's HTTP side: OpenAI's chat completions, streamed or whole, and vLLM's call for loading an adapter.

It checks and translates; it must not touch the model. Reasoning leaves only where a request says include_reasoning.
"""

import asyncio
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from training.errors import RunError
from training.reasoning import Delta
from training.serve_job import Event, Finished, Job, Sampling
from training.serve_model import BASE, ServedModel
from training.serve_scheduler import Scheduler

DISCONNECT_POLL_S = 0.1
SERVER_FAULTS = {f"inference.error_{name}" for name in ("unexpected", "out_of_memory", "adapter_lost", "base_lost")}
UNSUPPORTED = ("tools", "functions", "stop", "logprobs", "logit_bias")


class Message(BaseModel):
    """One turn. OpenAI's list of parts is taken where all parts are text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _join_text_parts(cls, content: object) -> object:
        if isinstance(content, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in content):
            return "".join(str(part.get("text", "")) for part in content)
        return content


class ChatRequest(BaseModel):
    """The part of OpenAI's request that is understood; null means the default, as it does there."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    n: Literal[1] | None = None
    reasoning_effort: Literal["low", "medium", "high"] | None = None
    include_reasoning: bool | None = None


class LoadRequest(BaseModel):
    """vLLM's request for one more adapter."""

    lora_name: str = Field(min_length=1, max_length=200)
    lora_path: str = Field(min_length=1)


Asked = TypeVar("Asked", ChatRequest, LoadRequest)


class RequestError(Exception):
    """An answer other than 200: OpenAI's error object, whose code is an i18n key."""

    def __init__(self, status: int, code: str, **values: object) -> None:
        super().__init__(code)
        self.status = status
        self.sentence = RunError(f"inference.error_{code}", **values)


def create_app(served: ServedModel, scheduler: Scheduler, token: str) -> Starlette:
    """The server's routes over one model."""
    api = _Api(served, scheduler, token)
    routes = [
        Route("/health", api.health),
        Route("/v1/models", api.models),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/load_lora_adapter", api.load_adapter, methods=["POST"]),
    ]
    handlers: Any = {RequestError: _refuse, RunError: _refuse, Exception: _refuse}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Api:
    def __init__(self, served: ServedModel, scheduler: Scheduler, token: str) -> None:
        self._served = served
        self._scheduler = scheduler
        self._expected = f"Bearer {token}".encode()

    async def health(self, request: Request) -> Response:
        return JSONResponse({"state": "ready"})

    async def models(self, request: Request) -> Response:
        self._authorize(request)
        names = [BASE, *self._served.known]
        cards = [
            {
                "id": name,
                "object": "model",
                "owned_by": "oboe",
                "parent": None if name == BASE else BASE,
                "root": self._served.base_model if name == BASE else str(self._served.known[name]),
                "untrained": self._served.untrained(name),
            }
            for name in names
        ]
        return JSONResponse({"object": "list", "data": cards})

    async def load_adapter(self, request: Request) -> Response:
        self._authorize(request)
        wanted = _parsed(LoadRequest, await _json(request))
        if wanted.lora_name == BASE:
            raise RequestError(400, "model_name_taken", model=BASE)
        known = self._served.known
        if known.get(wanted.lora_name, Path(wanted.lora_path)) != Path(wanted.lora_path):
            raise RequestError(400, "model_name_taken", model=wanted.lora_name)
        was_known = wanted.lora_name in known
        known[wanted.lora_name] = Path(wanted.lora_path)
        try:
            await asyncio.wrap_future(self._scheduler.load(wanted.lora_name))
        except RunError:
            if not was_known:
                del known[wanted.lora_name]
            raise
        return JSONResponse({"loaded": wanted.lora_name, "untrained": self._served.untrained(wanted.lora_name)})

    async def chat(self, request: Request) -> Response:
        self._authorize(request)
        wanted = _parsed(ChatRequest, await _json(request))
        events: asyncio.Queue[Event] = asyncio.Queue()
        job = self._job(wanted, events)
        self._scheduler.submit(job)
        answer = _Answer(wanted.model, include_reasoning=bool(wanted.include_reasoning))
        try:
            if wanted.stream:
                first = await _next(events, request)
                return StreamingResponse(answer.stream(first, events, job), media_type="text/event-stream")
            return JSONResponse(await answer.whole(events, request))
        except BaseException:
            job.cancel()
            raise

    def _job(self, wanted: ChatRequest, events: "asyncio.Queue[Event]") -> Job:
        served = self._served
        if wanted.model != BASE and wanted.model not in served.known:
            raise RequestError(404, "model_unknown", model=wanted.model, known=", ".join([BASE, *served.known]))
        refused = [name for name in UNSUPPORTED if (wanted.model_extra or {}).get(name)]
        form = (wanted.model_extra or {}).get("response_format") or {}
        if refused or form.get("type", "text") != "text":
            raise RequestError(400, "parameter_unsupported", parameter=", ".join(refused or ["response_format"]))
        prompt_ids = served.prompt([message.model_dump() for message in wanted.messages], wanted.reasoning_effort)
        room = served.context_tokens - len(prompt_ids)
        if room < 1:
            raise RequestError(400, "question_too_long", tokens=len(prompt_ids), limit=served.context_tokens)
        limit = wanted.max_completion_tokens or wanted.max_tokens or served.default_max_tokens
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            with suppress(RuntimeError):  # the server has ended and its loop is closed: nobody listens
                loop.call_soon_threadsafe(events.put_nowait, event)

        return Job(
            model=wanted.model,
            prompt_ids=prompt_ids,
            max_tokens=min(limit, room),
            sampling=_sampling(wanted),
            splitter=served.splitter(prompt_ids),
            end_ids=served.end_ids,
            emit=emit,
        )

    def _authorize(self, request: Request) -> None:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), self._expected):
            raise RequestError(401, "token")


class _Answer:
    """Events of one job in OpenAI's words."""

    def __init__(self, model: str, *, include_reasoning: bool) -> None:
        # The fingerprint tells a client that reasoning is split off already.
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": "oboe",
        }
        self._include_reasoning = include_reasoning
        self._hidden = 0

    async def whole(self, events: "asyncio.Queue[Event]", request: Request) -> dict[str, Any]:
        while not isinstance(event := await _next(events, request), Finished):
            pass
        message = {"role": "assistant", "content": event.reply.answer}
        if self._include_reasoning:
            message["reasoning_content"] = event.reply.reasoning
        choice = {"index": 0, "message": message, "finish_reason": event.finish_reason}
        return {**self._head, "object": "chat.completion", "choices": [choice], **_extras(event)}

    async def stream(self, event: Event, events: "asyncio.Queue[Event]", job: Job) -> AsyncIterator[bytes]:
        """Server-sent events. The consumer going away closes this generator, which cancels the job."""
        try:
            yield self._line({"role": "assistant", "content": ""})
            while not isinstance(event, Finished):
                if isinstance(event, Exception):
                    yield b"data: " + _encoded(_error_object(event)[1]) + b"\n\n"
                    return
                if delta := self._delta(event):
                    yield self._line(delta)
                event = await events.get()
            yield self._line({}, finish_reason=event.finish_reason, **_extras(event))
            yield b"data: [DONE]\n\n"
        finally:
            job.cancel()

    def _delta(self, event: Delta) -> dict[str, Any]:
        self._hidden += event.hidden_tokens
        delta: dict[str, Any] = {"content": event.answer} if event.answer else {}
        if event.hidden_tokens:
            delta["reasoning_tokens"] = self._hidden
        if event.reasoning and self._include_reasoning:
            delta["reasoning_content"] = event.reasoning
        return delta

    def _line(self, delta: dict[str, Any], *, finish_reason: str | None = None, **extras: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": [choice], **extras}
        return b"data: " + _encoded(chunk) + b"\n\n"


def _extras(end: Finished) -> dict[str, Any]:
    usage = {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "reasoning_tokens": end.reply.reasoning_tokens,
    }
    timings = {"first_token_s": round(end.first_token_s, 4), "total_s": round(end.total_s, 4)}
    return {"usage": usage, "timings": timings, "reply_state": end.reply.state}


async def _next(events: "asyncio.Queue[Event]", request: Request) -> Delta | Finished:
    """The next event; raises the job's failure, or RequestError 499 when nobody listens any more."""
    while True:
        try:
            event = await asyncio.wait_for(events.get(), DISCONNECT_POLL_S)
        except TimeoutError:
            if await request.is_disconnected():
                raise RequestError(499, "client_gone") from None
            continue
        if isinstance(event, Exception):
            raise event
        return event


def _sampling(wanted: ChatRequest) -> Sampling:
    if not wanted.temperature:
        return Sampling()  # greedy: neither top_p nor seed changes anything, so all such questions fit together
    return Sampling(wanted.temperature, 1.0 if wanted.top_p is None else wanted.top_p, wanted.seed)


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except ValueError:
        raise RequestError(400, "request_invalid", problem="the body is not JSON") from None


def _parsed(model: type[Asked], body: object) -> Asked:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestError(400, "request_invalid", problem=f"{place}: {first['msg']}") from None


def _error_object(error: Exception) -> tuple[int, dict[str, Any]]:
    sentence = error.sentence if isinstance(error, RequestError) else error
    if not isinstance(sentence, RunError):
        sentence = RunError("inference.error_unexpected", kind=type(error).__name__)
    status = error.status if isinstance(error, RequestError) else 500 if sentence.code in SERVER_FAULTS else 400
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"message": str(sentence), "type": kind, "param": None, "code": sentence.code, "values": sentence.values}
    return status, {"error": body}


async def _refuse(request: Request, error: Exception) -> Response:
    status, body = _error_object(error)
    return JSONResponse(body, status)


def _encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
