"""Errors of frames that are wrong in a known way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.animate import seen
from benchmarks.animate.seams import borders_of
from benchmarks.animate.seen import errors_along, errors_of, mean_error, sharpness, steps
from benchmarks.embedded.judge import Judged
from stableanimator.animate_settings import AnimateSettings


def _pose(x: float) -> np.ndarray:
    """A body of 100 pixels from the nose to the ankles (COCO's joints), straight, at a place."""
    pose = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
    for joint, (aside, y) in {0: (0, 0), 5: (9, 20), 6: (-9, 20), 11: (5, 50), 12: (-5, 50), 13: (5, 75), 14: (-5, 75),
                              15: (5, 100), 16: (-5, 100)}.items():  # fmt: skip
        pose[0, joint] = (x + aside, y, 0.9)
    return pose


def _judged(*people: tuple[float, np.ndarray | None]) -> Judged:
    return Judged([_pose(x) for x, _ in people], [None] * len(people), [face for _, face in people])


def _errors(monkeypatch: pytest.MonkeyPatch, seen_now: Judged, true: Judged, brighter: int = 0) -> Any:
    truth = np.full((len(true.poses), 8, 8, 3), 100, np.uint8)
    loop: Any = SimpleNamespace(truth=truth, seen=true)
    monkeypatch.setattr(seen, "bench", lambda: SimpleNamespace(judge=lambda frames: seen_now))
    return errors_of(truth + np.uint8(brighter), loop, list(range(len(truth))))


def test_each_error_is_that_of_its_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    true = _judged((50, one), (60, one))
    right = _errors(monkeypatch, true, true)
    assert (right.colour, right.pose, right.identity) == (0, 0, pytest.approx(0))
    assert _errors(monkeypatch, true, true, brighter=7).colour == 7
    half = _errors(monkeypatch, _judged((50, other), (60, one)), true)
    assert (half.pose, half.identity) == (0, pytest.approx(0.5))
    lost = _errors(monkeypatch, _judged((50, None), (60, one)), true)
    assert lost.identity == pytest.approx(0.5)
    aside = _errors(monkeypatch, _judged((54, one), (64, one)), true)
    assert 0.03 < aside.pose < 0.04  # 4 pixels of a stature of 100 / 0.871, or a little more along the chain
    assert _errors(monkeypatch, _judged((90, one), (100, one)), true).pose == pytest.approx(0.1)


def test_stretches_show_the_moments_of_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []
    monkeypatch.setattr(
        seen, "errors_of", lambda frames, loop, moments: asked.append((len(frames), moments)) or len(asked)
    )
    loop: Any = SimpleNamespace(moments=lambda count: np.arange(count) % 3)
    assert errors_along(iter(np.zeros((5, 2, 2, 3), np.uint8)), loop, 5, 2) == [1, 2, 3]
    assert asked == [(2, [0, 1]), (2, [2, 0]), (1, [1])]
    errors = [seen.Errors(1.0, 2.0, 3.0), seen.Errors(3.0, 2.0, 1.0)]
    assert [mean_error(errors, name) for name in seen.ERRORS] == [2, 2, 2]


def test_sharpness_and_steps_by_hand() -> None:
    flat, dot = np.full((5, 5, 3), 10, np.uint8), np.full((5, 5, 3), 10, np.uint8)
    dot[2, 2] = 20
    assert sharpness(np.stack([flat, dot])).tolist() == [0, pytest.approx((40**2 + 4 * 10**2) / 25)]
    assert steps(np.stack([flat, dot, dot])).tolist() == [pytest.approx(10 / 25), 0]


def test_borders_are_where_windows_begin_and_end() -> None:
    """Windows of 16 that share 4 in 128 frames begin at 0, 12, 24, and so on, the last one at 112."""
    at = np.flatnonzero(borders_of(AnimateSettings(), 4, 0))
    assert at[:4].tolist() == [11, 15, 23, 27]
    assert at[-2:].tolist() == [111, 123]
    assert np.flatnonzero(borders_of(AnimateSettings(), 0, 0)).tolist() == [15, 31, 47, 63, 79, 95, 111]
