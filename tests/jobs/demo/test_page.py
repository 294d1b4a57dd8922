"""The table of the demo's page, by hand; the page itself is made and looked at in tests/end_to_end/test_line.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jobs.demo.page import METRICS, metric_rows
from jobs.pairs.metrics import COLUMNS

NOTHING: dict[str, Any] = dict.fromkeys(METRICS)


def test_the_means_are_over_people_and_what_nobody_has_is_left_out() -> None:
    people = {"a1": "a", "a2": "a", "b": "b", "c": "c"}
    psnr = {"a1": 10.0, "a2": 20.0, "b": 30.0, "c": None}
    rows = [NOTHING | {"pair_id": pair, "variant": "plain", "psnr": value} for pair, value in psnr.items()]
    rows += [NOTHING | {"pair_id": "c", "variant": "repeat", "psnr": None}]
    (row,) = metric_rows(rows, ["plain", "repeat"], people)
    assert row["what"] == METRICS["psnr"]
    plain, repeat = row["cells"]
    assert plain.value == pytest.approx((np.mean([10, 20]) + 30) / 2)
    assert (plain.low, plain.high) == (15, 30)  # two people: either is drawn twice often enough
    assert repeat is None


def test_every_metric_of_the_table_is_measured() -> None:
    assert set(METRICS) <= set(COLUMNS)
