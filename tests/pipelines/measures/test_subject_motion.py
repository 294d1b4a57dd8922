from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.measures.subject_motion import SubjectMotion, own_motion, shared_by_neighbours
from pipelines.releases.settings import SelectSettings
from stableanimator.perception.point_tracks import KltTracker
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

Texture = Callable[..., np.ndarray]
WHOLE = np.array([[0, 0, 320, 200]], np.float32)


def _speed(pictures: Iterable[np.ndarray], box: np.ndarray = WHOLE) -> float | None:
    motion = SubjectMotion(KltTracker())
    for number, picture in enumerate(pictures):
        motion.add(np.ascontiguousarray(picture), number / 8, box)
    return motion.speed()


@given(st.floats(-180, 180), st.floats(0.5, 2), st.floats(-100, 100), st.floats(-100, 100), st.integers(0, 1000))
def test_what_moves_as_one_has_no_motion_of_its_own(turn: float, scale: float, dx: float, dy: float, seed: int):
    places = np.random.default_rng(seed).uniform(0, 500, (40, 2))
    angle = np.radians(turn)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.abs(own_motion(places, places @ matrix.T + (dx, dy))).max() < 1e-6


def test_the_few_that_move_otherwise_keep_their_motion():
    places = np.random.default_rng(0).uniform(0, 500, (60, 2))
    moved = places + np.array((30.0, -7.0))  # the camera
    moved[:15] += (0.0, 6.0)  # an arm
    own = own_motion(places, moved)
    assert own[:15] == pytest.approx(np.tile((0.0, 6.0), (15, 1)), abs=1e-6)
    assert own[15:] == pytest.approx(0, abs=1e-6)


def test_neighbours_keep_what_they_share_and_lose_what_each_has_for_itself():
    row = np.stack([np.arange(30.0), np.zeros(30)], 1)
    motion = np.where(row[:, :1] < 15, (2.0, 0.0), (0.0, 0.0))
    noisy = motion.copy()
    noisy[4] = (-50, 50)
    assert np.array_equal(shared_by_neighbours(row, noisy), motion)


def test_a_picture_that_moves_before_the_camera_is_not_alive(new_texture: Texture):
    world = new_texture(1, width=400)
    assert _speed(world[:, 4 * n : 4 * n + 320] for n in range(17)) == pytest.approx(0, abs=0.0005)


def test_a_part_that_moves_is_measured_in_heights_per_second(new_texture: Texture):
    pictures = np.repeat(new_texture(1)[None], 17, 0)
    arm = new_texture(2)
    for number, picture in enumerate(pictures):
        picture[:60] = np.roll(arm, 3 * number, axis=1)[:60]
    # 3 pixels a sample, 8 samples a second, 200 pixels high; less where a track is lost within the second
    assert _speed(pictures) == pytest.approx(24 / 200, rel=0.1)


def test_noise_of_a_camera_is_no_motion(new_texture: Texture):
    noise = np.random.default_rng(0).normal(0, 4, (17, 200, 320, 3))
    assert _speed((new_texture(1) + noise).clip(0, 255).astype(np.uint8)) < 0.001


def test_where_nobody_is_nothing_is_said(new_texture: Texture):
    assert _speed([new_texture(1)] * 9, np.zeros((0, 4), np.float32)) is None
    assert _speed([np.full((200, 320, 3), 90, np.uint8)] * 9) is None


def _drawn(kind: str, motion: str, camera: str) -> float | None:
    """A drawn clip with another motion and camera, filmed with noise, and true boxes."""
    clip = write_clip(kind, seed=5, settings=ClipSettings(min_seconds=2.3, max_seconds=2.3, supersample=1))
    (shot,) = clip.shots
    roles = tuple(replace(role, motion=motion) for role in shot.roles)
    renderer = ClipRenderer(replace(clip, shots=(replace(shot, camera=camera, roles=roles),)))
    noise = np.random.default_rng(0)
    subject = SubjectMotion(KltTracker())
    for number, picture in enumerate(renderer):
        if number % 3 == 0:
            noisy = (picture + noise.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)
            subject.add(noisy, number / 25, renderer.truth.person_boxes[number])
    return subject.speed()


def test_a_statue_before_a_moving_camera_is_told_from_someone_who_stands_still():
    limit = SelectSettings().min_subject_motion
    assert limit is not None
    assert _drawn("statue", "statue", "static") < limit / 2
    assert _drawn("statue", "statue", "pan") < 2 * limit  # three times as fast as is accepted
    assert _drawn("wave", "idle", "static") > 4 * limit
