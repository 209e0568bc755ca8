"""The check before training as people see it: findings with their remedy, what is trained, what it takes."""

import html
import json
import re

from studio.pages.preflight_json import preflight_json
from studio.pages.preflight_view import Time, Whole, checked, checking, details
from studio.runs.plans import Plan
from studio.runs.speed import Speed
from studio.runs.stages import Outlook
from training.contract import RunConfig
from training.preflight_report import Bin, Finding, Memory, Piece, Preflight, Rendered

MARKUP = "<script>alert(1)</script>"
LOW_RATE = Finding(code="preflight.low_learning_rate", values={"rate": "2e-05"}, fix={"learning_rate": 2e-4})
UNMATCHED = Finding(
    code="worker.error_target_unmatched",
    severity="error",
    values={"words": MARKUP, "base_model": "b", "available": "attention"},
    fix={"target_modules": ("attention", "mlp")},
)
FOUND = Preflight(
    engine="unsloth",
    repository="unsloth/gpt-oss-20b",
    on_gpu=True,
    modules={"attention": 96, "experts": 1536},
    trainable_parameters=92_454_912,
    four_bit_share=0.998,
    facts=10,
    examples=320,
    sequences=320,
    tokens=32_000,
    steps=240,
    shown=(
        Rendered(
            pieces=(
                Piece(text="<|start|>", trained=False, special=True),
                Piece(text=MARKUP, trained=False),
                Piece(text="レベッカ宮本です。", trained=True),
            ),
            tokens=500,
            trained_tokens=4,
            left_out=100,
        ),
    ),
    histogram=(Bin(start=10, end=20, number=3), Bin(start=20, end=30, number=1)),
    longest_sequence=29,
    truncated=0,
    untrained=0,
    useful_token_share=0.9,
    memory=Memory(weights=12 * 10**9, lora=10**9, optimizer=10**9, activations=10**9, logits=10**9, overhead=10**9),
    device_bytes=16 * 10**9,
    free_bytes=15 * 10**9,
    findings=(UNMATCHED, LOW_RATE),
)
UNKNOWN = Time(None, None)


def plain(drawn: str) -> str:
    return re.sub(r"<[^>]+>", "", drawn)


def test_a_finding_says_why_and_offers_its_remedy_as_a_button() -> None:
    drawn = checked(FOUND, UNKNOWN, "ja")
    assert "学習率を 2e-4 に" in drawn and "このままでは学習できません（1 件）" in drawn
    fixes = [json.loads(html.unescape(fix)) for fix in re.findall(r'data-fix="([^"]+)"', drawn)]
    assert fixes == [{"target_modules": ["attention", "mlp"]}, {"learning_rate": 2e-4}]


def test_a_remedy_that_switches_something_off_says_so() -> None:
    off = Finding(code="worker.error_packing", severity="error", values={"base_model": "b"}, fix={"packing": False})
    assert "パッキングを オフ に" in checked(FOUND.model_copy(update={"findings": (off,)}), UNKNOWN, "ja")


def test_special_tokens_are_chips_and_trained_words_are_marked() -> None:
    drawn = details(FOUND, "ja")
    assert '<span class="oboe-token">start</span>' in drawn
    assert "<mark>レベッカ宮本です。</mark>" in drawn.replace(' class="trained"', "")
    assert "ほか 100 トークン" in drawn


def test_nothing_that_comes_from_data_or_a_model_is_markup() -> None:
    assert "<script" not in checked(FOUND, UNKNOWN, "en") + details(FOUND, "en")


def test_memory_over_what_the_card_has_is_drawn_as_such() -> None:
    assert "oboe-parts over" in details(FOUND, "en") and "17.0 GB" in details(FOUND, "en")
    assert "oboe-parts over" not in details(FOUND.model_copy(update={"device_bytes": 24 * 10**9}), "en")


def test_time_is_measured_here_borrowed_from_the_sample_or_unknown() -> None:
    assert "about 10 min 0 s" in plain(checked(FOUND, Time(600, Speed(120, here=True)), "en"))
    assert "sample" in plain(checked(FOUND, Time(600, Speed(120, here=False)), "en"))
    assert "1-4 h" in plain(checked(FOUND, UNKNOWN, "en"))


def test_a_time_budget_offers_ways_to_keep_it() -> None:
    ways = [{"max_steps": 120}, {"variants_per_fact": 16}]
    drawn = checked(FOUND, Time(600, Speed(120, here=True), 300, ways), "en")
    assert drawn.count("data-fix") == 4 and "fits into this time" not in drawn
    assert "fits into this time" in checked(FOUND, Time(600, Speed(120, here=True), 900), "en")
    assert "Nothing was measured" in checked(FOUND, Time(None, None, 900), "en")


def test_what_is_known_at_once_is_shown_while_the_check_goes_on() -> None:
    known = Preflight(facts=3, examples=9, findings=(LOW_RATE,))
    assert "oboe-busy" in checking(known, "", "ja") and "学習率 2e-05" in checking(known, "", "ja")
    assert "died" in checking(known, "died", "ja") and "oboe-busy" not in checking(known, "died", "ja")


def test_from_documents_alone_no_fact_is_said_to_be_trained() -> None:
    config = RunConfig(dataset="d", base_model="b", method="cpt")
    drawn = checked(FOUND, UNKNOWN, "en", Whole(Plan((config,)), Outlook()))
    assert "Facts trained" not in drawn and "Facts trained" in checked(FOUND, UNKNOWN, "en")


def test_a_later_stage_does_not_repeat_what_was_said_of_the_first() -> None:
    config = RunConfig(dataset="d", base_model="b")
    no_replay = Finding(code="preflight.no_replay")
    later = Preflight(facts=10, findings=(LOW_RATE, no_replay))
    whole = Whole(Plan((config, config), "chain"), Outlook(later=((config, later),)))
    drawn = checked(FOUND, UNKNOWN, "en", whole)
    assert drawn.count("learning rate 2e-05") == 1 and "arXiv 2405.05904" in drawn.partition("oboe-stage")[2]


def test_an_empty_report_is_drawn() -> None:
    assert "oboe-title" in checked(Preflight(), UNKNOWN, "ja") and details(Preflight(), "ja") == ""


def test_the_endpoint_answers_in_plain_json() -> None:
    answer = json.loads(json.dumps(preflight_json(FOUND, 600.4, "en")))
    assert answer["modules"] == {"attention": 96, "experts": 1536} and answer["vram_bytes"] == 17 * 10**9
    assert [warning["code"] for warning in answer["warnings"]] == ["error_target_unmatched", "low_learning_rate"]
    assert answer["warnings"][1]["fix"] == {"learning_rate": 2e-4} and answer["seconds"] == 600
    assert answer["mask_preview"][0]["pieces"][2] == {"text": "レベッカ宮本です。", "trained": True, "special": False}
