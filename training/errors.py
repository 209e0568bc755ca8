"""Failures of a worker that a person can act on; it must not know who reads them or in which language."""

import json
from functools import cache

from training.contract import PROJECT_ROOT


@cache
def _sentences(room: str) -> dict[str, str]:
    path = PROJECT_ROOT / "assets" / "i18n" / "en" / f"{room}.json"
    sentences: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return sentences


class RunError(Exception):
    """What is wrong, with the value in it, where, and what to do.

    `code` is an i18n key: `worker.error_no_examples` is `error_no_examples` in assets/i18n/*/worker.json. It and the
    `values` of its placeholders go into the status, so that a page can say the same in its reader's language;
    `str(error)` is the English sentence.
    """

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.values = {name: str(value) for name, value in values.items()}
        room, key = code.split(".", 1)
        super().__init__(_sentences(room)[key].format(**self.values))


class Stopped(Exception):
    """Someone asked the run to stop before there was anything to save."""
