"""People who cross keep who they are."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.drawn.crossings import share_wrong
from stableanimator.driving import follow_people

SHAPE = np.random.default_rng(0).uniform(-20, 20, (17, 2)) * (1, 2.2)


def at(x: float, y: float = 200.0) -> np.ndarray:
    """A pose [133, 3] of 17 body joints around a place."""
    pose = np.full((133, 3), (np.nan, np.nan, 0), np.float32)
    pose[:17] = [(*place, 0.9) for place in SHAPE + np.array([x, y])]
    return pose


def wrong(paths: list[list[np.ndarray | None]], count: int) -> int:
    """Places in which `follow_people` gives anything but the paths: poses by person and frame, None where hidden. The
    detector's order turns with every frame."""
    there = [[pose for pose in frame if pose is not None] for frame in zip(*paths, strict=True)]
    turned = [poses[::-1] if number % 2 else poses for number, poses in enumerate(there)]
    followed = follow_people([np.stack(poses) for poses in turned], count)
    missing = np.full((133, 3), (np.nan, np.nan, 0), np.float32)
    return sum(
        not np.array_equal(followed[frame, person], missing if pose is None else pose, equal_nan=True)
        for person, path in enumerate(paths[:count])
        for frame, pose in enumerate(path)
    )


@pytest.mark.parametrize("frames", [30, 72])
@pytest.mark.parametrize("hidden", [0, 1])
@pytest.mark.parametrize("dy", [0.0, 15.0])
@pytest.mark.parametrize("count", [1, 2])
def test_two_who_cross_while_one_is_hidden(frames: int, hidden: int, dy: float, count: int) -> None:
    starts = [(50, 500 / frames, 200.0), (550, -500 / frames, 200 + dy)]
    paths = [
        [
            None if person == hidden and abs(frame + 0.5 - frames / 2) < frames / 12 else at(x + step * frame, y)
            for frame in range(frames)
        ]
        for person, (x, step, y) in enumerate(starts)
    ]
    assert wrong(paths, count) == 0


def test_who_leaves_and_comes_back_is_the_same_and_a_stranger_is_not_taken_for_them() -> None:
    stays = [at(100.0 + frame % 2) for frame in range(60)]
    away = [at(300.0) if frame < 20 or frame >= 40 else None for frame in range(60)]
    passer = [at(500.0 - 3 * frame, 90) if 22 <= frame < 38 else None for frame in range(60)]
    assert wrong([stays, away, passer], 2) == 0


def test_an_hour_of_somebody_new_in_every_frame_takes_no_hour() -> None:
    """Work grows with the length of a video, also where nothing can be followed."""
    frames = [at(100.0 + 1000 * (frame % 7))[None] for frame in range(8000)]
    started = time.process_time()
    followed = follow_people(frames, 1)
    assert np.array_equal(followed[0, 0], frames[0][0], equal_nan=True)
    assert time.process_time() - started < 60


def test_nobody_anywhere_is_nobody() -> None:
    empty = np.zeros((0, 133, 3), np.float32)
    assert not follow_people([empty] * 3, 2)[..., 2].any()


@pytest.mark.parametrize("count", [2, 3])
def test_drawn_people_who_cross(count: int) -> None:
    share, frames = share_wrong(count, 12)
    assert frames > 500
    assert share <= 0.02
