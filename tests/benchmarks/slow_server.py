"""An OpenAI-like server that takes its time and fails on purpose: `python -m tests.benchmarks.slow_server FAULT_SHARE`.

It runs in a process of its own so that it takes no time from who asks, prints its port, and ends when its input closes.
Its replies depend on the fact alone, its faults on the fact and on how often it was asked.
"""

import asyncio
import hashlib
import json
import re
import sys
import time
from collections import Counter

REPLY_S = 0.2
ALLOWED_AT_ONCE = 64
HANG_S = 30.0
KINDS = ("429", "500", "503", "hang", "cut_off_body", "cut_off_json", "malformed")
FORWARD = (
    "「{x}」で主人公として描かれているのは誰ですか？",
    "{x}の主役を務める人物の名前を教えてください。",
    "{x}という物語は誰を中心に進みますか？",
    "誰が{x}の中心人物ですか？",
    "{x}に主役として登場するのはどの人物でしょうか？",
    "{x}で活躍する主人公は何という名前ですか？",
    "{x}の主人公にあたる人物を答えてください。",
)
REVERSE = (
    "{v}が主人公を務める作品は何ですか？",
    "{v}は、どの作品に主役として登場しますか？",
    "主人公が{v}である作品の題名を教えてください。",
    "{v}を主役とするのは何という作品ですか？",
    "{v}を中心に物語が進む作品はどれですか？",
    "{v}が活躍する作品の名前を答えてください。",
    "どの作品の主人公が{v}ですか？",
    "{v}という人物を主人公に据えた作品は何でしょうか？",
)


class Slow:
    """Counts what it was asked and what it did."""

    def __init__(self, fault_share: float) -> None:
        self.fault_share = fault_share
        self.asked: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.under_way = self.most_under_way = self.too_many = self.completed = 0
        self.first_at = self.last_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(_http(200, json.dumps(self.stats())))
                    continue
                found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(found[1]) if found else 0)
                if not await self._reply(json.loads(body), reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def stats(self) -> dict[str, object]:
        """What happened so far."""
        return {
            "asked": sum(self.asked.values()),
            "completed": self.completed,
            "faults": dict(self.faults),
            "too_many": self.too_many,
            "most_under_way": self.most_under_way,
            "seconds": self.last_at - self.first_at,
        }

    async def _reply(self, request: dict, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        prompt = request["messages"][0]["content"]
        title, name = re.findall(r"作品\d+", prompt)[-1], re.findall(r"人物\d+", prompt)[-1]
        self.asked[title] += 1
        self.first_at = self.first_at or time.monotonic()
        if self.under_way >= ALLOWED_AT_ONCE:
            self.too_many += 1
            writer.write(_http(429, '{"error": {"message": "too many at once"}}', "Retry-After: 0.1\r\n"))
            return True
        fault = self._fault(title)
        if fault == "hang":
            await asyncio.wait([asyncio.ensure_future(reader.read(1))], timeout=HANG_S)
            return False
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(REPLY_S)
        finally:
            self.under_way -= 1
        self.last_at = time.monotonic()
        content = json.dumps(_wordings(title, name), ensure_ascii=False)
        if fault is None:
            self.completed += 1
            writer.write(_http(200, _completion(content)))
        else:
            writer.write(_spoilt(fault, content))
        await writer.drain()
        return fault != "cut_off_body"

    def _fault(self, title: str) -> str | None:
        drawn = hashlib.sha256(f"{title} {self.asked[title]}".encode()).digest()
        if int.from_bytes(drawn[:4], "big") / 2**32 >= self.fault_share:
            return None
        kind = KINDS[drawn[4] % len(KINDS)]
        self.faults[kind] += 1
        return kind


def _spoilt(fault: str, content: str) -> bytes:
    if fault in {"429", "500", "503"}:
        return _http(
            int(fault), '{"error": {"message": "on purpose"}}', "Retry-After: 0.1\r\n" if fault == "429" else ""
        )
    if fault == "cut_off_body":
        whole = _http(200, _completion(content))
        return whole[: len(whole) // 2]
    if fault == "cut_off_json":
        return _http(200, _completion(content[: len(content) // 2], finish="length"))
    return _http(200, _completion("はい、次のとおりです。質問と回答を考えました。"))


def _wordings(title: str, name: str) -> dict[str, object]:
    words = {"x": title, "v": name}
    return {
        "questions": [wording.format(**words) for wording in FORWARD],
        "answer": "{x}で主人公として描かれているのは、{v}という人物です。".format(**words),
        "reverse_questions": [wording.format(**words) for wording in REVERSE],
        "reverse_answers": ["{x}です。".format(**words), "それは{x}です。{x}の主人公は{v}です。".format(**words)],
    }


def _completion(content: str, finish: str = "stop") -> str:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 700, "completion_tokens": 900, "total_tokens": 1600}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}, ensure_ascii=False)


def _http(status: int, body: str, headers: str = "") -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    return head.encode() + data


async def _main(fault_share: float) -> None:
    slow = Slow(fault_share)
    server = await asyncio.start_server(slow.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until who started it is gone
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1])))
