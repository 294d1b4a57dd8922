from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.measures.frames import frame_period, sample_indices, steady_indices


def test_a_constant_rate_is_sampled_evenly():
    times = np.arange(90) / 30
    # 30 / 8 = 3.75: every fourth frame
    assert sample_indices(times, 0, 90, 8).tolist() == list(range(0, 90, 4))
    assert sample_indices(times, 10, 20, 15).tolist() == [10, 12, 14, 16, 18]


def test_every_frame_is_taken_where_the_video_has_no_more():
    assert sample_indices(np.arange(10) / 5, 0, 10, 8).tolist() == list(range(10))


def test_a_varying_rate_is_sampled_by_time():
    # ten frames in the first second, two in the second: 2 samples a second take every fifth of the first
    times = np.concatenate([np.arange(10) / 10, [1.0, 1.5, 2.0]])
    indices = sample_indices(times, 0, 13, 2)
    assert np.allclose(np.diff(times[indices]), 0.5, atol=0.1)


def test_one_frame_is_one_sample():
    assert sample_indices(np.array([0.0, 1.0]), 1, 2, 8).tolist() == [1]


@given(
    steps=st.lists(st.floats(0.001, 2.0), min_size=2, max_size=60),
    rate=st.floats(0.1, 120),
    start=st.integers(0, 20),
)
def test_samples_lie_in_the_shot_increase_and_begin_it(steps: list[float], rate: float, start: int):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    start = min(start, len(times) - 1)
    indices = sample_indices(times, start, len(times), rate)
    assert indices[0] == start
    assert (np.diff(indices) > 0).all()
    assert indices[-1] < len(times)


@given(
    steps=st.lists(st.floats(0.001, 2.0), min_size=2, max_size=60),
    rate=st.floats(0.1, 120),
    start=st.integers(0, 20),
    end=st.integers(1, 61),
)
def test_samples_do_not_depend_on_where_the_shot_ends(steps: list[float], rate: float, start: int, end: int):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    start = min(start, len(times) - 1)
    end = max(start + 1, min(end, len(times)))
    longest = sample_indices(times, start, len(times), rate)
    assert sample_indices(times, start, end, rate).tolist() == longest[longest < end].tolist()


@given(fps=st.sampled_from([24, 25, 30, 50, 60, 24000 / 1001, 30000 / 1001]), rate=st.sampled_from([1, 2, 4, 8, 12]))
def test_rounded_times_are_sampled_as_evenly_as_exact_ones(fps: float, rate: float):
    exact = np.arange(500) / fps
    rounded = np.round(exact, 3)  # as Matroska has them
    spacing = np.diff(sample_indices(rounded, 7, 400, rate))
    assert len(set(spacing.tolist())) == 1
    assert abs(spacing[0] - fps / rate) <= 0.51
    assert sample_indices(exact, 7, 400, rate).tolist() == sample_indices(rounded, 7, 400, rate).tolist()


def test_pauses_and_lost_frames_do_not_change_the_period():
    times = np.arange(100) / 30
    times[50:] += 1e12  # a broken stamp
    times = np.delete(times, [20, 21, 70])
    assert frame_period(times) == pytest.approx(1 / 30, rel=1e-3)
    assert np.diff(sample_indices(times, 0, 15, 8)).tolist() == [4, 4, 4]
    assert len(sample_indices(times, 0, len(times), 8)) < 40
    assert frame_period(times[:1]) == 0


@given(fps=st.sampled_from([12, 24, 25, 30, 30000 / 1001]), rate=st.floats(0.5, 60), end=st.integers(1, 300))
def test_a_constant_rate_is_played_as_it_is_sampled(fps: float, rate: float, end: int):
    times = np.arange(300) / fps
    start = end // 3
    indices, steady = steady_indices(times, start, end, rate)
    assert indices.tolist() == sample_indices(times, start, end, rate).tolist()
    assert 0 <= len(indices) / steady - (end - start) / fps < 1 / steady
    assert fps / steady == pytest.approx(round(fps / steady))


def test_a_frame_that_is_held_is_repeated_so_that_moments_stay_where_they_are():
    # 25 frames in the first second, then one for a second, then two more: 5 a second
    times = np.concatenate([np.arange(25) / 25, [1.0, 2.0, 2.04]])
    indices, steady = steady_indices(times, 0, 28, 5)
    assert steady == pytest.approx(5)
    assert indices.tolist() == [0, 5, 10, 15, 20, 25, 25, 25, 26, 26, 26]
    # of a part that ends within the pause: up to the next frame
    assert steady_indices(times, 20, 26, 5)[0].tolist() == [20, 25, 25, 25, 25, 25]


def test_one_frame_is_played_at_the_rate_that_is_asked_for():
    indices, steady = steady_indices(np.array([0.0]), 0, 1, 8)
    assert (indices.tolist(), steady) == ([0], 8)
