from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.alignment.similarity import Similarity
from stableanimator.alignment.training_data.misalignment import misalign, misalign_as_one, random_misalignment

SETTINGS = MisalignmentSettings(rotation_degrees=30, scale=(0.5, 4.0), translation=0.2)


def test_the_draws_follow_the_documented_distribution() -> None:
    drawn = random_misalignment(SETTINGS, torch.Generator().manual_seed(0), 4000)
    degrees = torch.rad2deg(torch.atan2(drawn.rotation[:, 1, 0], drawn.rotation[:, 0, 0])).numpy()
    expected = {
        "rotation": (degrees, scipy.stats.uniform(-30, 60)),
        "scale": (drawn.scale.numpy(), scipy.stats.loguniform(0.5, 4)),
        "x": (drawn.translation[:, 0].numpy(), scipy.stats.uniform(-0.2, 0.4)),
        "y": (drawn.translation[:, 1].numpy(), scipy.stats.uniform(-0.2, 0.4)),
    }
    for name, (values, distribution) in expected.items():
        assert scipy.stats.kstest(values, distribution.cdf).pvalue > 0.001, name


def test_the_same_generator_gives_the_same_draws() -> None:
    first, second = (random_misalignment(SETTINGS, torch.Generator().manual_seed(5), 3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_pose_turns_about_the_centroid_of_its_visible_joints() -> None:
    pose = torch.full((1, 18, 3), torch.nan)
    pose[..., 2] = 0
    pose[0, 0], pose[0, 1] = torch.tensor([0.4, 0.5, 0.9]), torch.tensor([0.6, 0.5, 0.8])
    pose[0, 2] = torch.tensor([0.9, 0.9, 0.1])  # not visible: it moves along, and does not count
    drawn = random_misalignment(SETTINGS, torch.Generator().manual_seed(1), 1)
    moved = misalign(pose, drawn)
    torch.testing.assert_close(moved[0, :2, :2].mean(0), torch.tensor([0.5, 0.5]) + drawn.translation[0])
    arm = moved[0, 1, :2] - moved[0, 0, :2]
    torch.testing.assert_close(arm, 0.2 * drawn.scale[0] * drawn.rotation[0, :, 0])
    assert torch.equal(moved[..., 2], pose[..., 2])
    assert torch.isnan(moved[0, 3:, :2]).all()


def test_a_clip_turns_as_one_about_the_centroid_of_all_its_visible_joints() -> None:
    clip = torch.full((3, 18, 3), torch.nan)
    clip[..., 2] = 0
    clip[0, 0], clip[0, 1] = torch.tensor([0.2, 0.5, 0.9]), torch.tensor([0.4, 0.5, 0.8])
    clip[1, 5] = torch.tensor([0.9, 0.5, 0.9])  # the centroid is (0.5, 0.5); the third frame shows nobody
    quarter = Similarity.from_degrees(torch.tensor(90.0), torch.tensor(2.0), torch.tensor([0.0, 0.1]))
    moved = misalign_as_one(clip, quarter)
    torch.testing.assert_close(moved[0, :2, :2], torch.tensor([[0.5, 0.0], [0.5, 0.4]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved[1, 5, :2], torch.tensor([0.5, 1.4]))
    assert torch.isnan(moved[2, :, :2]).all()
    assert torch.equal(moved[..., 2], clip[..., 2])


@pytest.mark.parametrize(
    ("field", "value"),
    [("rotation_degrees", 200.0), ("scale", (2.0, 1.0)), ("scale", (0.0, 1.0)), ("translation", -1.0)],
)
def test_ranges_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        MisalignmentSettings(**{field: value})  # type: ignore[arg-type]


def test_no_range_is_no_misalignment() -> None:
    none = MisalignmentSettings(rotation_degrees=0, scale=(1.0, 1.0), translation=0)
    pose = torch.from_numpy(np.random.default_rng(0).uniform(0.4, 1, (2, 18, 3))).float()
    torch.testing.assert_close(misalign(pose, random_misalignment(none, torch.Generator(), 2)), pose)
