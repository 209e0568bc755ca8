"""Finds texts that are nearly the same: MinHash over character 3-grams in numpy; it must not know what the texts say.

Tools that split on spaces see a Japanese sentence as one word, so similarity goes by characters.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GRAM = 3
HASHES = 60
# 30 bands of 2: of two texts with a Jaccard similarity of 0.45 hardly a pair is missed, of 0.3 one in twenty.
BAND = 2
# So many characters at a time, for the grams of a million questions or of 18,000 articles would fill the memory.
CHUNK_CHARACTERS = 3_000_000
# In a bucket so many neighbours are looked at, so that ten thousand alike cost no hundred million comparisons.
NEIGHBOURS = 12
# How far an estimate from 60 hashes may lie below the similarity that is computed after it.
LEEWAY = 0.15

Hashes = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]


class Compared(NamedTuple):
    """Which texts may be alike: (number of a text, key), compared within a key, and the least Jaccard similarity."""

    places: Sequence[tuple[int, int]]
    least: float


def near_pairs(texts: Sequence[str], *compared: Compared) -> dict[tuple[int, int], float]:
    """Pairs of numbers of texts, the smaller first, that are alike enough, with their Jaccard similarity.

    Args:
        texts: what is compared, each text once.
        compared: a pair that any of them finds is found.
    """
    signatures = signatures_of(texts) if any(wanted.places for wanted in compared) else None
    found: dict[tuple[int, int], float] = {}
    for wanted in compared:
        if signatures is not None and wanted.places:
            for pair in _candidates(signatures, wanted):
                similarity = found.get(pair) or jaccard(texts[pair[0]], texts[pair[1]])
                if similarity >= wanted.least:
                    found[pair] = similarity
    return found


def _candidates(signatures: Hashes, wanted: Compared) -> Iterator[tuple[int, int]]:
    """Pairs that share a band of hashes, and whose signatures promise the similarity."""
    numbers, keys = np.asarray(wanted.places, dtype=np.int64).T
    # Both numbers in one, sorted: the same pair meets in many bands.
    pairs = np.empty(0, dtype=np.int64)
    for band in range(0, HASHES, BAND):
        bucket = _mixed(signatures[numbers, band : band + BAND], keys.astype(np.uint64))
        met = [pairs]
        for here, there in _alike(bucket):
            first, second = np.minimum(numbers[here], numbers[there]), np.maximum(numbers[here], numbers[there])
            likely = (signatures[first] == signatures[second]).mean(axis=1) >= wanted.least - LEEWAY
            met.append((first[likely] << 32) | second[likely])
        pairs = np.sort(np.concatenate(met))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    yield from zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), strict=True)


def jaccard(first: str, second: str) -> float:
    """The share of 3-grams that two texts have in common."""
    one, other = grams(first), grams(second)
    return len(one & other) / len(one | other)


def grams(text: str) -> set[str]:
    """The character 3-grams of a text; of a shorter one, the text itself."""
    return {text[at : at + GRAM] for at in range(max(1, len(text) - GRAM + 1))}


def signatures_of(texts: Sequence[str]) -> Hashes:
    """One row of MinHashes a text, [texts, HASHES]."""
    random = np.random.default_rng(20)
    factors = random.integers(1, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
    offsets = random.integers(0, 2**32, HASHES, dtype=np.uint32)
    rows = np.empty((len(texts), HASHES), dtype=np.uint32)
    for start, end in pairwise(_chunks(texts)):
        hashed, starts = _hashed_grams(texts[start:end])
        for column in range(HASHES):
            # Multiplication modulo 2**32 keeps its entropy in the high bits; the shift brings it down.
            mixed = hashed * factors[column] + offsets[column]
            mixed ^= mixed >> np.uint32(15)
            rows[start:end, column] = np.minimum.reduceat(mixed, starts)
    return rows


def _chunks(texts: Sequence[str]) -> list[int]:
    """Where the chunks begin, and where the last one ends."""
    bounds, characters = [0], 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters > CHUNK_CHARACTERS and number > bounds[-1]:
            bounds.append(number)
            characters = len(text)
    return [*bounds, len(texts)]


def _hashed_grams(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """A hash of every 3-gram of every text, and where each text's begin."""
    padded = [text + "\0" * (GRAM - len(text)) for text in texts]
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashed = codes[:-2] * np.uint32(0x9E3779B1)
    hashed = (hashed ^ (hashed >> np.uint32(16))) + codes[1:-1] * np.uint32(0x85EBCA6B)
    hashed = (hashed ^ (hashed >> np.uint32(13))) + codes[2:] * np.uint32(0xC2B2AE35)
    hashed ^= hashed >> np.uint32(16)
    ends = np.cumsum(lengths)
    # The last two places of a text would make grams with the next text's beginning.
    inside = np.ones(len(codes), dtype=bool)
    inside[ends - 1] = inside[ends - 2] = False
    return hashed[inside[:-2]], ends - lengths - 2 * np.arange(len(texts))


def _mixed(band: Hashes, within: Keys) -> Keys:
    """One number a text: the same for texts with the same key whose hashes of a band agree."""
    mixed = within * np.uint64(0x9E3779B97F4A7C15)
    for column in range(band.shape[1]):
        mixed = (mixed ^ band[:, column]) * np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
    return mixed


def _alike(bucket: Keys) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of places in the same bucket, the earlier first."""
    order = np.argsort(bucket, kind="stable")
    ordered = bucket[order]
    for distance in range(1, NEIGHBOURS + 1):
        same = ordered[distance:] == ordered[:-distance]
        if not same.any():
            return
        yield order[:-distance][same], order[distance:][same]
