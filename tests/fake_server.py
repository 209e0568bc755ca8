"""A model server of a few lines: it loads nothing and knows adapters by name. Its base's folder name is its manner."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from training.contract import replace_text

FOLDER = Path(sys.argv[1])
CONFIG = json.loads((FOLDER / "config.json").read_bytes())
KNOWN = dict(CONFIG["adapters"])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer({"data": [{"id": name} for name in ["base", *KNOWN]]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        KNOWN[asked["lora_name"]] = asked["lora_path"]
        self.answer({})

    def answer(self, value: object) -> None:
        right = self.headers["Authorization"] == f"Bearer {CONFIG['token']}"
        body = json.dumps(value if right else {}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


def say(state: str, **known: object) -> None:
    me = psutil.Process()
    status = {"state": state, "pid": me.pid, "pid_started": me.create_time(), "base_model": CONFIG["base_model"]}
    replace_text(FOLDER / "status.json", json.dumps(status | known))


def main() -> None:
    manner = Path(CONFIG["base_model"]).name
    say("loading")
    if manner == "fails":
        say("failed", reason="x", reason_code="worker.error_unsloth_needs_cuda", reason_values={})
        return
    if manner == "dies":
        os.write(2, b"RuntimeError: the base is damaged\n")
        os._exit(3)
    deadline = time.monotonic() + 60
    while manner == "slow" and not (FOLDER / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 0.2
    say("ready", port=server.server_port)
    while psutil.pid_exists(CONFIG["parent_pid"]) and time.monotonic() < deadline:
        server.handle_request()


if __name__ == "__main__":
    main()
