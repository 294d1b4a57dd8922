from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from stableanimator.metrics.frechet import Gaussian, frechet_distance


def _fitted(rows: np.ndarray, parts: int = 1) -> Gaussian:
    gaussian = Gaussian()
    for part in np.array_split(rows, parts):
        gaussian.add(part)
    return gaussian


def test_means_and_spreads_by_hand() -> None:
    # Spreads of one dimension: 1 and 4 in variance, means 3 apart: 9 + (1 - 2)².
    first, second = np.array([[-1.0], [0], [1]]), np.array([[1.0], [3], [5]])
    assert frechet_distance(_fitted(first), _fitted(second)) == pytest.approx(9 + 1)


@pytest.mark.parametrize(("rows", "width"), [(400, 20), (30, 60), (2, 50)])
def test_it_is_what_scipys_matrix_root_gives_also_of_few_rows(rows: int, width: int) -> None:
    generator = np.random.default_rng(rows)
    mixing = generator.normal(size=(width, width))
    first, second = (generator.normal(shift, 1, (rows + 3 * shift, width)) @ mixing for shift in (0, 1))
    means = first.mean(0) - second.mean(0)
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    wanted = means @ means + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b).real)
    assert frechet_distance(_fitted(first, 5), _fitted(second, 4)) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(_fitted(first), _fitted(first)) == pytest.approx(0, abs=1e-9 * wanted)


def test_batches_change_nothing_and_cost_no_memory() -> None:
    rows = np.random.default_rng(1).normal(5, 2, (5000, 6)).astype(np.float32)
    whole, batched = _fitted(rows), _fitted(rows, 700)
    np.testing.assert_allclose(batched.mean, rows.mean(0, dtype=np.float64), rtol=1e-12)
    for gaussian in (whole, batched):
        factor = gaussian.factor()
        np.testing.assert_allclose(factor.T @ factor, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-10)
    assert len(batched.factor()) < 30
    whole.add(rows[:0])
    assert whole.count == 5000


def test_what_cannot_be_compared_is_refused() -> None:
    one, two = _fitted(np.zeros((1, 3))), _fitted(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="two rows or more"):
        frechet_distance(one, two)
    with pytest.raises(ValueError, match="rows are of 4"):
        two.add(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(two, _fitted(np.zeros((5, 4))))
