from __future__ import annotations

import operator
from functools import partial

import pytest

from benchmarks.processes import spread


@pytest.mark.parametrize("workers", [1, 2])
def test_work_keeps_its_order_and_its_errors(workers: int) -> None:
    results = iter(spread(int, ["3", "1", "many"], "numbers", workers))
    assert [next(results), next(results)] == [3, 1]
    with pytest.raises(ValueError, match="many"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_goes_wrong_in_preparing_is_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(spread(int, ["3", "1"], "numbers", workers, partial(operator.truediv, 1, 0)))
