"""A small OpenAI-like server on loopback for tests: answers by a script, counts what it was asked, stops by itself."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Status code, headers and body of one answer.
Answer = tuple[int, dict[str, str], str]


@dataclass
class Server:
    """What a test sees of the server."""

    base_url: str = ""
    requests: list[dict] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    # Positions in `requests` whose whole reply the client has taken: it went on to ask over the same connection.
    taken: list[int] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    # Set by the test's end: a request that hangs waits for it, and no longer than the bound below.
    released: threading.Event = field(default_factory=threading.Event)

    def hang(self) -> None:
        """Keep a request waiting until the test ends."""
        self.released.wait(20)


def completion(content: str, tokens: int = 30) -> Answer:
    """A chat completion with this content."""
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": tokens - 10, "total_tokens": tokens},
    }
    return 200, {}, json.dumps(body)


def error(status: int, message: str, **headers: str) -> Answer:
    """An OpenAI error object."""
    return status, headers, json.dumps({"error": {"message": message, "type": "error", "code": None}})


def wordings(request: dict) -> Answer:
    """A good reply to the prompt in a request, as a model would write it."""
    prompt = request["messages"][0]["content"]
    question = re.findall(r"^質問: (.*)$", prompt, re.MULTILINE)[-1]
    reply = {
        "questions": [f"{question}（言い換え{number}）" for number in range(1, 9)],
        "answer": "詳しい答えです。",
        "reverse_questions": [f"{question}の逆向き{number}" for number in range(1, 9)],
        "reverse_answers": ["短い答えです。", "逆向きの詳しい答えです。"],
    }
    return completion(json.dumps(reply, ensure_ascii=False))


def _handler(state: Server, script: Callable[[Server, dict], Answer | None]) -> type[BaseHTTPRequestHandler]:
    """Answers requests by the script and counts them."""
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # a connection serves many requests
        wbufsize = -1  # head and body go out together; apart, the kernel would hold the body back
        replied: int | None = None

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with counting:
                if self.replied is not None:
                    state.taken.append(self.replied)
                self.replied = None
                position = len(state.requests)
                state.requests.append(request)
                state.authorizations.append(self.headers.get("Authorization", ""))
                state.under_way += 1
                state.most_under_way = max(state.most_under_way, state.under_way)
            try:
                answer = script(state, request)
            finally:
                with counting:
                    state.under_way -= 1
            if answer is None:
                self.close_connection = True
                return
            self.answer(*answer)
            if answer[0] == 200:
                self.replied = position

        def answer(self, status: int, headers: dict[str, str], body: str) -> None:
            data = body.encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Tests read what they need from the state."""

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A client that dies in the middle of a reply is what some tests are about."""


@contextmanager
def openai_server(script: Callable[[Server, dict], Answer | None]) -> Iterator[Server]:
    """Serve `script` for chat completions until the block ends; where it gives no answer the connection drops."""
    state = Server()

    server = _Quiet(("127.0.0.1", 0), _handler(state, script))
    state.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
