from __future__ import annotations

import numpy as np
import scipy.stats

from stableanimator.alignment.training_data.draws import RowDraws


def test_a_row_does_not_depend_on_the_batch_or_on_how_its_numbers_are_asked_for() -> None:
    together = RowDraws(1, 2, np.arange(10)).uniform(300)
    alone = RowDraws(1, 2, np.array([7]))
    pieces = np.concatenate([alone.uniform(100), alone.uniform(1), alone.uniform(199)], axis=1)
    assert np.array_equal(pieces[0], together[7])


def test_streams_differ_by_seed_purpose_and_row() -> None:
    base = RowDraws(1, 2, np.array([3])).uniform(8)
    for seed, purpose, row in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2**40, 2, 3), (1, 2, 2**40)):
        assert not np.isin(RowDraws(seed, purpose, np.array([row])).uniform(8), base).any()


def test_distributions() -> None:
    draws = RowDraws(0, 0, np.arange(200))
    assert scipy.stats.kstest(draws.uniform(20).ravel(), "uniform").pvalue > 0.001
    assert scipy.stats.kstest(draws.normal(20).ravel(), "norm").pvalue > 0.001
