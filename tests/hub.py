"""A hub on loopback that serves tiny repositories under any id, and misbehaves on request.

A model's id is its key in `repos`; a dataset's begins with datasets/, as in the addresses of its files.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 1 << 16


class Hub:
    """`repos` maps an id to its files. `cut_after` ends each GET of a large file after so many bytes, `cuts` times."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.cut_after, self.cuts = 0, 0
        self.fast = threading.Event()  # cleared: bytes trickle
        self.fast.set()
        self.gets: list[tuple[str, str]] = []  # file name and its Range
        self.url = ""

    def entries(self, repo: str) -> list[dict[str, object]]:
        return [
            {
                "type": "file",
                "path": name,
                "rfilename": name,
                "size": len(data),
                "oid": etag(data),
                "blobId": etag(data),
            }
            for name, data in self.repos[repo].items()
        ]


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        api, repo, rest = self.asked()
        if repo not in self.hub.repos:
            return self.refuse(404, "RepoNotFound")
        if not api and repo in self.hub.gated:
            return self.refuse(403, "GatedRepo")
        if not api:
            name = "/".join(rest[2:])
            data = self.hub.repos[repo].get(name)
            return self.refuse(404, "EntryNotFound") if data is None else self.send_file(name, data)
        entries = self.hub.entries(repo)
        return self.send_json(entries if "tree" in rest else {"id": repo, "sha": COMMIT, "siblings": entries})

    def do_POST(self) -> None:
        """What is known of some paths of a dataset."""
        _, repo, _ = self.asked()
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).get("paths", [])
        self.send_json([entry for entry in self.hub.entries(repo) if entry["path"] in asked])

    def asked(self) -> tuple[bool, str, list[str]]:
        """Whether the API is asked, the repository's id, and what follows it."""
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        kind = parts[0] if parts[0] in ("models", "datasets") else ""
        parts = parts[1:] if kind else parts
        return api, "/".join([*(["datasets"] if kind == "datasets" else []), *parts[:2]]), parts[2:]

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str, data: bytes) -> None:
        wanted = self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first or 0), int(last) + 1 if last else len(data)
        end = min(end, len(data))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{etag(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.hub.gets.append((name, wanted))
            self.send_body(data[start:end])

    def send_body(self, data: bytes) -> None:
        if self.hub.cuts and len(data) > self.hub.cut_after:
            self.hub.cuts -= 1
            self.wfile.write(data[: self.hub.cut_after])
            self.close_connection = True
            return
        for position in range(0, len(data), CHUNK):
            self.wfile.write(data[position : position + CHUNK])
            self.hub.fast.wait(0.05)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port, gone when the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that was killed is what the tests are about
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.fast.set()
        server.shutdown()
        server.server_close()
        thread.join()
