from __future__ import annotations

import numpy as np
import pytest

from stableanimator.alignment.per_bone import BONES
from stableanimator.alignment.settings import ProceduralSettings
from stableanimator.alignment.training_data.augmentation import DRAWS, augment
from stableanimator.alignment.training_data.procedural import procedural_pairs

MIDDLE = 0.5  # as a bone's draw: the factor 1
KEPT = 0.99  # as a joint's draw: it stays


def pairs(count: int = 6) -> np.ndarray:
    settings = ProceduralSettings(whole_body_share=1.0, occlusion=0.0)
    return np.stack(procedural_pairs(settings, 0, np.arange(count)))


def draws(count: int = 6, **values: float) -> np.ndarray:
    """Draws that change nothing but what is named: mirror, crop, line, bones, missed."""
    given = {"mirror": 0.9, "crop": 0.9, "line": 0.5, "bones": MIDDLE, "missed": KEPT} | values
    parts = [given["mirror"], given["crop"], given["line"], *[given["bones"]] * len(BONES)]
    return np.tile([*parts, *[given["missed"]] * (DRAWS - len(parts))], (count, 1))


def test_nothing_changes_by_itself() -> None:
    before = pairs()
    np.testing.assert_allclose(augment(before, draws(), 4), before, atol=1e-6)


def test_a_mirrored_person_has_left_and_right_exchanged() -> None:
    before = pairs()
    after = augment(before, draws(mirror=0.1), 4)
    np.testing.assert_allclose(after[..., 0, 0], -before[..., 0, 0], atol=1e-6)  # nose
    for right, left in ((2, 5), (4, 7), (8, 11), (10, 13), (14, 15), (16, 17)):
        expected = before[..., left, :] * [-1, 1, 1]
        np.testing.assert_allclose(after[..., right, :], expected, atol=1e-6)


def test_bones_grow_and_what_hangs_on_them_moves_along() -> None:
    before = pairs()
    changes = draws()
    changes[:, 3 + BONES.index((2, 3))] = 0.8413447460685429  # one standard deviation: a factor of e^0.1
    after = augment(before, changes, 4)
    upper_arm = before[..., 3, :2] - before[..., 2, :2]
    np.testing.assert_allclose(after[..., 3, :2] - after[..., 2, :2], np.exp(0.1) * upper_arm, atol=1e-5)
    np.testing.assert_allclose(  # the forearm is as it was
        after[..., 4, :2] - after[..., 3, :2], before[..., 4, :2] - before[..., 3, :2], atol=1e-5
    )
    others = [joint for joint in range(18) if joint not in (3, 4)]
    np.testing.assert_allclose(after[..., others, :], before[..., others, :], atol=1e-6)


def test_a_crop_hides_what_lies_below_one_line_in_both_poses() -> None:
    before = pairs()
    after = augment(before, draws(crop=0.1, line=0.2), 4)
    for pair in range(before.shape[1]):
        y = before[0, pair, :, 1]
        edge = np.nanmin(y) + (0.35 + 0.65 * 0.2) * (np.nanmax(y) - np.nanmin(y))
        for pose in range(2):
            gone = before[pose, pair, :, 1] > edge
            assert (after[pose, pair, gone, 2] == 0).all()
            np.testing.assert_allclose(after[pose, pair, ~gone], before[pose, pair, ~gone], atol=1e-6)


def test_a_pair_keeps_the_joints_that_it_needs() -> None:
    before = pairs()
    np.testing.assert_allclose(augment(before, draws(missed=0.0), 4), before, atol=1e-6)


@pytest.mark.parametrize("missing", [[1], [2, 5], [0, 14, 15, 16, 17], [8, 9, 10]])
def test_missing_joints_stay_missing_and_hurt_no_other(missing: list[int]) -> None:
    before = pairs()
    before[:, :, missing] = (np.nan, np.nan, 0)
    after = augment(before, draws(bones=0.7), 4)
    assert (after[:, :, missing, 2] == 0).all()
    seen = before[..., 2] > 0
    assert np.isfinite(after[seen]).all()
