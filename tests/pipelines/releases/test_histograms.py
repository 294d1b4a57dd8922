from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.releases.histograms import Histogram, histogram
from pipelines.releases.rule_columns import Scale


def _drawn(values: list[float], scale: Scale = "linear", low: float | None = None, high: float | None = None):
    drawn = histogram(np.array(values), np.zeros(len(values), bool), scale, low, high)
    assert drawn is not None
    return drawn


def _left_of(drawn: Histogram, place: float) -> int:
    """Shots in bars left of a place; no bar may lie across it."""
    assert all(bar.right <= place + 1e-9 or bar.left >= place - 1e-9 for bar in drawn.bars)
    return sum(bar.shots for bar in drawn.bars if bar.right <= place + 1e-9)


@given(
    st.lists(st.floats(0, 1e4, allow_subnormal=False), min_size=1, max_size=60),
    st.sampled_from(["linear", "log"]),
    st.floats(0.01, 5000),
    st.floats(1, 2),
)
@example([0.0, 3847.0], "log", 0.5, 2.0)  # thresholds more decades below the values than are shown for values alone
def test_the_bars_on_each_side_of_the_limits_hold_the_shots_that_each_rejects(
    values: list[float], scale: Scale, low: float, ratio: float
):
    high = low * ratio
    drawn = _drawn(values, scale, low, high)
    assert sum(bar.shots for bar in drawn.bars) == len(values)
    assert drawn.low is not None
    assert drawn.high is not None
    if drawn.low < drawn.high:
        assert _left_of(drawn, drawn.low) == sum(value < low for value in values)
        assert len(values) - _left_of(drawn, drawn.high) == sum(value > high for value in values)


def test_a_value_on_the_limit_is_on_the_side_that_is_kept():
    drawn = _drawn([2.0, 2.0, 3.0, 4.0, 4.0, 9.0], low=2.0, high=4.0)
    assert _left_of(drawn, drawn.low or 0) == 0
    assert _left_of(drawn, drawn.high or 0) == 5


def test_whole_numbers_stand_around_their_tick_and_the_limit_between_two():
    drawn = _drawn([0, 0.5, 1, 1, 1, 2], "count", low=1)
    assert [(bar.shots, bar.text) for bar in drawn.bars] == [(1, "0"), (1, "0.5"), (3, "1"), (1, "2")]
    assert _left_of(drawn, drawn.low or 0) == 2
    places = {text: place for place, text in drawn.ticks}
    one = drawn.bars[2]
    assert places["1"] == pytest.approx((one.left + one.right) / 2, abs=1e-3)


def test_the_axis_shows_the_bulk_and_the_limit_and_the_last_bar_holds_the_rest():
    values = [*np.linspace(1, 2, 1000), 1e6]
    drawn = _drawn(values, "log", low=0.5)
    assert drawn.low is not None
    assert 0 < drawn.low < drawn.bars[0].left
    assert drawn.bars[-1].right == 1
    assert drawn.span.endswith("to 1000000")
    assert [text for _, text in drawn.ticks] == ["0.5", "1", "2"]


def test_a_share_goes_from_none_to_all():
    assert [text for _, text in _drawn([0.4, 0.6], "share").ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_accepted_shots_are_a_part_of_each_bar():
    drawn = histogram(np.array([1.0, 1.0, 1.0, 2.0]), np.array([True, False, True, False]), "linear")
    assert drawn is not None
    assert [(bar.shots, bar.accepted) for bar in drawn.bars] == [(3, 2), (1, 0)]
    assert drawn.most == 3


@pytest.mark.parametrize("scale", ["linear", "log", "count", "share"])
@pytest.mark.parametrize("value", [0.0, 0.37, 5.0])
def test_one_value_alone_can_be_drawn(scale: Scale, value: float):
    (bar,) = _drawn([value], scale).bars
    assert 0 <= bar.left < bar.right <= 1


def test_without_a_measured_value_there_is_nothing_to_draw():
    assert histogram(np.array([np.nan, np.nan]), np.zeros(2, bool), "linear") is None
