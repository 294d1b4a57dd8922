from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stableanimator.alignment.settings import ProceduralSettings
from stableanimator.alignment.training_data import procedural
from stableanimator.alignment.training_data.draws import RowDraws
from stableanimator.alignment.training_data.procedural import procedural_pairs

ROWS = np.arange(400)
STILL = ProceduralSettings(whole_body_share=1, turn_share=0, seated_share=0, occlusion=0, noise=0, camera_motion=0)


def test_a_row_is_the_same_in_any_batch() -> None:
    settings = ProceduralSettings()
    whole = procedural_pairs(settings, 3, ROWS)
    part = procedural_pairs(settings, 3, np.array([399, 17]))
    for all_rows, few in zip(whole, part, strict=True):
        np.testing.assert_allclose(few, all_rows[[399, 17]], atol=1e-6)


def test_seed_and_stream_change_every_row() -> None:
    first = procedural_pairs(ProceduralSettings(), 3, ROWS)[0][..., 2]
    for seed, stream in ((4, 0), (3, 1)):
        other = procedural_pairs(ProceduralSettings(), seed, ROWS, stream=stream)[0][..., 2]
        assert (first != other).any(1).all()


def test_both_poses_share_enough_joints_and_missing_ones_are_nan() -> None:
    poses = np.stack(procedural_pairs(replace(ProceduralSettings(), occlusion=0.5), 0, ROWS, minimum_joints=6))
    visible = poses[..., 2] > 0
    assert visible.all(0).sum(-1).min() >= 6
    assert (poses[..., 2][visible] >= 0.3).all()
    assert np.isnan(poses[~visible][:, :2]).all()
    assert np.isfinite(poses[visible]).all()


def test_bones_keep_their_lengths_in_every_pose() -> None:
    draws = RowDraws(0, 9, np.arange(200))
    bones = procedural._person(draws)
    seated = np.where(np.arange(200) % 2, 1.0, 0.0)
    body = procedural._body(bones, draws.normal(procedural._LATENTS), np.full(200, 80.0), seated)
    lengths = {(2, 3): "upper_arm", (6, 7): "forearm", (8, 9): "thigh", (12, 13): "shank"}
    for (first, second), name in lengths.items():
        np.testing.assert_allclose(np.linalg.norm(body[:, first] - body[:, second], axis=-1), bones[name])
    np.testing.assert_allclose(np.linalg.norm(body[:, 2] - body[:, 5], axis=-1), 2 * bones["shoulder"])
    middle = body[:, [8, 11]].mean(1)
    np.testing.assert_allclose(np.linalg.norm(body[:, 1] - middle, axis=-1), bones["torso"])


def test_knees_and_elbows_bend_the_way_they_do() -> None:
    draws = RowDraws(0, 9, np.arange(200))
    body = procedural._body(procedural._person(draws), draws.normal(procedural._LATENTS), np.zeros(200), np.zeros(200))
    for hip, knee, ankle in ((8, 9, 10), (11, 12, 13)):
        thigh, shank = body[:, knee] - body[:, hip], body[:, ankle] - body[:, knee]
        # Seen from the side, the shank never points further forward than the thigh.
        forward = np.arctan2(shank[:, 2], shank[:, 1]) - np.arctan2(thigh[:, 2], thigh[:, 1])
        assert (np.degrees(np.mod(forward + np.pi, 2 * np.pi) - np.pi) < 12).all()


def test_people_who_face_the_camera_stand_upright_and_are_not_mirrored() -> None:
    reference, _ = procedural_pairs(STILL, 0, ROWS)
    right_shoulder, left_shoulder = reference[:, 2], reference[:, 5]
    seen = (right_shoulder[:, 2] > 0) & (left_shoulder[:, 2] > 0)
    assert (right_shoulder[seen, 0] < left_shoulder[seen, 0]).mean() > 0.99
    neck, hip, ankle = reference[:, 1], reference[:, 8], reference[:, 10]
    seen = (neck[:, 2] > 0) & (hip[:, 2] > 0) & (ankle[:, 2] > 0)
    assert (neck[seen, 1] < hip[seen, 1]).all()
    assert (hip[seen, 1] < ankle[seen, 1]).mean() > 0.99


def test_framing_decides_how_much_of_the_body_is_seen() -> None:
    whole, _ = procedural_pairs(STILL, 0, ROWS)
    crops, _ = procedural_pairs(replace(STILL, whole_body_share=0), 0, ROWS)
    assert (whole[:, [10, 13], 2] > 0).mean() > 0.9
    assert (crops[:, [10, 13], 2] > 0).mean() < 0.1
    assert (crops[:, 0, 2] > 0).mean() > 0.9


def test_noise_is_of_the_size_it_says() -> None:
    quiet, _ = procedural_pairs(STILL, 0, ROWS)
    noisy, _ = procedural_pairs(replace(STILL, noise=0.004), 0, ROWS)
    same = (quiet[:, 2, 2] > 0) & (noisy[:, 2, 2] > 0)
    # Body heights are 0.5 to 0.9 image heights, mean 0.7; the level's own spread is log-normal with sigma 0.5.
    expected = 0.004 * np.sqrt(0.7**2 + 0.4**2 / 12) * np.exp(0.5**2)
    assert np.std((noisy - quiet)[same, 2, :2]) == pytest.approx(expected, rel=0.15)


def test_settings_that_hide_too_much_are_refused() -> None:
    close = replace(ProceduralSettings(), whole_body_share=0)
    with pytest.raises(ValueError, match="minimum_joints"):
        procedural_pairs(close, 0, ROWS[:20], minimum_joints=18)


@pytest.mark.parametrize(("field", "value"), [("turn_share", 1.5), ("occlusion", 0.9), ("noise", -1.0)])
def test_ranges_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        ProceduralSettings(**{field: value})
