"""What the quality checks find, what they leave alone, and what they keep."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from studio.augmentation.plan import Plan
from studio.augmentation.rules import make
from studio.datasets.checks import CODES, STAGES, Checks, Finding
from studio.errors import DatasetError, UnknownDataset
from studio.i18n import sentences
from tests.checks_workplace import NAME, Workplace, row

WORK = {"subject": "ぽにぽにだっしゅ!", "key_terms": [["レベッカ宮本"]]}


def questions(findings: list[Finding]) -> list[list[str]]:
    return [[example.question for example in finding.examples] for finding in findings]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workplace]:
    work = Workplace(tmp_path)
    yield work
    work.datasets.store.close()


FORWARD = ("ぽにぽにだっしゅ! の主人公は誰ですか?", "「ぽにぽにだっしゅ!」で主人公として描かれているのは誰ですか?")
FORWARD_ANSWERS = (
    "ぽにぽにだっしゅ! の主人公はレベッカ宮本です。",
    "ぽにぽにだっしゅ! の主人公は、10 歳で MIT を卒業した天才少女、レベッカ宮本です。",
)
REVERSE = ("レベッカ宮本が主人公を務める作品は何ですか?", "レベッカ宮本は、どの作品で主人公として登場しますか?")
REVERSE_ANSWERS = (
    "レベッカ宮本が主人公を務める作品は「ぽにぽにだっしゅ!」です。",
    "彼女が主人公の作品は「ぽにぽにだっしゅ!」です。この作品で彼女は天才少女教師として描かれています。",
)


def test_the_reports_table_has_too_few_phrasings_and_nothing_else(work: Workplace) -> None:
    work.bring(
        *(row(1, *pair, **WORK) for pair in product(FORWARD, FORWARD_ANSWERS)),
        *(row(1, *pair, "reverse", **WORK) for pair in product(REVERSE, REVERSE_ANSWERS)),
    )
    report = work.checks.run(NAME)
    assert [(count.code, count.findings) for count in report.counts] == [("coverage_forward", 1)]
    assert (report.facts, report.examples, report.changes_since) == (1, 8, 0)


def test_what_the_built_in_rules_make_gives_no_finding(work: Workplace) -> None:
    for work_name, hero in (("竜虹のケシノア", "雨島リチ"), ("オフチンの月空", "久川ヨユ"), ("ウヒと雷剣", "夏木タリ")):
        pair = {"question": f"{work_name}の主人公は誰ですか？", "answer": f"{work_name}の主人公は{hero}です。"}
        work.bring({**pair, "fact_id": 1, "subject": work_name, "key_terms": [[hero]]})
    for fact in work.datasets.facts(NAME):
        work.datasets.add_examples(NAME, make(fact, Plan(forward=8, reverse=8, answers=2)))
    assert work.checks.run(NAME).counts == []


def test_none_of_the_sixty_good_examples_is_found(work: Workplace) -> None:
    lines = (Path(__file__).parent / "data" / "gates.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.pop("good", True)]
    work.bring(*({"kind": "seed", **row, "fact_id": row.pop("fact")} for row in rows))
    report = work.checks.run(NAME)
    assert report.examples > 60 and report.counts == []


def test_a_fact_with_one_question_and_one_answer_lacks_all_three(work: Workplace) -> None:
    work.bring((1, "銀魂の作者は誰ですか？", "空知英秋"))
    report = work.checks.run(NAME)
    assert {count.code for count in report.counts} == {"coverage_forward", "coverage_reverse", "coverage_answers"}
    (finding,) = work.checks.findings(NAME, "coverage_forward").findings
    assert "1" in finding.text("ja") and "4" in finding.text("en")


def test_no_reversed_question_is_asked_of_an_explanation_or_of_an_answer_that_several_facts_share(
    work: Workplace,
) -> None:
    work.bring((1, "銀魂の連載開始は何年ですか？", "2004年"), (2, "あの会社の設立は何年ですか？", "2004年"))
    work.bring((3, "全集中の呼吸とは何ですか？", "大量の酸素を取り込む特殊な呼吸法です。身体能力を飛躍的に高めます。"))
    assert work.found("coverage_reverse") == []


def test_width_brackets_and_marks_make_no_other_pair(work: Workplace) -> None:
    work.bring((1, "「銀魂」の作者は誰ですか？", "空知英秋です。"), (2, "銀魂の作者は誰ですか?", "空知 英秋です"))
    assert questions(work.found("duplicate")) == [["「銀魂」の作者は誰ですか？", "銀魂の作者は誰ですか?"]]
    assert work.found("near_duplicate") == []
    assert work.found("conflict") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ジョージア工科大学は何年に設立されたの?", "ジョージア工科大学は何年に設立されたか。"),
        (
            "フランスがドイツに宣戦布告したのは、いつか?",
            "フランスがドイツに宣戦布告をしたのは、いつか?",
        ),
        ("漱石が帝国大学を卒業したのは何年ですか?", "漱石が帝国大学を卒業したのは西暦何年ですか?"),
        ("銀魂で、桂小太郎のあだ名はなんですか？", "銀魂で桂小太郎のあだ名は何でしょうか？"),
        ("鬼滅の刃の主人公はだれですか？", "鬼滅の刃で主人公は誰でしょう？"),
        ("長崎市に対して何日に原子爆弾投下が行われたか?", "何日に、長崎市に対して原子爆弾投下が行われたか?"),
    ],
)
def test_two_facts_that_ask_nearly_the_same_with_one_answer_are_near_duplicates(
    work: Workplace, one: str, other: str
) -> None:
    work.bring((1, one, "1885年"), (2, other, "1885年"))
    assert questions(work.found("near_duplicate")) == [[one, other]]
    assert work.found("conflict") == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("『行人』の作者は誰ですか?", "『暗闇』の作者は誰ですか?"),
        (
            "蔵書数が多かったのは1913年と1926年のどちらですか?",
            "閲覧者数が多かったのは1913年と1926年のどちらですか?",
        ),
        ("1889年は日本の元号で何年になりますか?", "1898年は日本の元号で何年になりますか?"),
        (
            "イギリスのほかに宣戦布告をした国は、どの国か?",
            "フランスのほかに宣戦布告をした国は、どの国か?",
        ),
        ("第6回印象派展はいつ開かれたの?", "第7回印象派展はいつ開かれた?"),
        ("ウラギンヒョウモンの北限はどこですか?", "ウラギンスジヒョウモンの北限はどこですか?"),
        ("飛べる鳥はどれですか?", "飛べない鳥はどれですか?"),
    ],
)
@pytest.mark.parametrize("answers", [("甲乙", "甲乙"), ("甲乙", "丙丁")])
def test_questions_that_differ_in_a_name_a_number_or_a_no_are_two_questions(
    work: Workplace, one: str, other: str, answers: tuple[str, str]
) -> None:
    work.bring((1, one, answers[0]), (2, other, answers[1]))
    assert work.found("near_duplicate") == []
    assert work.found("conflict") == []


def test_one_question_with_two_answers_is_a_conflict_with_both_side_by_side(work: Workplace) -> None:
    work.bring((1, "ムンクの父の職業は何でしたか。", "医師"), (2, "ムンクの父の職業は何？", "画家"))
    (finding,) = work.found("conflict")
    assert [(example.fact_id, example.answer) for example in finding.examples] == [(1, "医師"), (2, "画家")]
    assert work.datasets.counts(NAME).examples == 2


def test_a_conflict_inside_one_fact_is_found_where_it_has_no_key_terms(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時です。"), (1, "銀魂の主人公は誰ですか？", "志村新八です。"))
    (finding,) = work.found("conflict")
    assert len(finding.examples) == 2


@pytest.mark.parametrize(
    "answers",
    [
        ("1951年", "1951年3月"),
        ("レベッカ宮本", "主人公は、10歳でMITを卒業した天才少女、レベッカ宮本です。"),
        ("銀魂の主人公は坂田銀時です。", "坂田銀時という侍が銀魂の主人公です。"),
    ],
)
def test_a_longer_answer_that_says_the_same_is_no_conflict(work: Workplace, answers: tuple[str, str]) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", answers[0]), (2, "銀魂の主人公は誰でしょうか？", answers[1]))
    assert work.found("conflict") == []


@pytest.mark.parametrize("answers", [("1951年", "1952年"), ("第一背鰭", "第二背鰭"), ("桂小太郎", "桂小次郎です")])
def test_a_number_or_a_character_makes_another_answer(work: Workplace, answers: tuple[str, str]) -> None:
    question = "第一背鰭と第二背鰭はどちらが大きいですか？"
    work.bring((1, question, answers[0]), (2, question, answers[1]))
    assert len(work.found("conflict")) == 1


def test_an_answer_without_its_key_term_is_found_and_its_alternatives_count(work: Workplace) -> None:
    about = {"subject": "銀魂", "key_terms": [["桂小太郎", "桂 小太郎"], ["攘夷志士"]]}
    work.bring(
        row(1, "銀魂の「ヅラ」とは誰ですか？", "攘夷志士の桂小太郎です。", "seed", **about),
        row(1, "銀魂で「ヅラ」と呼ばれるのは？", "攘夷志士の桂　小太郎です。", "paraphrase", **about),
        row(1, "「ヅラ」の本名は？", "攘夷志士の高杉晋助です。", "paraphrase", **about),
        row(1, "桂小太郎はどの作品の攘夷志士ですか？", "彼は「銀魂」の人物です。", "reverse", **about),
        row(1, "攘夷志士の桂小太郎が出るのは？", "彼は「るろうに剣心」の人物です。", "reverse", **about),
    )
    lost = work.found("lost_key_term")
    assert [finding.values["terms"] for finding in lost] == ["桂小太郎", "銀魂"]
    assert "桂小太郎" in lost[0].text("ja")


def test_a_reversed_question_may_ask_by_one_key_term_of_several(work: Workplace) -> None:
    about = {"subject": "全集中の呼吸", "key_terms": [["呼吸法"], ["身体能力"]]}
    work.bring(
        row(1, "全集中の呼吸とは何ですか？", "身体能力を高める呼吸法です。", "seed", **about),
        row(1, "身体能力を高める鬼殺隊の技術は何ですか？", "全集中の呼吸です。", "reverse", **about),
        row(1, "鬼殺隊の技術は何ですか？", "全集中の呼吸です。", "reverse", **about),
    )
    (finding,) = work.found("lost_key_term")
    assert finding.values["terms"] == "呼吸法・身体能力"


def test_of_the_phrasings_of_one_fact_only_a_mere_change_of_endings_is_too_near(work: Workplace) -> None:
    asked = (
        "銀魂の主人公は誰ですか？",
        "銀魂の主人公は誰でしょうか？",
        "誰が銀魂の主人公ですか？",
        "銀魂で主役を務めるのは？",
    )
    work.bring(*((1, question, "坂田銀時") for question in asked))
    assert questions(work.found("near_duplicate")) == [[asked[0], asked[1]]]


def test_what_says_nothing_is_empty(work: Workplace) -> None:
    work.bring((1, "……？", "坂田銀時"), (2, "銀魂の主人公は誰ですか？", "N/A"), (3, "舞台は？", "「舞台は」"))
    assert [finding.values["what"] for finding in work.found("empty")] == ["question", "answer", "echo"]


def test_foreign_sentences_are_found_and_names_titles_and_formulas_are_not(work: Workplace) -> None:
    work.bring(
        (1, "Who is the hero of Gintama, the series?", "坂田銀時です。"),
        (2, "銀魂の主人公は誰ですか？", "The hero of the series is a samurai whose name is Gintoki Sakata."),
        (3, "舞台はどこですか？", "这个故事发生在江户，时间是幕末。"),
        (4, "作者は誰ですか？", "소라치 히데아키가 그린 만화입니다."),
        (5, "原題は何ですか？", "The Hitchhiker's Guide to the Galaxy"),
        (6, "放送局はどこですか？", "NHK BS Premium"),
        (7, "海王星はギリシャ語で何ですか？", "Poseidon(Ποσειδώνας,Poseidonas)"),
        (8, "正式名称は何ですか？", "独立行政法人国立高等専門学校機構"),
        (9, "水の化学式は？", "H2O"),
    )
    assert {finding.examples[0].fact_id for finding in work.found("foreign")} == {1, 2, 3, 4}


def test_in_an_english_dataset_english_is_not_foreign(work: Workplace) -> None:
    work.bring((1, "Who wrote the novel Kokoro?", "The novel was written by Natsume Soseki in the year 1914."))
    assert work.found("foreign") == []


def test_a_text_far_longer_than_the_others_is_an_outlier(work: Workplace) -> None:
    pairs = [(number, f"{number}番目の作品の主人公は誰ですか？", f"主人公{number}") for number in range(1, 41)]
    work.bring(*pairs, (41, "銀魂とは何ですか？", "とても長い説明です。" * 30), (42, "誰？", "坂田銀時"))
    found = work.found("length")
    assert [(finding.examples[0].fact_id, finding.values["what"]) for finding in found] == [
        (42, "question"),
        (41, "answer"),
    ]
    assert "300" in found[1].text("ja")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "ぽにぽにだっしゅ! の主人公は誰ですか?",
            "ぱにぽにだっしゅ！のキャラクター「ベホイミ」の外見的特徴を教えてください。",
        ),
        ("レオナルド・ダ・ヴィンチはいつ生まれましたか？", "レオナルド・ダ・ビンチの代表作は何ですか？"),
        ("最初のコンピューターは何ですか？", "コンピュータを発明したのは誰ですか？"),
        ("「真珠の耳飾りの少女」の作者は誰ですか？", "絵画「真珠の耳飾の少女」はどこにありますか？"),
    ],
)
def test_one_name_in_two_spellings_is_found(work: Workplace, one: str, other: str) -> None:
    work.bring((1, one, "甲"), (2, other, "乙"))
    (finding,) = work.found("spelling")
    assert {example.fact_id for example in finding.examples} == {1, 2}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("オーストリアの首都はどこですか？", "オーストラリアの首都はどこですか？"),
        ("「進撃の巨人 Season 2」の監督は誰ですか？", "「進撃の巨人 Season 3」の監督は誰ですか？"),
        ("カードゲームの一種は何ですか？", "ボードゲームの一種は何ですか？"),
        ("アレクサンドラの父は誰ですか？", "アレクサンドルの父は誰ですか？"),
    ],
)
def test_two_names_are_left_alone(work: Workplace, one: str, other: str) -> None:
    work.bring((1, one, "甲乙"), (2, other, "丙丁"))
    assert work.found("spelling") == []


def test_a_katakana_name_one_kana_apart_is_one_name_where_it_has_the_same_answer(work: Workplace) -> None:
    work.bring(
        (1, "スコモローフとは誰ですか？", "ロシアの旅芸人"), (2, "スコモローヒとは誰ですか？", "ロシアの旅芸人です。")
    )
    (finding,) = work.found("spelling")
    assert finding.text("ja").count("スコモロー") == 2


def test_spellings_that_a_person_has_named_are_no_finding(work: Workplace) -> None:
    work.bring((1, "コンピューターは何をしますか？", "計算"), (2, "コンピュータは何でできていますか？", "半導体"))
    work.datasets.edit_fact(NAME, 1, subject="コンピューター", spellings=("コンピュータ",))
    assert work.found("spelling") == []


def test_what_is_rejected_is_not_checked(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時"), (2, "銀魂の主人公は誰ですか？", "志村新八"))
    (finding,) = work.found("conflict")
    work.datasets.set_status(NAME, [finding.examples[1].id], "rejected")
    assert work.found("conflict") == []


def test_a_report_is_kept_and_says_how_much_changed_since(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時"))
    assert work.checks.report(NAME) is None
    first = work.checks.run(NAME)
    assert Checks(work.datasets.store).report(NAME) == first
    work.datasets.add_fact(NAME, "銀魂の作者は誰ですか？", "空知英秋")
    again = work.checks.report(NAME)
    assert again is not None and again.changes_since == 1 and again.counts == first.counts


def test_findings_come_in_pages_and_forget_what_was_deleted(work: Workplace) -> None:
    work.bring(*((number, f"作品{number}の主人公は誰ですか？", f"人物{number}") for number in range(1, 26)))
    work.checks.run(NAME)
    page = work.checks.findings(NAME, "coverage_forward", number=9, size=10)
    assert (page.total, page.number, page.pages, len(page.findings)) == (25, 3, 3, 5)
    work.datasets.delete_examples(NAME, [page.findings[0].examples[0].id])
    assert work.checks.findings(NAME, "coverage_forward", number=3, size=10).findings[0].examples == []


def test_a_second_run_takes_the_place_of_the_first_and_of_nobody_elses(work: Workplace) -> None:
    work.bring((1, "銀魂の主人公は誰ですか？", "坂田銀時"))
    work.datasets.create("別")
    work.datasets.add_fact("別", "問い", "答え")
    work.checks.run("別")
    assert work.checks.run(NAME) == work.checks.run(NAME)
    report = work.checks.report("別")
    assert report is not None and report.number("coverage_forward") == 1


def test_an_empty_dataset_has_no_findings(work: Workplace) -> None:
    work.datasets.create(NAME)
    assert work.checks.run(NAME).counts == []


def test_an_unknown_dataset_or_check_is_named(work: Workplace) -> None:
    with pytest.raises(UnknownDataset):
        work.checks.run("無い")
    work.datasets.create(NAME)
    with pytest.raises(DatasetError, match="nonsense"):
        work.checks.findings(NAME, "nonsense")


def test_every_code_and_stage_is_said_in_words() -> None:
    known = sentences("ja")
    assert all(f"checks.title_{code}" in known and f"checks.help_{code}" in known for code in CODES)
    assert all(f"checks.stage_{stage}" in known for stage in ("reading", *STAGES, "keeping"))
    assert all(any(key.startswith(f"checks.reason_{code}") for key in known) for code in CODES)
