"""The client of OpenAI-compatible servers, against real servers on loopback: good, silent, dying and foreign ones."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from studio.errors import InferenceError
from studio.i18n import sentences
from studio.inference import Endpoint, Options, ask, models, stream

QUESTION = [{"role": "user", "content": "主人公は誰ですか？"}]
Answer = Callable[[BaseHTTPRequestHandler, dict], None]


@contextmanager
def serving(answer: Answer, **settings: float) -> Iterator[Endpoint]:
    """A server on loopback that answers as told, with what was posted."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, {})

        def do_POST(self) -> None:
            answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", token="key", **settings)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def send(handler: BaseHTTPRequestHandler, status: int, body: str, kind: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body.encode())))
    handler.end_headers()
    handler.wfile.write(body.encode())


def events(deltas: list[dict], **last: object) -> str:
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    reason = last.pop("finish_reason", "stop")
    fingerprint = last.pop("system_fingerprint", None)
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **last})
    for chunk in chunks:
        chunk["system_fingerprint"] = fingerprint
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def streaming(deltas: list[dict], **last: object) -> Answer:
    return lambda handler, body: send(handler, 200, events(deltas, **dict(last)), "text/event-stream")


def content(text: str) -> list[dict]:
    return [{"content": char} for char in text]


def refused(answer: Answer, model: str = "m", **settings: float) -> InferenceError:
    with serving(answer, **settings) as endpoint, pytest.raises(InferenceError) as caught:
        ask(endpoint, model, QUESTION)
    return caught.value


def test_an_answer_of_our_server_streams_with_the_count_of_hidden_tokens() -> None:
    deltas = [{"reasoning_tokens": 1}, {"reasoning_tokens": 2}, {"content": "東"}, {"content": "京"}]
    usage = {"completion_tokens": 9, "reasoning_tokens": 2}
    ours = streaming(deltas, usage=usage, reply_state="ok", system_fingerprint="oboe")
    with serving(ours) as endpoint:
        chunks = list(stream(endpoint, "base", QUESTION))
    assert [chunk.reasoning_tokens for chunk in chunks[:2]] == [1, 2]
    assert "".join(chunk.text for chunk in chunks) == "東京"
    reply = chunks[-1].reply
    assert reply is not None and (reply.answer, reply.tokens, reply.reasoning_tokens) == ("東京", 9, 2)
    assert reply.seconds >= reply.first_token_s > 0


def test_what_our_server_sends_is_shown_as_it_is() -> None:
    ours = streaming(content("<think>タグ</think>"), reply_state="ok", system_fingerprint="oboe")
    with serving(ours) as endpoint:
        assert ask(endpoint, "gpt-oss", QUESTION).answer == "<think>タグ</think>"


def test_a_reply_cut_in_its_reasoning_has_that_state() -> None:
    ours = streaming(
        [{"reasoning_tokens": 5}],
        usage={"completion_tokens": 5, "reasoning_tokens": 5},
        reply_state="truncated_in_analysis",
        finish_reason="length",
        system_fingerprint="oboe",
    )
    with serving(ours) as endpoint:
        reply = ask(endpoint, "base", QUESTION)
    assert (reply.answer, reply.reply_state) == ("", "truncated_in_analysis")


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("any", "<think>ひみつ</think>東京です。"),
        ("any", "<|channel|>analysis<|message|>ひみつ<|end|><|start|>assistant<|channel|>final<|message|>東京です。"),
        ("openai/gpt-oss-20b", "analysisひみつassistantfinal東京です。"),
        ("any", "東京です。"),
    ],
)
def test_reasoning_that_a_foreign_server_leaves_in_the_text_is_never_shown(model: str, text: str) -> None:
    with serving(streaming(content(text))) as endpoint:
        chunks = list(stream(endpoint, model, QUESTION))
        asked_for = ask(endpoint, model, QUESTION, Options(include_reasoning=True))
    assert "".join(chunk.text for chunk in chunks) == "東京です。"
    assert chunks[-1].reply is not None and chunks[-1].reply.answer == "東京です。"
    assert "ひみつ" not in repr(chunks)
    assert asked_for.reasoning == ("ひみつ" if "ひみつ" in text else "")


def test_an_opening_tag_in_the_prompt_is_noticed_at_the_end() -> None:
    with serving(streaming(content("ひみつ</think>東京です。"))) as endpoint:
        assert ask(endpoint, "any", QUESTION).answer == "東京です。"


def test_reasoning_in_a_field_of_its_own_is_counted_and_left_out() -> None:
    foreign = streaming([{"reasoning_content": "ひ"}, {"reasoning_content": "み"}, {"content": "東京"}])
    with serving(foreign) as endpoint:
        reply = ask(endpoint, "any", QUESTION)
        asked_for = ask(endpoint, "any", QUESTION, Options(include_reasoning=True))
    assert (reply.answer, reply.reasoning_tokens, reply.reasoning) == ("東京", 2, "")
    assert asked_for.reasoning == "ひみ"


def test_a_foreign_reply_without_answer_was_cut_in_its_reasoning() -> None:
    foreign = streaming([{"reasoning_content": "ひみつ"}], finish_reason="length")
    with serving(foreign) as endpoint:
        assert ask(endpoint, "any", QUESTION).reply_state == "truncated_in_analysis"


def test_a_server_that_cannot_stream_is_understood() -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "東京"}, "finish_reason": "stop"}]}
    with serving(lambda handler, body: send(handler, 200, json.dumps(whole))) as endpoint:
        assert ask(endpoint, "any", QUESTION).answer == "東京"


def test_options_reach_the_server_and_what_is_not_chosen_is_left_out() -> None:
    seen: list[dict] = []

    def answer(handler: BaseHTTPRequestHandler, body: dict) -> None:
        seen.append(body | {"key": handler.headers["Authorization"]})
        streaming(content("x"))(handler, body)

    with serving(answer) as endpoint:
        ask(endpoint, "m", QUESTION, Options(max_new_tokens=5, temperature=0.0, reasoning_effort="low"))
    chosen = {"max_tokens": 5, "temperature": 0.0, "reasoning_effort": "low"}
    assert seen == [{"model": "m", "messages": QUESTION, "stream": True, "key": "Bearer key", **chosen}]


def test_the_models_of_a_server_are_listed() -> None:
    body = json.dumps({"object": "list", "data": [{"id": "base"}, {"id": "run"}]})
    with serving(lambda handler, _: send(handler, 200, body)) as endpoint:
        assert models(endpoint) == ["base", "run"]


def test_a_server_that_dies_in_the_middle_is_a_sentence() -> None:
    def die(handler: BaseHTTPRequestHandler, body: dict) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        handler.wfile.write(events([{"content": "東"}]).split("data: ")[1].join(["data: ", ""]).encode())
        handler.close_connection = True

    with serving(die) as endpoint, pytest.raises(InferenceError) as caught:
        for chunk in stream(endpoint, "m", QUESTION):
            assert chunk.text == "東"
    assert caught.value.key == "inference.error_died"


def test_a_stream_that_just_stops_is_not_taken_for_an_answer() -> None:
    cut = events([{"content": "東"}]).split("data: ")[1]
    error = refused(lambda handler, body: send(handler, 200, "data: " + cut, "text/event-stream"))
    assert error.key == "inference.error_died"


def test_a_server_that_hangs_is_given_up_after_the_time_allowed() -> None:
    released = threading.Event()
    started = time.monotonic()
    error = refused(lambda handler, body: released.wait(20) and None, silence_timeout_s=0.3)
    released.set()
    assert error.key == "inference.error_timeout" and time.monotonic() - started < 10


def test_nobody_there_is_a_sentence() -> None:
    with serving(lambda handler, body: None) as endpoint:
        pass
    with pytest.raises(InferenceError) as caught:
        models(endpoint)
    assert caught.value.key == "inference.error_unreachable"


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://127.0.0.1/v1", "http://[", ""])
def test_an_address_that_is_none_is_a_sentence(address: str) -> None:
    with pytest.raises(InferenceError) as caught:
        models(Endpoint(address))
    assert caught.value.key == "inference.error_address"


@pytest.mark.parametrize(
    ("status", "body", "kind", "key"),
    [
        (200, "<html>hello</html>", "text/html", "inference.error_not_openai"),
        (200, "[1]", "application/json", "inference.error_not_openai"),
        (200, "{}", "application/json", "inference.error_not_openai"),
        (404, "not found", "text/plain", "inference.error_not_openai"),
        (401, "no", "text/plain", "inference.error_token"),
        (401, '{"error": {"message": "Incorrect API key"}}', "application/json", "inference.error_token"),
        (429, '{"error": {"message": "slow down"}}', "application/json", "inference.error_foreign"),
        (400, '{"error": "plain words"}', "application/json", "inference.error_foreign"),
        (
            404,
            '{"error": {"code": "inference.error_model_unknown", "values": {"model": "m", "known": "b"}}}',
            "application/json",
            "inference.error_model_unknown",
        ),
        (200, 'data: {"error": {"message": "broken"}}\n\n', "text/event-stream", "inference.error_foreign"),
        (200, "data: nonsense\n\n", "text/event-stream", "inference.error_not_openai"),
    ],
)
def test_a_refusal_is_a_sentence_in_both_languages(status: int, body: str, kind: str, key: str) -> None:
    error = refused(lambda handler, _: send(handler, status, body, kind))
    assert error.key == key
    assert error.text("ja") != error.text("en") and "{" not in error.text("ja") + error.text("en")


def test_closing_a_stream_early_tells_the_server() -> None:
    gone = threading.Event()

    def endless(handler: BaseHTTPRequestHandler, body: dict) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        piece = events([{"content": "x"}]).split("data: ")[1]
        try:
            while not gone.is_set():
                handler.wfile.write(f"data: {piece}".encode())
        except OSError:
            gone.set()

    with serving(endless) as endpoint:
        chunks = stream(endpoint, "m", QUESTION)
        next(chunks)
        chunks.close()
        assert gone.wait(10)


def test_both_languages_have_the_same_sentences_with_the_same_values() -> None:
    import string

    for key, english in sentences("en").items():
        if key.startswith("inference."):
            fields = [
                {name for _, name, _, _ in string.Formatter().parse(s) if name} for s in (english, sentences("ja")[key])
            ]
            assert fields[0] == fields[1], key
