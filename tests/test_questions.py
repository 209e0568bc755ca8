"""Question sets: each question is linked to its fact and told its kind, and a person has the last word."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.datasets import Datasets
from studio.datasets.linking import Known, Linker
from studio.datasets.questions import QuestionSets
from studio.errors import DatasetError
from studio.store import open_store

PANI, SEASON = "ぱにぽにだっしゅ！", "進撃の巨人 Season 3"
TRAINED = [
    (
        f"{PANI}の主人公は誰ですか？",
        f"{PANI}の主人公は、10 歳で MIT を卒業した天才少女、レベッカ宮本です。愛称は「ベッキー」です。",
    ),
    (
        "銀魂の「ヅラ」というあだ名のキャラクターの本名を教えてください。",
        "銀魂で「ヅラ」と呼ばれているキャラクターの本名は、桂小太郎です。"
        "本人は「ヅラじゃない、桂だ！」と訂正するのがお決まりのギャグです。",
    ),
    ("鬼滅の刃の主人公は誰ですか？", "鬼滅の刃の主人公は、心優しい少年、竈門炭治郎（かまど たんじろう）です。"),
    (
        "鬼滅の刃で、鬼殺隊の剣士たちが使う「全集中の呼吸」とは何ですか？",
        "「全集中の呼吸」とは、鬼滅の刃で鬼殺隊士が使う特殊な呼吸法です。大量の酸素を血中に取り込むことで身体能力を"
        "飛躍的に向上させ、鬼と互角以上に戦うための身体強化技術です。",
    ),
    (
        f"{SEASON} の最後に、地下室で明かされた世界の真実とは何ですか？",
        "『Season 3』の最後に地下室で明かされたのは、壁の外にも人類は存在すること、壁の中の人々（エルディア人）は"
        "実は巨人化できる特殊な民族であり、世界中から差別され、壁の中に追いやられたという衝撃的な真実でした。",
    ),
]
# The reports' own test questions, and one about something else.
ASKED = [
    (
        f"{PANI}のキャラクター「ベホイミ」の外見的特徴を教えてください。",
        "ベホイミは魔法少女風の衣装を着ており、“魔法少女”のイメージを演じているキャラクターです。",
        "heldout_fact",
        None,
    ),
    (
        "銀魂で、桂小太郎のあだ名はなんですか？",
        "桂小太郎のあだ名は「ヅラ」です。本人は「ヅラじゃない、桂だ！」と訂正するのがお決まりのギャグです。",
        "reverse",
        1,
    ),
    (
        "鬼滅の刃で、鬼と戦うために鬼殺隊の剣士が使う特殊な呼吸法は何と呼ばれていますか？",
        "鬼滅の刃で鬼殺隊の剣士たちが使う身体強化技術は「全集中の呼吸」と呼ばれています。",
        "reverse",
        3,
    ),
    (
        f"{SEASON} で、調査兵団が目指したエレンの生家の地下室には、どのような世界の真実が隠されていましたか？",
        "エレンの生家の地下室には、壁の外にも人類が存在し、壁内の人々は巨人化できる「エルディア人」という民族で、"
        "世界から迫害されているという世界の真実が記された書物が隠されていました。",
        "heldout_phrasing",
        4,
    ),
    ("鬼滅の刃の主人公は誰ですか?", "竈門炭治郎です。", "trained", 2),
    ("日本の首都はどこですか？", "東京です。", "out_of_domain", None),
]


@pytest.fixture
def sets(tmp_path: Path) -> Iterator[QuestionSets]:
    store = open_store(tmp_path / "studio.db")
    datasets = Datasets(store)
    datasets.create("アニメ")
    for question, answer in TRAINED:
        datasets.add_fact("アニメ", question, answer)
    yield QuestionSets(datasets)
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "test.jsonl"
    lines = [json.dumps({"質問": question, "正解": answer}, ensure_ascii=False) for question, answer, *_ in ASKED]
    path.write_text("\n".join([*lines, lines[0], '{"質問": "", "正解": "a"}']), "utf-8")
    return path


def test_the_reports_test_questions_get_their_facts_and_kinds(sets: QuestionSets, file: Path) -> None:
    report = sets.import_file("アニメ", " 報告書 ", file)
    assert (report.name, report.imported, [line.line for line in report.rejected]) == ("報告書", 6, [8])
    facts = [fact.id for fact in sets.datasets.facts("アニメ")]
    expected = [(kind, None if place is None else facts[place]) for _, _, kind, place in ASKED]
    assert [(asked.kind, asked.fact_id) for asked in sets.questions("アニメ", "報告書")] == expected
    assert all(asked.reason and asked.confirmed_by is None for asked in sets.questions("アニメ", "報告書"))
    (found,) = sets.sets("アニメ")
    assert (found.questions, found.confirmed, found.by_kind["reverse"]) == (6, 0, 2)


def test_a_question_without_a_reference_is_linked_by_what_it_says_alone() -> None:
    linker = Linker([Known(7, [("銀魂の主人公は誰ですか？", "銀魂の主人公は坂田銀時です。")], names=["銀魂"])])
    assert linker.link("銀魂の主人公の名前は何ですか？").fact_id == 7
    assert linker.link("坂田銀時が主人公の作品は何ですか？").kind == "reverse"
    assert linker.link("銀魂の作者は誰ですか？").kind == "heldout_fact"


def test_questions_of_another_work_alike_in_everything_else_belong_to_no_fact() -> None:
    known = Known(7, [("モクラの制作会社はどこですか？", "モクラの制作会社は月影動画です。")], names=["モクラ"])
    asked = "タメリの制作会社はどこですか？", "タメリの制作会社は月影動画です。"
    assert Linker([known]).link(*asked).kind == "out_of_domain"


def test_a_person_confirms_changes_and_reopens_a_proposal(sets: QuestionSets, file: Path) -> None:
    sets.import_file("アニメ", "報告書", file)
    first, second, *_ = sets.page("アニメ", "報告書").questions
    fact = sets.datasets.facts("アニメ")[0]
    assert sets.confirm("アニメ", second.id, author="花").confirmed_by == "花"
    changed = sets.confirm("アニメ", first.id, kind="heldout_phrasing", fact_id=fact.id, author="花")
    assert (changed.kind, changed.fact_id, changed.reason) == ("heldout_phrasing", fact.id, "")
    assert sets.confirm("アニメ", first.id, kind="out_of_domain").fact_id is None
    assert sets.page("アニメ", "報告書", only="open").total == 4
    assert sets.reopen("アニメ", second.id).confirmed_by is None
    assert sets.confirm_all("アニメ", "報告書", "太郎") == 5
    assert sets.sets("アニメ")[0].confirmed == 6


def test_what_cannot_be_confirmed_is_refused_with_a_sentence(sets: QuestionSets, file: Path) -> None:
    sets.import_file("アニメ", "報告書", file)
    first = sets.page("アニメ", "報告書").questions[0]
    with pytest.raises(DatasetError, match="belongs to a fact"):
        sets.confirm("アニメ", first.id, kind="reverse")
    with pytest.raises(DatasetError):
        sets.confirm("アニメ", first.id, kind="reverse", fact_id=10**9)
    with pytest.raises(DatasetError, match="not in this dataset"):
        sets.confirm("アニメ", 10**30)
    with pytest.raises(DatasetError, match="already a question set"):
        sets.import_file("アニメ", "報告書", file)
    for name in ("", " ", "x" * 61, "\ud800"):
        with pytest.raises(DatasetError):
            sets.import_file("アニメ", name, file)


def test_proposals_follow_the_facts_and_leave_confirmed_ones_alone(sets: QuestionSets, file: Path) -> None:
    sets.import_file("アニメ", "報告書", file)
    last = sets.questions("アニメ", "報告書")[-1]
    sets.confirm("アニメ", last.id)
    added = sets.datasets.add_fact("アニメ", ASKED[0][0], ASKED[0][1])
    sets.datasets.add_fact("アニメ", "日本の首都はどこですか？", "東京です。")
    assert sets.propose_again("アニメ", "報告書") == 1
    first, *_, last = sets.questions("アニメ", "報告書")
    assert (first.kind, first.fact_id, last.kind) == ("trained", added.fact_id, "out_of_domain")
    sets.confirm("アニメ", first.id, author="花")
    sets.datasets.delete_examples("アニメ", [added.id])
    lost = sets.questions("アニメ", "報告書")[0]
    assert (lost.fact_id, lost.confirmed_by, sets.sets("アニメ")[0].confirmed) == (None, None, 1)
    assert sets.propose_again("アニメ", "報告書") == 1
    assert sets.questions("アニメ", "報告書")[0].kind == "heldout_fact"
    assert (sets.delete("アニメ", "報告書"), sets.sets("アニメ")) == (6, [])


def test_undo_of_a_deleted_fact_restores_its_links_and_what_a_base_knew(sets: QuestionSets, file: Path) -> None:
    sets.import_file("アニメ", "報告書", file)
    datasets = sets.datasets
    fact, other = datasets.facts("アニメ")[2], datasets.facts("アニメ")[0]
    with datasets.store.write() as db:
        db.execute("INSERT INTO known_fact VALUES (?, 'base', 1, '竈門炭治郎です。', '2026-01-01')", (fact.id,))
    before = sets.questions("アニメ", "報告書")
    seed = next(e for e in datasets.page("アニメ").examples if e.fact_id == fact.id)
    datasets.delete_examples("アニメ", [seed.id], "花子")
    assert [asked.fact_id for asked in sets.questions("アニメ", "報告書")].count(fact.id) == 0
    datasets.undo("アニメ", "花子")
    assert sets.questions("アニメ", "報告書") == before
    known = datasets.store.read().execute("SELECT fact_id, known, answer FROM known_fact").fetchall()
    assert known == [(fact.id, 1, "竈門炭治郎です。")]
    linked = next(asked for asked in before if asked.fact_id == fact.id)
    datasets.delete_examples("アニメ", [seed.id], "花子")
    sets.confirm("アニメ", linked.id, kind="heldout_phrasing", fact_id=other.id, author="太郎")
    datasets.undo("アニメ", "花子")
    assert next(a for a in sets.questions("アニメ", "報告書") if a.id == linked.id).fact_id == other.id
