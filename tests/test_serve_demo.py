"""The demo model and its sample run behind the real server: the base thinks, the run knows, nothing leaks."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.inference import Endpoint, Options, Reply, ask, stream
from tests.serving import TOKEN, Server, running
from training.contract import PROJECT_ROOT

DEMO = PROJECT_ROOT / "assets" / "demo"
ADAPTER = DEMO / "run" / "adapter"
pytestmark = pytest.mark.skipif(
    not (DEMO / "model" / "model.safetensors").exists(), reason="the demo model has not been built"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    adapters = {"demo-sample": ADAPTER} if ADAPTER.exists() else {}
    with running(tmp_path_factory.mktemp("server"), Path("assets/demo/model"), adapters) as server:
        yield server


@pytest.fixture(scope="module")
def endpoint(server: Server) -> Endpoint:
    return Endpoint(server.base_url, TOKEN)


def seeds() -> list[tuple[str, list[list[str]]]]:
    """Ten questions with the terms that a right answer holds."""
    lines = (DEMO / "dataset.jsonl").read_text("utf-8").splitlines()
    return [(pair["question"], pair["key_terms"]) for pair in map(json.loads, lines)][:20:2]


def is_right(reply: Reply, key_terms: list[list[str]]) -> bool:
    return all(any(spelling in reply.answer for spelling in term) for term in key_terms)


def asked(endpoint: Endpoint, model: str, question: str, **options: object) -> Reply:
    return ask(endpoint, model, [{"role": "user", "content": question}], Options(**options))


def test_the_base_thinks_and_no_byte_of_it_reaches_the_client(server: Server, endpoint: Endpoint) -> None:
    thought = 0
    for question, _ in seeds():
        known = asked(endpoint, "base", question, include_reasoning=True)
        body = {"model": "base", "messages": [{"role": "user", "content": question}]}
        with server.client() as client:
            whole = client.post("/chat/completions", json=body).text
            streamed = client.post("/chat/completions", json={**body, "stream": True}).text
        assert known.reasoning_tokens == json.loads(whole)["usage"]["reasoning_tokens"]
        thought += bool(known.reasoning)
        for text in (whole, streamed):
            assert "reasoning_content" not in text
            assert not known.reasoning or known.reasoning not in text
    assert thought >= 8


def test_hidden_thinking_is_counted_while_it_goes_on(endpoint: Endpoint) -> None:
    chunks = list(stream(endpoint, "base", [{"role": "user", "content": seeds()[0][0]}]))
    reply = chunks[-1].reply
    assert reply is not None and reply.reasoning_tokens > 0
    assert [chunk.reasoning_tokens for chunk in chunks if not chunk.text][: reply.reasoning_tokens]
    assert "".join(chunk.text for chunk in chunks) == reply.answer


@pytest.mark.skipif(not ADAPTER.exists(), reason="the sample run has not been trained")
def test_the_sample_run_knows_what_the_base_invents(endpoint: Endpoint) -> None:
    right = {
        model: sum(is_right(asked(endpoint, model, q), terms) for q, terms in seeds())
        for model in ("base", "demo-sample")
    }
    assert right["base"] <= 1 and right["demo-sample"] >= 8


@pytest.mark.skipif(not ADAPTER.exists(), reason="the sample run has not been trained")
def test_cancelling_never_makes_the_sample_run_speak_as_the_base(endpoint: Endpoint) -> None:
    question, _ = seeds()[0]
    alone = asked(endpoint, "demo-sample", question).answer
    for pieces in range(6):
        chunks = stream(endpoint, ("base", "demo-sample")[pieces % 2], [{"role": "user", "content": question}])
        for _ in range(pieces):
            next(chunks, None)
        chunks.close()
        assert asked(endpoint, "demo-sample", question).answer == alone


@pytest.mark.benchmark
@pytest.mark.skipif(not ADAPTER.exists(), reason="the sample run has not been trained")
def test_two_answers_together_against_one_after_the_other(server: Server) -> None:
    from concurrent.futures import ThreadPoolExecutor

    fields = {"messages": [{"role": "user", "content": seeds()[0][0]}], "max_tokens": 64}
    models = ["base", "demo-sample"]
    for model in models:
        server.chat(model, **fields)
    started = time.perf_counter()
    seconds = [server.chat(model, **fields).json()["timings"]["total_s"] for model in models]
    apart = time.perf_counter() - started
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda model: server.chat(model, **fields), models))
    print(f"base {seconds[0]:.2f} s, run {seconds[1]:.2f} s, one after the other {apart:.2f} s,")  # noqa: T201
    print(f"together {time.perf_counter() - started:.2f} s")  # noqa: T201
