"""The order of the examples in an epoch."""

import torch

from training.sampling import POOL, LengthBatches

LENGTHS = [number * 7 % 50 + 1 for number in range(203)]


def epoch(seed: int) -> list[int]:
    torch.manual_seed(seed)
    return list(LengthBatches(LENGTHS, 8))


def test_every_example_is_seen_once_an_epoch_in_an_order_the_seed_decides() -> None:
    assert sorted(epoch(1)) == list(range(203))
    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)


def test_batches_are_even_in_length_and_come_in_no_order_of_length() -> None:
    lengths = [LENGTHS[index] for index in epoch(3)]
    batches = [lengths[start : start + 8] for start in range(0, len(lengths), 8)]
    spread = sum(max(batch) - min(batch) for batch in batches) / len(batches)
    assert spread <= 2 * 50 / POOL
    longest = [max(batch) for batch in batches]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


def test_fewer_examples_than_a_batch_are_one_batch() -> None:
    assert sorted(LengthBatches([3, 1, 2], 8)) == [0, 1, 2]
