"""The order of samples: nothing dropped, nothing mixed, the same for any number of workers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.training.sample_order import SampleOrder, validation_passes

GROUPS = st.lists(st.integers(0, 9), min_size=1, max_size=3).filter(any)


def _numbered(sizes: list[int]) -> list[list[int]]:
    """Group g holds 100 g, 100 g + 1, …"""
    return [[100 * group + place for place in range(size)] for group, size in enumerate(sizes)]


@given(sizes=GROUPS, batch_size=st.integers(1, 6), epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_sample_is_seen_in_every_epoch(sizes: list[int], batch_size: int, epochs: int, seed: int) -> None:
    groups = _numbered(sizes)
    order = SampleOrder(groups, batch_size, seed, epochs, None)
    batches = [order.batch(step) for step in range(order.steps)]
    assert order.steps == sum(-(-epochs * size // batch_size) for size in sizes)
    assert all(len({draw.index // 100 for draw in batch}) == 1 for batch in batches)  # no batch mixes groups
    assert [draw.position for draw in batches[0]] == list(range(batch_size))
    for group in groups:
        drawn = [(draw.epoch, draw.index) for batch in batches for draw in batch if draw.index in group]
        # The group's sequence, cut into epochs: each holds every sample once, the last may be begun only.
        for epoch in range(epochs):
            part = drawn[epoch * len(group) : (epoch + 1) * len(group)]
            assert sorted(part) == [(epoch, index) for index in group]
        assert len(drawn) - epochs * len(group) < batch_size
        assert {epoch for epoch, _ in drawn[epochs * len(group) :]} <= set(range(epochs, epochs + batch_size))


@given(sizes=GROUPS, workers=st.integers(1, 3), size=st.integers(1, 2), accumulation=st.integers(1, 3))
def test_workers_together_see_what_one_sees(sizes: list[int], workers: int, size: int, accumulation: int) -> None:
    order = SampleOrder(_numbered(sizes), workers * size * accumulation, 3, 2, None)
    alone = [draw for piece in order.passes(0, 0, 1, size) for draw in piece.draws]
    assert alone == [draw for step in range(order.steps) for draw in order.batch(step)]
    shares = [list(order.passes(0, rank, workers, size)) for rank in range(workers)]
    assert {len(share) for share in shares} == {order.steps * accumulation}
    together = [draw for turn in zip(*shares, strict=True) for piece in turn for draw in piece.draws]
    assert together == alone
    resumed = list(order.passes(1, 0, workers, size))
    assert resumed == shares[0][accumulation:]


def test_a_training_of_steps_is_the_beginning_of_a_longer_one() -> None:
    groups = _numbered([5, 3])
    short, long = SampleOrder(groups, 2, 0, 20, 3), SampleOrder(groups, 2, 0, 20, 30)
    assert [short.batch(step) for step in range(3)] == [long.batch(step) for step in range(3)]
    assert (short.steps, long.steps) == (3, 30)
    assert long.epoch(29) == 7  # of 8 samples and batches of 2: 4 steps an epoch, without what a group carries over
    with pytest.raises(IndexError):
        short.batch(3)


def test_the_seed_decides_the_order() -> None:
    orders = [[d.index for d in SampleOrder([range(50)], 50, seed, 1, None).batch(0)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_without_samples_there_is_no_order() -> None:
    with pytest.raises(ValueError, match="no sample"):
        SampleOrder([[], []], 2, 0, 1, None)


def test_validation_counts_every_held_out_sample_once() -> None:
    shares = [validation_passes([[0, 1, 2], [7, 8]], rank, 2, 2) for rank in range(2)]
    assert [len(share) for share in shares] == [2, 2]
    counted = [piece for share in shares for piece in share if piece.counted]
    assert Counter(draw.index for piece in counted for draw in piece.draws) == Counter([0, 1, 2, 7, 8])
    assert sorted(draw.position for piece in counted for draw in piece.draws) == [0, 1, 2, 3, 4]
    assert {piece.batch_size for piece in counted} == {5}
    assert sum(not piece.counted for share in shares for piece in share) == 1
    assert validation_passes([], 0, 2, 2) == []
