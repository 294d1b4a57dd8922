"""Recovered motion of a moved texture against the motion it was moved by."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from stableanimator.perception.point_tracks import KltTracker, Tracks, track_klt
from stableanimator.perception.settings import KltSettings, SeedSettings

HEIGHT, WIDTH = 240, 320
NO_BOXES = np.zeros((0, 4), np.float32)


def texture(seed: int = 0) -> np.ndarray:
    """Noise at several scales, as in photographs: coarse structure leads, fine structure locates."""
    random = np.random.default_rng(seed)
    scales = [
        cv2.resize(random.normal(0, 1, (700 // size, 800 // size, 3)), (800, 700), interpolation=cv2.INTER_CUBIC)
        for size in (4, 12, 36, 108)
    ]
    return cv2.normalize(np.sum(scales, axis=0), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def step_matrix(rotation: float, zoom: float, dx: float, dy: float) -> np.ndarray:
    """[3, 3] one step about the frame's centre, in corner-based pixels."""
    angle, centre = np.radians(rotation), np.array([WIDTH / 2, HEIGHT / 2])
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, centre - linear @ centre + [dx, dy]
    return matrix


def moved_frames(step: np.ndarray, count: int, image: np.ndarray) -> np.ndarray:
    """A window on the texture, moved by `step` from frame to frame."""
    start = np.array([[1.0, 0, -240], [0, 1, -230], [0, 0, 1]])
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from the centre of the first pixel
    frames = []
    for number in range(count):
        matrix = np.linalg.inv(half) @ np.linalg.matrix_power(step, number) @ start @ half
        frames.append(cv2.warpAffine(image, matrix[:2], (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC))
    return np.stack(frames)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 2]


MOTIONS = {
    "still": (0.0, 1.0, 0.0, 0.0),
    "shift": (0.0, 1.0, 6.5, -3.25),
    "far shift": (0.0, 1.0, 45.0, 0.0),
    "rotation": (2.0, 1.0, 0.0, 0.0),
    "zoom": (0.0, 1.03, 0.0, 0.0),
    "all": (-1.5, 0.98, -3.0, 2.0),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_the_motion_of_a_texture_is_recovered(name: str) -> None:
    step = step_matrix(*MOTIONS[name])
    tracks = track_klt(moved_frames(step, 4, texture()), [NO_BOXES] * 4)
    for frame in range(3):
        before, after = tracks.step(frame)
        assert len(before) > 100
        errors = np.linalg.norm(after - apply(step, before), axis=1)
        assert np.median(errors) < 0.1
        assert np.mean(errors < 0.5) > 0.95


def test_points_are_pixels_of_the_full_frame() -> None:
    frames = moved_frames(step_matrix(0, 1, 2, 1), 2, texture())
    large = np.stack([cv2.resize(frame, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC) for frame in frames])
    before, after = track_klt(large, [NO_BOXES] * 2, KltSettings(longer_side=320)).step(0)
    np.testing.assert_allclose(np.median(after - before, axis=0), [6, 3], atol=0.1)
    assert before[:, 0].max() > 700
    expected, _ = track_klt(frames, [NO_BOXES] * 2).step(0)
    nearest = np.abs(before[:, None] / 3 - expected[None]).sum(-1).min(1)
    assert np.median(nearest) < 0.2


def test_points_stay_out_of_boxes() -> None:
    frames = moved_frames(step_matrix(0, 1, 4, 0), 6, texture())
    boxes = [np.array([[100.0, 50.0, 180.0, 200.0]])] * 6
    points = track_klt(frames, boxes, KltSettings(seeds=SeedSettings(box_margin=0.1))).points
    assert np.isfinite(points).any()
    x, y = points[..., 0], points[..., 1]
    inside = (x > 93) & (x < 187) & (y > 36) & (y < 214)  # the box and its margins of 8 and 15, less a pixel
    assert not inside.any()
    # Points that the shift carries into the box are lost there, and do not come back behind it.
    lost = np.isfinite(points[0, :, 0]) & ~np.isfinite(points[5, :, 0])
    assert (points[0, lost, 0] < 92).any()


def test_new_points_replace_lost_ones() -> None:
    settings = KltSettings(seeds=SeedSettings(max_points=100, reseed_share=0.8))
    frames = moved_frames(step_matrix(0, 1, 20, 0), 10, texture())
    tracks = track_klt(frames, [NO_BOXES] * 10, settings)
    alive = np.isfinite(tracks.points[..., 0]).sum(1)
    assert alive.min() >= 80
    assert alive.max() <= 100
    assert tracks.points.shape[1] > 100  # some tracks began later
    lifetimes = np.isfinite(tracks.points[..., 0])
    assert (np.abs(np.diff(lifetimes.astype(int), axis=0)).sum(0) <= 2).all()  # a lost track never comes back


def steps_of(windows: Sequence[Tracks]) -> list[np.ndarray]:
    steps = []
    for tracks in windows:
        for frame in range(len(tracks.points) - 1):
            pairs = np.concatenate(tracks.step(frame), axis=1)
            steps.append(pairs[np.lexsort(pairs.T)])
    return steps


def test_windows_give_the_steps_of_the_whole() -> None:
    frames = moved_frames(step_matrix(0.5, 1.01, 9, 2), 11, texture())
    boxes = [np.array([[10.0 * number, 20, 10.0 * number + 60, 120]]) for number in range(11)]
    whole = steps_of([track_klt(frames, boxes)])
    tracker = KltTracker()
    windows = [tracker.push(frames[start : start + 4], boxes[start : start + 4]) for start in (0, 4, 8)]
    parts = steps_of(windows)
    assert len(whole) == len(parts) == 10
    for expected, actual in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_what_cannot_be_followed_is_lost() -> None:
    frames = np.stack([texture(0)[:HEIGHT, :WIDTH], texture(1)[:HEIGHT, :WIDTH]])
    tracks = track_klt(frames, [NO_BOXES] * 2)
    assert len(tracks.step(0)[0]) < 0.1 * np.isfinite(tracks.points[0, :, 0]).sum()
    plain = np.full((3, HEIGHT, WIDTH, 3), 90, np.uint8)
    assert track_klt(plain, [NO_BOXES] * 3).points.shape == (3, 0, 2)
    covered = track_klt(frames, [np.array([[-5.0, -5.0, 400.0, 300.0]])] * 2)
    assert covered.points.shape == (2, 0, 2)


def test_a_noisy_wall_has_no_points_where_a_least_gradient_is_asked_for() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2, HEIGHT, WIDTH, 1))
    wall = np.repeat((90 + noise).round().astype(np.uint8), 3, axis=-1)
    frames = moved_frames(step_matrix(0, 1, 2, 1), 2, texture())
    anything, settings = (KltSettings(seeds=SeedSettings(min_gradient=least)) for least in (0.0, 2.0))
    assert np.isfinite(track_klt(wall, [NO_BOXES] * 2, anything).points[0]).any()
    assert track_klt(wall, [NO_BOXES] * 2, settings).points.shape[1] == 0
    assert len(track_klt(frames, [NO_BOXES] * 2, settings).step(0)[0]) > 100


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="3 frames, but boxes for 2"):
        track_klt(np.zeros((3, HEIGHT, WIDTH, 3), np.uint8), [NO_BOXES] * 2)
    with pytest.raises(ValueError, match=r"window must be .* not 1"):
        KltSettings(window=1)
    with pytest.raises(ValueError, match=r"reseed_share must be .* not 2"):
        SeedSettings(reseed_share=2)
