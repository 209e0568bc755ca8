"""The sentences of the program in Japanese and English; it must not know which page shows them."""

import json
from functools import lru_cache
from pathlib import Path

from training.contract import PROJECT_ROOT

FOLDER: Path = PROJECT_ROOT / "assets" / "i18n"
LOCALES = ("ja", "en")
FALLBACK = "en"


@lru_cache
def sentences(locale: str) -> dict[str, str]:
    """All sentences of a locale, keyed `<file stem>.<key>`."""
    return {
        f"{file.stem}.{key}": sentence
        for file in sorted((FOLDER / locale).glob("*.json"))
        for key, sentence in json.loads(file.read_text(encoding="utf-8")).items()
    }


def text(key: str, locale: str = FALLBACK, **values: object) -> str:
    """The sentence of `key` with its `{placeholders}` filled; a locale that lacks it falls back to English."""
    sentence = sentences(locale).get(key) or sentences(FALLBACK).get(key)
    # A sentence that is missing must not hide the error it was to describe.
    return sentence.format(**values) if sentence else f"{key} {values or ''}".strip()


def locale_of(accept_language: str) -> str:
    """The locale that a browser's Accept-Language asks for first among ours; English where it names none."""
    choices = [_weighed(choice) for choice in accept_language.split(",") if choice.strip()]
    for _, language in sorted(choices, key=lambda choice: -choice[0]):
        if language in LOCALES:
            return language
    return FALLBACK


def _weighed(choice: str) -> tuple[float, str]:
    """`ja-JP;q=0.8` as (0.8, "ja")."""
    tag, _, weight = choice.partition(";q=")
    try:
        return float(weight or 1), tag.strip().split("-")[0].lower()
    except ValueError:
        return 0.0, ""
