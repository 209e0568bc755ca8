"""Both languages say the same things, and the browser's wish decides which is read."""

import json
import re
import string

import pytest

from studio.i18n import FOLDER, LOCALES, locale_of, sentences, text

KANA = re.compile("[぀-ヿ]")


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_both_languages_have_the_same_files() -> None:
    assert {path.name for path in (FOLDER / "ja").glob("*.json")} == {
        path.name for path in (FOLDER / "en").glob("*.json")
    }


def test_both_languages_have_the_same_keys() -> None:
    assert sentences("ja").keys() == sentences("en").keys()


@pytest.mark.parametrize("key", sorted(sentences("en")))
def test_both_sentences_of_a_key_take_the_same_values(key: str) -> None:
    assert fields(sentences("ja")[key]) == fields(sentences("en")[key])


def test_no_sentence_is_empty_and_no_key_stands_twice_in_a_file() -> None:
    for path in FOLDER.glob("*/*.json"):
        pairs = json.loads(path.read_text("utf-8"), object_pairs_hook=list)
        assert len(dict(pairs)) == len(pairs), path
        assert all(sentence.strip() for _, sentence in pairs if not sentence.isspace()), path


def test_english_sentences_hold_no_kana() -> None:
    quoting = {"augment.needs_model_question", "augment.needs_model_answer"}  # they quote the form of a question
    assert [key for key, sentence in sentences("en").items() if KANA.search(sentence) and key not in quoting] == []


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        ("fr,ja;q=0.5,en;q=0.4", "ja"),
        ("en;q=0.2,ja;q=0.7", "ja"),
        ("de", "en"),
        ("", "en"),
        ("ja;q=nonsense", "en"),
    ],
)
def test_the_language_is_the_first_of_ours_that_the_browser_asks_for(accept_language: str, expected: str) -> None:
    assert locale_of(accept_language) == expected


def test_a_missing_sentence_shows_its_key_instead_of_failing() -> None:
    assert text("nowhere.nothing", "ja", value=3) == "nowhere.nothing {'value': 3}"


def test_there_are_exactly_two_languages() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(LOCALES)
