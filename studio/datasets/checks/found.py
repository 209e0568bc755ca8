"""What a check hands back: examples that belong together and why they were found; it must not know a check."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Code = Literal[
    "leak",
    "conflict",
    "lost_key_term",
    "empty",
    "foreign",
    "duplicate",
    "spelling",
    "near_duplicate",
    "length",
    "coverage_reverse",
    "coverage_forward",
    "coverage_answers",
]
# The worst first: what falsifies a result, then what teaches something wrong, then what is merely missing.
CODES: tuple[Code, ...] = Code.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: the examples (id and fact) it is about, and the values of its sentence `checks.reason_<code>`."""

    code: Code
    members: tuple[tuple[int, int], ...]
    values: dict[str, str | int] = field(default_factory=dict)


def components(pairs: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """The numbers that pairs connect, each group in ascending order."""
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for first, second in pairs:
        one, other = sorted((root(first), root(second)))
        parent[other] = one
    grouped: dict[int, list[int]] = {}
    for number in sorted(parent):
        grouped.setdefault(root(number), []).append(number)
    yield from grouped.values()
