"""Proposed facts are shown with their reasons, confirmed, put together again and filled in, each as one edit."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets
from studio.datasets.importing import ImportPlan
from studio.datasets.proposed import ProposedFacts
from studio.store import open_store
from tests.test_recovery import TABLE_1


@pytest.fixture
def facts(tmp_path: Path) -> Iterator[ProposedFacts]:
    store = open_store(tmp_path / "studio.db")
    yield ProposedFacts(Datasets(store))
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "table1.jsonl"
    rows = [*TABLE_1, ("銀魂の作者は誰ですか？", "空知英秋")]
    lines = [json.dumps({"question": question, "answer": answer}, ensure_ascii=False) for question, answer in rows]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_table_1_comes_in_as_one_fact_with_its_reasons(facts: ProposedFacts, file: Path) -> None:
    facts.datasets.import_file("a", file)
    overview = facts.overview("a")
    assert (overview.facts, overview.proposed, overview.confirmed, overview.alone) == (2, 1, 0, 1)
    (sheet,) = facts.page("a").sheets
    assert (sheet.forward, sheet.reverse, sheet.fact.question) == (4, 4, TABLE_1[0].question)
    assert [reason.code for reason in sheet.reasons] == ["shared_question", "shared_answer", "key_term"]
    assert facts.page("a", shown="all", search="空知").sheets[0].reasons == ()


def test_the_smallest_proposals_come_first(facts: ProposedFacts, file: Path) -> None:
    facts.datasets.import_file("a", file)
    small = [("銀魂の主人公は誰ですか？", "坂田銀時"), ("銀魂の主人公は誰ですか？", "銀魂の主人公は坂田銀時です。")]
    lines = [json.dumps({"question": question, "answer": answer}, ensure_ascii=False) for question, answer in small]
    file.write_text("\n".join(lines), "utf-8")
    facts.datasets.import_file("a", file)
    assert [len(sheet.examples) for sheet in facts.page("a").sheets] == [2, 8]


def test_a_confirmed_fact_is_no_proposal_until_that_is_undone(facts: ProposedFacts, file: Path) -> None:
    facts.datasets.import_file("a", file)
    (sheet,) = facts.page("a").sheets
    assert facts.confirm("a", [sheet.fact.id, 999], "花") == 1
    assert facts.page("a").total == 0
    (confirmed,) = facts.page("a", shown="confirmed").sheets
    assert (confirmed.confirmed_by, confirmed.reasons) == ("花", sheet.reasons)
    assert facts.confirm("a", None) == 0
    facts.datasets.undo("a", "花")
    assert facts.page("a").sheets == [sheet]
    assert facts.confirm("a", None) == 1


def test_facts_of_one_line_are_put_together_again_in_one_step(facts: ProposedFacts, file: Path) -> None:
    facts.datasets.import_files("a", [file], ImportPlan(facts="rows"))
    before = [example for page in (1,) for example in facts.datasets.page("a", number=page).examples]
    assert facts.overview("a").alone == 9
    assert facts.recover("a") == 7
    (sheet,) = facts.page("a").sheets
    assert (sheet.forward, sheet.reverse, facts.overview("a").facts) == (4, 4, 2)
    assert facts.recover("a") == 0
    facts.datasets.undo("a")
    assert facts.datasets.page("a").examples == before


def test_what_nobody_has_said_is_filled_in_and_what_a_person_said_stays(facts: ProposedFacts, file: Path) -> None:
    facts.datasets.import_file("a", file)
    table_1, gintama = facts.datasets.facts("a")
    facts.datasets.edit_fact("a", gintama.id, subject="銀魂（漫画）", key_terms=[["空知"]])
    assert facts.overview("a").unsaid == 1
    assert facts.fill("a") == 2
    filled, kept = facts.datasets.facts("a")
    assert (filled.subject, filled.tags) == ("ぽにぽにだっしゅ!", ("ぽにぽにだっしゅ!",))
    assert filled.key_terms == (("レベッカ宮本",),)
    assert (kept.subject, kept.spellings, kept.key_terms, kept.tags) == ("銀魂（漫画）", (), (("空知",),), ("銀魂",))
    facts.datasets.undo("a")
    assert facts.datasets.facts("a")[0] == table_1
