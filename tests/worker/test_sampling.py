"""The order of the sequences in an epoch."""

from training.sampling import SpreadBatches, Turns, useful_share

LENGTHS = [number * 7 % 50 + 1 for number in range(203)]
ALONE = [frozenset([number]) for number in range(203)]


def epoch(seed: int, number: int = 0) -> list[int]:
    sampler = SpreadBatches(LENGTHS, ALONE, 8, seed=seed)
    sampler.set_epoch(number)
    return list(sampler)


def test_every_sequence_is_seen_once_an_epoch_in_an_order_that_seed_and_epoch_decide() -> None:
    assert sorted(epoch(1)) == list(range(203))
    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)
    assert epoch(1) != epoch(1, 1)


def test_batches_are_even_in_length_and_come_in_no_order_of_length() -> None:
    order = epoch(3)
    assert useful_share(LENGTHS, order, 8) > 0.85 > 0.7 > useful_share(LENGTHS, range(203), 8)
    longest = [max(LENGTHS[index] for index in order[start : start + 8]) for start in range(0, 203, 8)]
    assert longest != sorted(longest) and longest != sorted(longest, reverse=True)


def test_fewer_sequences_than_a_batch_are_one_batch() -> None:
    assert sorted(SpreadBatches([3, 1, 2], ALONE[:3], 8, seed=0)) == [0, 1, 2]


def test_two_examples_of_a_fact_share_no_batch_and_every_stretch_of_the_epoch_holds_all_facts() -> None:
    subjects = [frozenset([number % 40]) for number in range(40 * 32)]
    lengths = [30 + number * 13 % 60 for number in range(len(subjects))]
    order = list(SpreadBatches(lengths, subjects, 4, seed=1))
    batches = [order[start : start + 4] for start in range(0, len(order), 4)]
    assert sum(len({subjects[index] for index in batch}) < 4 for batch in batches) <= 2
    # Four times as many sequences as facts: by chance alone one fact in 55 would be missing.
    for start in range(0, len(order), 320):
        assert len({subjects[index] for index in order[start : start + 320]}) == 40


def test_one_fact_alone_is_trained_all_the_same() -> None:
    order = list(SpreadBatches(LENGTHS, [frozenset([0])] * 203, 8, seed=1))
    assert sorted(order) == list(range(203))


def test_a_step_that_is_divided_otherwise_sees_the_same_sequences() -> None:
    order = list(SpreadBatches(LENGTHS, ALONE, 16, seed=1))
    assert useful_share(LENGTHS, order, 4) >= useful_share(LENGTHS, order, 16)


def test_what_takes_turns_is_seen_once_before_anything_of_it_is_seen_again() -> None:
    sampler = SpreadBatches(LENGTHS, ALONE, 8, seed=1, turns=Turns(waiting=100, seen=25))
    epochs = []
    for number in range(4):
        sampler.set_epoch(number)
        epochs.append(sorted(sampler))
        assert len(epochs[-1]) == len(sampler) == 128
        assert epochs[-1][:103] == list(range(103))
    assert sorted(index for epoch in epochs for index in epoch[103:]) == list(range(103, 203))
    sampler.set_epoch(4)
    assert sorted(sampler) == epochs[0]
