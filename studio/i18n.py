"""The sentences of the program in Japanese and English; it must not know which page shows them."""

import json
from functools import lru_cache
from pathlib import Path

from training.contract import PROJECT_ROOT

FOLDER: Path = PROJECT_ROOT / "assets" / "i18n"
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
