"""Test questions that training would give away: by their fact, by their text, and never by what is not trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks_workplace import Workplace


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workplace]:
    work = Workplace(tmp_path)
    yield work
    work.datasets.store.close()


def test_a_test_question_leaks_by_its_fact_first(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時"), (2, "銀魂の作者は誰ですか？", "空知英秋"))
    work.ask("坂田銀時が活躍するのは？", "heldout_fact", 1)
    work.ask("銀魂の作者は誰でしょうか？", "heldout_phrasing", 2)
    work.ask("銀魂を描いた漫画家の名前を教えてください。", "heldout_phrasing", 2)
    work.ask("日本の首都はどこですか？", "out_of_domain")
    found = work.found("leak")
    assert [finding.values["what"] for finding in found] == ["fact", "text"]
    assert [finding.examples[0].fact_id for finding in found] == [1, 2]
    assert "坂田銀時が活躍するのは" in found[0].text("en")


def test_a_question_that_should_be_untrained_is_known_by_what_it_asks_and_by_its_reference(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時"), (2, "銀魂の作者は誰ですか？", "空知英秋"))
    work.ask("銀魂で主人公として活躍するのは誰ですか？", "heldout_fact", reference="坂田銀時です。")
    work.ask("銀魂の舞台はどこですか？", "heldout_fact", reference="江戸の町です。")
    (finding,) = work.found("leak")
    assert (finding.values["what"], finding.examples[0].fact_id) == ("fact", 1)


def test_what_the_splits_keep_out_of_training_gives_nothing_away(work: Workplace) -> None:
    asked = [
        f"銀魂の主人公は{how}？"
        for how in ("誰ですか", "何という人ですか", "どの人物ですか", "だれなの", "どんな名前ですか")
    ]
    work.bring(*((1, question, "坂田銀時") for question in asked))
    for question in asked[1:]:
        work.ask(question, "heldout_phrasing", 1)
    assert len(work.found("leak")) == len(asked) - 2
