"""Drawn cases are what their names say, by their true points."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.animate.preview_cases import KINDS, sound
from benchmarks.animate.preview_people import full_body, lies_inside, motion, person, seated, still


def test_a_full_body_lies_in_its_picture_with_crown_and_soles() -> None:
    random = np.random.default_rng(0)
    for _ in range(5):
        scene = full_body(random)
        drawn = person(random, still(random, 4), scene)
        assert lies_inside(drawn.true[:, :23], scene.size).all()
        assert lies_inside(drawn.crown, scene.size).all()
        tall = drawn.true[:, 15:23, 1].max() - drawn.crown[:, 1].min()
        assert tall == pytest.approx(scene.stature, rel=0.06)  # soles are lower than heels and toes


def test_who_sits_has_knees_as_high_as_hips() -> None:
    random = np.random.default_rng(1)
    scene = full_body(random)
    sitting, standing = person(random, seated(random, 2), scene), person(random, still(random, 2), scene)
    falls = [(each.true[:, 13:15, 1] - each.true[:, 11:13, 1]).mean() / scene.stature for each in (sitting, standing)]
    assert falls[0] < 0.08 < 0.18 < falls[1]


def test_a_detector_is_off_by_little_and_misses_some() -> None:
    random = np.random.default_rng(2)
    scene = full_body(random)
    drawn = person(random, motion(random), scene, missed=0.5)
    off = np.linalg.norm(drawn.seen[..., :2] - drawn.true, axis=-1)
    assert 0 < np.nanmax(off) < 0.08 * scene.stature
    assert 0 < np.isnan(off[:, :17]).mean() < 0.5
    assert not np.isnan(off[:, 17:]).any()


@pytest.mark.parametrize("name", list(KINDS))
def test_a_case_depends_on_its_seed_alone(name: str) -> None:
    one, same, other = (KINDS[name](np.random.default_rng(seed), True) for seed in (3, 3, 4))  # type: ignore[index]
    np.testing.assert_array_equal(one.driving.keypoints, same.driving.keypoints)
    assert one.driving.keypoints.shape != other.driving.keypoints.shape or not np.array_equal(
        one.driving.keypoints, other.driving.keypoints
    )


def test_counts_of_people_differ_in_cases_and_agree_in_near_misses() -> None:
    for seed in range(10):
        case = KINDS["people_unmatched"](np.random.default_rng(seed), True)
        usual = float(np.median([len(each) for each in case.frames]))
        assert usual != case.reference_people
        near = KINDS["people_unmatched"](np.random.default_rng(seed), False)
        assert np.median([len(each) for each in near.frames]) == near.reference_people


def test_sound_pairs_are_found_in_every_frame() -> None:
    case = sound(np.random.default_rng(5))
    assert all(len(each) == 1 for each in case.frames)
    assert case.alignment == "learned"
