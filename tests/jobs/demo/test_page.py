"""The table of the demo's page; the page itself is made and looked at in tests/end_to_end/test_line.py."""

from __future__ import annotations

from jobs.demo.page import METRICS, metric_rows
from stableanimator.metrics.scoring import column_names


def test_each_metric_has_a_line_and_what_nobody_has_is_left_out() -> None:
    psnr = {"standard/psnr": 22.0, "standard/psnr_low": 15.0, "standard/psnr_high": 30.0}
    (row,) = metric_rows({"plain": psnr, "repeat": {"pairs": 3.0}}, ["plain", "repeat"])
    assert (row["what"], row["digits"]) == (METRICS["standard/psnr"], 1)
    assert row["cells"] == [[22.0, 15.0, 30.0], None]


def test_every_metric_of_the_table_is_measured() -> None:
    assert set(METRICS) <= set(column_names(["standard"]))
