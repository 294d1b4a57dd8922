"""Precision and recall as they are counted, on a few cases."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.animate.preview import JUDGED, measure
from benchmarks.animate.preview_cases import KINDS


def test_every_kind_has_a_precision_and_a_recall_with_the_bar() -> None:
    figures = measure(cases=2, seed=10)
    assert [each.name for each in figures] == [f"{kind}: {what}" for kind in KINDS for what in ("precision", "recall")]
    assert all(each.bar == 0.95 for each in figures)
    assert np.nanmean([each.value for each in figures]) == pytest.approx(1, abs=0.1)


def test_what_is_judged_did_not_set_thresholds() -> None:
    assert JUDGED >= 1_000_000
