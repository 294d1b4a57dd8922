"""Intervals against what is known of them: by hand, the normal distribution, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.metrics.intervals import bootstrap, mean_interval, of_people


def test_people_count_alike_however_many_drives_they_have() -> None:
    values, people = np.array([1.0, 2.0, 3.0, 10.0]), ["b", "b", "b", "a"]
    np.testing.assert_array_equal(of_people(values, people), [10.0, 2.0])  # in the order of their names
    assert mean_interval(values, people).value == 6.0


def test_the_interval_collapses_where_all_people_are_equal() -> None:
    interval = mean_interval(np.array([0.25, 0.5, 0.25, 0.5, 0.375]), ["a", "a", "b", "b", "c"])
    assert interval == (0.375, 0.375, 0.375)
    ratio = bootstrap(lambda a, b: a / b, np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]))
    assert ratio == (0.5, 0.5, 0.5)  # every person has the same ratio: who is drawn is the same in both columns


def test_two_people_are_drawn_both_or_one_of_them_twice() -> None:
    # 1 in 4 draws has the lower one twice: the 2.5 % and 97.5 % quantiles are the two people.
    assert mean_interval(np.array([1.0, 3.0]), ["a", "b"]) == (2.0, 1.0, 3.0)


def test_the_interval_is_that_of_the_normal_distribution_for_many_people() -> None:
    values = np.random.default_rng(5).normal(10, 2, 400)
    interval = bootstrap(lambda mean: mean, values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    narrow = bootstrap(lambda mean: mean, values, level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.6745 / 1.96 * half, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(0)
    intervals = [bootstrap(lambda mean: mean, random.exponential(3.0, 60), repetitions=400) for _ in range(200)]
    held = sum(interval.low <= 3.0 <= interval.high for interval in intervals)
    assert 178 <= held <= 198  # 190 expected; percentile intervals of skewed values are a little short


def test_the_draws_are_the_same_in_every_call() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert bootstrap(lambda mean: mean, values) == bootstrap(lambda mean: mean, values)
