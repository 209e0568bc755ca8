"""The order in which examples are seen; it must not know what they say."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

# Batches that are sorted by length together. More saves more padding, fewer keep the mixture of a batch random.
POOL = 8


class LengthBatches(Sampler[int]):
    """Indices in an order whose batches hold examples of similar length, the batches themselves in random order.

    transformers' own length grouping leaves the batches sorted, so that every epoch would end with the shortest
    examples only. Random numbers come from torch's global generator: the run's seed decides.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(len(self)).tolist()
        pool = POOL * self._batch_size
        grouped = [
            index
            for start in range(0, len(order), pool)
            for index in sorted(order[start : start + pool], key=self._lengths.__getitem__)
        ]
        batches = [grouped[start : start + self._batch_size] for start in range(0, len(grouped), self._batch_size)]
        # A batch that is not full must stay last, or it would shift the borders of all that follow.
        unfinished = [batches.pop()] if len(batches[-1]) < self._batch_size else []
        for place in [*torch.randperm(len(batches)).tolist(), *range(len(batches), len(batches) + len(unfinished))]:
            yield from (batches + unfinished)[place]
