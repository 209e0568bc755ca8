"""The order in which sequences are seen; it must not know what they say."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

# Batches that are sorted by length together: more save more padding, fewer keep what a batch mixes random.
FEWEST, MOST = 8, 64


class Turns(NamedTuple):
    """How many of the last sequences take turns, and how many of those an epoch sees."""

    waiting: int
    seen: int


class SpreadBatches(Sampler[int]):
    """Indices whose batches hold sequences of similar length about different subjects, in another order each epoch.

    `subjects` holds what each sequence is about, as numbers. `batch_size` is what one optimizer step sees, over all
    processes and accumulated passes: so the order stays when a step is divided otherwise. `seed` and epoch alone decide
    it, so that a resumed run sees what it would have seen. The last sequences may take turns: of so many an epoch sees
    so many, as `turns` says, and the next epoch the next ones.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        subjects: Sequence[frozenset[int]],
        batch_size: int,
        *,
        seed: int,
        turns: Turns | None = None,
    ) -> None:
        self._turns = turns or Turns(0, 0)
        self._lengths = lengths
        self._subjects = subjects
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of an epoch, counted from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths) - self._turns.waiting + self._turns.seen

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch))
        present = self._present()
        order = [present[place] for place in spread([self._subjects[index] for index in present], random)]
        pool = self._batch_size * min(max(len(self) // (8 * self._batch_size), FEWEST), MOST)
        waiting: list[int] = []
        for start in range(0, len(order), pool):
            # Few subjects would have ever more wait.
            forced = start + pool >= len(order) or len(waiting) > pool
            batches, waiting = self._batches([*waiting, *order[start : start + pool]], forced)
            # A batch that is not full must stay last, or it would shift the borders of all that follow.
            full = sum(len(batch) == self._batch_size for batch in batches)
            for place in [*random.permutation(full).tolist(), *range(full, len(batches))]:
                yield from batches[place]

    def _present(self) -> list[int]:
        """What the epoch sees: all that takes no turns, and those whose turn it is."""
        waiting, seen = self._turns.waiting, self._turns.seen
        always = len(self._lengths) - waiting
        queue = np.random.default_rng(self._seed).permutation(waiting) + always
        start = self._epoch * seen
        return [*range(always), *np.take(queue, range(start, start + seen), mode="wrap").tolist()]

    def _batches(self, pool: list[int], forced: bool) -> tuple[list[list[int]], list[int]]:
        """The pool in batches, longest first, and what waits because its subject is in every batch with room.

        Where it is forced, all find a place and the last batch may have room.
        """
        size = self._batch_size
        rooms = [min(size, len(pool) - start) for start in range(0, len(pool), size)]
        batches: list[list[int]] = [[] for _ in rooms]
        seen: list[set[int]] = [set() for _ in rooms]
        open_batches = list(range(len(rooms)))
        waiting = []
        for index in sorted(pool, key=lambda index: -self._lengths[index]):
            place = next((place for place in open_batches if seen[place].isdisjoint(self._subjects[index])), None)
            if place is None:
                waiting.append(index)
                continue
            batches[place].append(index)
            seen[place] |= self._subjects[index]
            if len(batches[place]) == rooms[place]:
                open_batches.remove(place)
        if forced:
            for place in open_batches:
                needed = rooms[place] - len(batches[place])
                batches[place], waiting = batches[place] + waiting[:needed], waiting[needed:]
            return batches, []
        left = [index for batch in batches if len(batch) < size for index in batch]
        return [batch for batch in batches if len(batch) == size], [*waiting, *left]


def spread(subjects: Sequence[frozenset[int]], random: np.random.Generator) -> list[int]:
    """Indices in a random order in which those of one subject lie evenly far apart.

    What is about several subjects is placed as if about none.
    """
    alone = -1
    keys = np.array([next(iter(about)) if len(about) == 1 else (alone := alone - 1) for about in subjects])
    drawn = random.permutation(len(keys))
    drawn = drawn[np.argsort(keys[drawn], kind="stable")]
    _, starts, counts = np.unique(keys[drawn], return_index=True, return_counts=True)
    rank = np.arange(len(keys)) - np.repeat(starts, counts)
    places = (rank + random.random(len(keys))) / np.repeat(counts, counts)
    order: list[int] = drawn[np.argsort(places)].tolist()
    return order


def useful_share(lengths: Sequence[int], order: Sequence[int], batch_size: int) -> float:
    """Share of tokens that are no padding, where `batch_size` sequences after one another are padded to the longest."""
    useful = padded = 0
    for start in range(0, len(order), batch_size):
        batch = [lengths[index] for index in order[start : start + batch_size]]
        useful += sum(batch)
        padded += max(batch) * len(batch)
    return useful / padded if padded else 1.0
