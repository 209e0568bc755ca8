"""What a base knows is asked of it, answer by answer, and survives whatever ends the asking."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from studio.datasets import Datasets
from studio.datasets.known import Asking, KnownFacts
from studio.errors import DatasetError, RunActive
from studio.store import open_store
from tests.openai_server import Server, completion, openai_server

BASE = "lab/base"


@dataclass
class Starter:
    """Hands out a server that runs already, or refuses."""

    base_url: str
    token: str = "secret"
    refusal: Exception | None = None

    def ensure(self, base_model: str, on_phase: Callable[[str], None]) -> "Starter":
        on_phase("ready")
        if self.refusal:
            raise self.refusal
        return self


@pytest.fixture
def datasets(tmp_path: Path) -> Iterator[Datasets]:
    store = open_store(tmp_path / "studio.db")
    datasets = Datasets(store)
    datasets.create("a")
    datasets.add_fact("a", "銀魂の主人公は誰ですか？", "銀魂の主人公は坂田銀時です。")
    datasets.add_fact("a", "銀魂の作者は誰ですか？", "空知英秋")
    datasets.add_fact("a", "銀魂の魅力を教えてください。", "笑いと涙が入り交じり、読む人を飽きさせないところです。")
    yield datasets
    store.close()


def ended(known: KnownFacts, name: str = "a") -> Asking:
    """What became of an asking, waited for with a bound."""
    limit = time.monotonic() + 30
    while known.status(name).active and time.monotonic() < limit:
        time.sleep(0.01)
    return known.status(name)


def answers(server: Server, request: dict) -> tuple[int, dict[str, str], str]:
    """Knows the protagonist and not the author."""
    return completion(
        "主人公は「坂田 銀時」です。" if "主人公" in request["messages"][0]["content"] else "尾田栄一郎です。"
    )


def test_one_click_tells_known_facts_from_unknown_ones(datasets: Datasets) -> None:
    with openai_server(answers) as server:
        known = KnownFacts(datasets, Starter(server.base_url))
        known.start("a", BASE)
        assert ended(known) == Asking("done", BASE, done=2, total=2)
        assert server.authorizations == ["Bearer secret"] * 2
        first, second, third = (fact.id for fact in datasets.facts("a"))
        found = known.answers("a", BASE, [first, second, third])
        assert {key: answer.known for key, answer in found.items()} == {first: True, second: False}
        (knowledge,) = known.knowledge("a")
        assert (knowledge.known, knowledge.unknown, knowledge.without_terms, knowledge.left) == (1, 1, 1, 0)
        with pytest.raises(DatasetError, match="No fact is left"):
            known.start("a", BASE)
        known.start("a", BASE, again=True)
        assert (ended(known).done, len(server.requests)) == (2, 4)


def test_a_person_s_key_terms_decide_over_what_the_rules_read(datasets: Datasets) -> None:
    second = datasets.facts("a")[1]
    datasets.edit_fact("a", second.id, key_terms=[["尾田栄一郎"]])
    with openai_server(answers) as server:
        known = KnownFacts(datasets, Starter(server.base_url))
        known.start("a", BASE)
        ended(known)
        assert known.knowledge("a")[0].known == 2


def test_a_cancelled_asking_keeps_what_it_heard_and_goes_on_later(datasets: Datasets) -> None:
    for number in range(30):
        datasets.add_fact("a", f"作品{number}の主人公は誰ですか？", f"作品{number}の主人公は人物{number}です。")
    known: KnownFacts

    def script(server: Server, request: dict) -> tuple[int, dict[str, str], str]:
        if len(server.requests) == 12:
            known.cancel("a")
        return answers(server, request)

    with openai_server(script) as server:
        known = KnownFacts(datasets, Starter(server.base_url))
        known.start("a", BASE)
        stopped = ended(known)
        assert stopped.state == "cancelled" and 12 <= stopped.done < 32
        known.start("a", BASE)
        assert ended(known).total == 32 - stopped.done
        assert len(server.requests) == 32


def test_a_server_that_cannot_be_had_or_fails_says_so_in_a_sentence(datasets: Datasets) -> None:
    known = KnownFacts(datasets, Starter("", refusal=RunActive("runs.error_active", run="sft-1")))
    known.start("a", BASE)
    refused = ended(known)
    assert refused.state == "failed" and "sft-1" in str(refused.error)
    with openai_server(lambda server, request: (500, {}, "broken")) as server:
        known = KnownFacts(datasets, Starter(server.base_url))
        known.start("a", BASE)
        assert ended(known).state == "failed"
    assert known.knowledge("a") == []


def test_two_askings_at_once_are_refused_and_other_datasets_see_none(datasets: Datasets) -> None:
    datasets.create("b")

    def script(server: Server, request: dict) -> tuple[int, dict[str, str], str]:
        server.hang()
        return answers(server, request)

    with openai_server(script) as server:
        known = KnownFacts(datasets, Starter(server.base_url))
        known.start("a", BASE)
        with pytest.raises(DatasetError, match="being asked"):
            known.start("a", BASE)
        assert known.status("b") == Asking()
        server.released.set()
        assert ended(known).state == "done"
