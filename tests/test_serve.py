"""The model server as a process, over a random base with three adapters: what it answers and when it ends."""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import QUESTION, TOKEN, Server, make_adapter, running, spawn, wait_for
from tests.worker.tiny import make_tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    return {
        "run.1": make_adapter(base, root / "one", seed=1),
        "run.2": make_adapter(base, root / "two", seed=2),
        "fresh": make_adapter(base, root / "fresh", seed=3, fresh=True),
        "gone": root / "gone",
    }


@pytest.fixture(scope="module")
def server(base: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), base, adapters) as server:
        yield server


def together(server: Server, models: list[str], **fields: object) -> dict[str, str]:
    answers: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: answers.update({name: server.answer(name, **fields)}))
        for name in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def leave(server: Server, model: str, after: int) -> None:
    """Ask for a long answer and go away after some pieces of it."""
    body = {"model": model, "messages": QUESTION, "max_tokens": 600, "stream": True}
    with server.client() as client, client.stream("POST", "/chat/completions", json=body) as response:
        lines = response.iter_lines()
        for _ in range(after):
            next(lines, None)


def events_of(response: httpx.Response) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_base_and_adapters_each_say_their_own(server: Server) -> None:
    answers = {name: server.answer(name) for name in ("base", "run.1", "run.2", "fresh")}
    assert len({answers["base"], answers["run.1"], answers["run.2"]}) == 3
    assert answers["fresh"] == answers["base"]


def test_answers_in_one_batch_are_those_of_separate_questions(server: Server) -> None:
    names = ["base", "run.1", "run.2"]
    alone = {name: server.answer(name) for name in names}
    assert server.status is not None and server.status.mixed_batches
    assert together(server, names) == alone


def test_the_reply_carries_what_openai_and_the_arena_need(server: Server) -> None:
    reply = server.chat("base", max_tokens=7).json()
    assert reply["object"] == "chat.completion" and reply["model"] == "base"
    assert reply["choices"][0]["finish_reason"] in ("stop", "length")
    usage = reply["usage"]
    assert (
        usage["completion_tokens"] <= 7 and usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    )
    assert reply["reply_state"] == "ok" and usage["reasoning_tokens"] == 0
    assert 0 < reply["timings"]["first_token_s"] <= reply["timings"]["total_s"]


def test_a_stream_adds_up_to_the_whole_answer(server: Server) -> None:
    body = {"model": "run.1", "messages": QUESTION, "max_tokens": 16, "stream": True}
    with server.client() as client, client.stream("POST", "/chat/completions", json=body) as response:
        events = events_of(response)
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("content", "") for delta in deltas) == server.answer("run.1")
    assert events[-1]["choices"][0]["finish_reason"] and events[-1]["usage"]["completion_tokens"] <= 16


def test_the_openai_client_reads_both_kinds_of_answer(server: Server) -> None:
    from openai import OpenAI

    with OpenAI(base_url=server.base_url, api_key=TOKEN, http_client=httpx.Client(trust_env=False)) as client:
        assert [card.id for card in client.models.list()] == ["base", "run.1", "run.2", "fresh", "gone"]
        whole = client.chat.completions.create(model="base", messages=QUESTION, max_tokens=16)
        pieces = client.chat.completions.create(model="base", messages=QUESTION, max_tokens=16, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content


def test_a_seed_repeats_a_sampled_answer_also_beside_others(server: Server) -> None:
    sampled = {"temperature": 1.0, "seed": 7}
    first = server.answer("run.1", **sampled)
    assert first != server.answer("run.1")
    assert together(server, ["base", "run.1", "run.2"], **sampled)["run.1"] == first


def test_a_question_that_nobody_waits_for_any_more_leaves_the_tuned_answers_tuned(server: Server) -> None:
    names = ["base", "run.1", "run.2"]
    alone = {name: server.answer(name) for name in names}
    chance = random.Random(3)
    for _ in range(6):
        leaving = [threading.Thread(target=leave, args=(server, name, chance.randrange(8))) for name in names[:2]]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(60)
        assert together(server, names) == alone


def test_no_hook_survives_and_every_cancel_is_checked(server: Server) -> None:
    assert "no longer answers" not in server.log


def test_the_models_list_says_which_adapter_changes_nothing(server: Server) -> None:
    server.answer("fresh")
    with server.client() as client:
        cards = {card["id"]: card for card in client.get("/models").json()["data"]}
    assert cards["fresh"]["untrained"] and not cards["run.1"]["untrained"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"model": "nobody"}, 404, "There is no model nobody"),
        ({"model": "gone"}, 400, "has no adapter_config.json"),
        ({"messages": [{"role": "user", "content": "長い" * 2000}]}, 400, "Shorten the question"),
        ({"messages": []}, 400, "messages"),
        ({"temperature": -1}, 400, "temperature"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"stream": True, "model": "gone"}, 400, "has no adapter_config.json"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_sentence(
    server: Server, fields: dict, status: int, said: str
) -> None:
    response = server.chat(**{"model": "base", **fields})
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_only_who_has_the_token_is_let_in(server: Server) -> None:
    with server.client("wrong") as client:
        assert client.get("/models").status_code == 401
        assert client.post("/chat/completions", content=b"{").status_code == 401
    with server.client() as client:
        assert client.post("/chat/completions", content=b"{").status_code == 400
        assert client.get(server.base_url.replace("/v1", "/health")).json() == {"state": "ready"}


def test_an_adapter_is_added_while_the_server_runs(server: Server, base: Path, tmp_path: Path) -> None:
    made = make_adapter(base, tmp_path / "late", seed=9)
    with server.client() as client:
        added = client.post("/load_lora_adapter", json={"lora_name": "日本 語/../x", "lora_path": str(made)})
        assert added.json() == {"loaded": "日本 語/../x", "untrained": False}
        again = client.post("/load_lora_adapter", json={"lora_name": "run.1", "lora_path": str(made)})
        assert again.status_code == 400
    assert server.answer("日本 語/../x") not in (server.answer("base"), server.answer("run.1"))


def test_an_adapter_of_another_base_is_refused(server: Server, adapters: dict[str, Path], tmp_path: Path) -> None:
    for file in adapters["run.1"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "unsloth/gpt-oss-20b"}), "utf-8"
    )
    with server.client() as client:
        refused = client.post("/load_lora_adapter", json={"lora_name": "other", "lora_path": str(tmp_path)})
    assert refused.status_code == 400 and "was trained on unsloth/gpt-oss-20b" in refused.json()["error"]["message"]
    assert server.chat("other").status_code == 404


def test_an_adapter_that_does_not_fit_leaves_the_others_as_they_were(
    server: Server, adapters: dict[str, Path], tmp_path: Path
) -> None:
    before = {name: server.answer(name) for name in ("base", "run.1")}
    for file in adapters["run.1"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "r": 4}), "utf-8")
    with server.client() as client:
        refused = client.post("/load_lora_adapter", json={"lora_name": "misfit", "lora_path": str(tmp_path)})
    assert refused.status_code == 400 and "cannot be loaded" in refused.json()["error"]["message"]
    assert {name: server.answer(name) for name in before} == before


def test_the_server_ends_when_nobody_asks_and_leaves_no_status(base: Path, tmp_path: Path) -> None:
    with running(tmp_path, base, {}, idle_timeout_s=2) as server:
        wait_for(lambda: server.process.poll() is not None, "the server's end")
        assert server.process.returncode == 0 and server.status is None


def test_the_server_ends_with_the_process_that_started_it(base: Path, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with running(tmp_path, base, {}, parent_pid=parent.pid) as server:
        parent.kill()  # and it stays a zombie, as a killed child of the studio would
        wait_for(lambda: server.process.poll() is not None, "the server's end")
    parent.wait(20)
    assert server.status is None


def test_a_base_that_does_not_exist_is_a_sentence_in_the_status(tmp_path: Path) -> None:
    server = spawn(tmp_path, tmp_path / "nowhere", {})
    assert server.process.wait(120) == 1
    assert server.status is not None and server.status.state == "failed"
    assert "holds no config.json" in server.status.reason and server.status.reason_code.startswith("worker.")


def test_the_server_listens_on_loopback_only(server: Server) -> None:
    import psutil

    listening = [c.laddr.ip for c in psutil.Process(server.process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_the_status_file_names_the_process(server: Server) -> None:
    assert server.status is not None and server.status.pid == server.process.pid != os.getpid()
    assert server.status.reasoning_format == "harmony"
