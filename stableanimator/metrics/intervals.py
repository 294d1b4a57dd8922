"""Means over people with bootstrap intervals: how far a figure would move with other people of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A number and where 95 of 100 repetitions with other people of the same kind would find it."""

    value: float
    low: float
    high: float


def of_people(values: Values, people: Sequence[str]) -> Values:
    """Mean [P] over each person's drives, of values [D], in the order of the people's names."""
    names = np.array(people)
    return np.array([values[names == name].mean() for name in sorted(set(people))])


def bootstrap(
    statistic: Callable[..., Values], *columns: Values, repetitions: int = 2000, level: float = 0.95
) -> Interval:
    """A statistic of people's means with a percentile bootstrap interval over the people; all people count alike.

    Args:
        statistic: of one mean over people for each column, arrays of any shape: `lambda a, b: a / b`.
        columns: [P] each, a value for each person.
        repetitions: resamples of the people; the draws are the same in every call.
        level: of the interval.
    """
    chosen = np.random.default_rng(0).integers(0, len(columns[0]), (repetitions, len(columns[0])))
    draws = statistic(*(column[chosen].mean(-1) for column in columns))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*(column.mean() for column in columns))), float(low), float(high))


def mean_interval(values: Values, people: Sequence[str]) -> Interval:
    """Mean over people of values [D], with its interval."""
    return bootstrap(lambda mean: mean, of_people(values, people))
