"""What the datasets take for text and how two texts are compared; it must not know where they are stored."""

import re
import unicodedata

from studio.errors import DatasetError

SHORT_ANSWER_CHARACTERS = 40
SURROGATE = re.compile("[\ud800-\udfff]")
# A title may hold an exclamation mark, and 「…！」です is one sentence.
_SENTENCE_END = re.compile(r"[。．?？]\s*(?=\S)|\n")
# U+FFFE and U+FFFF reach FTS5's trigrams as U+FFFD: fold them alike, so that both searches agree. U+0001 marks the end.
_NONCHARACTERS = re.compile("[\x01\ufffe\uffff]")


def fold(text: str) -> str:
    """The form in which texts are searched and compared: width, case and composition do not matter."""
    return _NONCHARACTERS.sub("\ufffd", unicodedata.normalize("NFKC", text).casefold())


def clean(text: str, what: str) -> str:
    """A text without surrounding white space, ready to be stored; `what` is question or answer.

    Raises:
        DatasetError: nothing is left, or a character cannot be stored.
    """
    stripped = text.strip()
    if not stripped:
        raise DatasetError(f"dataset.error_empty_{what}")
    if not is_storable(stripped):
        raise DatasetError("dataset.error_broken_character", text=excerpt(stripped))
    return stripped


def is_storable(text: str) -> bool:
    """Whether a text holds neither NUL nor half of a surrogate pair, which undecodable bytes also become."""
    return "\0" not in text and SURROGATE.search(text) is None


def excerpt(text: str, length: int = 40) -> str:
    """The beginning of a text, fit for a sentence: one line, every character printable."""
    line = "".join(character if character.isprintable() else "�" for character in text[: length + 1])
    return line if len(line) <= length else line[:length] + "…"


def is_short_answer(answer: str) -> bool:
    """Whether an answer reads as one short sentence rather than an explanation."""
    return len(answer) <= SHORT_ANSWER_CHARACTERS and not _SENTENCE_END.search(answer)
