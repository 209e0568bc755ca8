"""Decide without a model whether a Japanese answer is right; it must not know where the answer came from."""

import unicodedata
from collections.abc import Sequence

# Marks that people add or leave out around a name without changing which name it is.
_MARKS = str.maketrans("", "", "「」『』“”\"'・･ 　*")


def normalise(text: str) -> str:
    """Text as two readers would compare it: NFKC, lower case, without brackets, spaces and middle dots."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_MARKS)


def holds_key_terms(answer: str, key_terms: Sequence[Sequence[str]]) -> bool:
    """Whether an answer holds every key term, each in one of its alternatives. No key terms: never right."""
    written = normalise(answer)
    return bool(key_terms) and all(
        any(normalise(alternative) in written for alternative in alternatives) for alternatives in key_terms
    )
