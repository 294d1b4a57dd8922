from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import scipy.linalg
import torch

from stableanimator.alignment.aligner import Aligner, AlignerSettings
from stableanimator.alignment.baselines import AlignmentName, align
from stableanimator.alignment.misalignment import misalign, random_misalignment
from stableanimator.alignment.misalignment_settings import MisalignmentSettings
from stableanimator.alignment.poses import WITHOUT_ARMS

ARMS = [3, 4, 6, 7]


def poses(count: int, seed: int = 0) -> torch.Tensor:
    keypoints = np.random.default_rng(seed).uniform(0.1, 0.9, (count, 18, 3))
    keypoints[..., 2] = 0.9
    return torch.from_numpy(keypoints)


def hide(keypoints: torch.Tensor, joints: list[int]) -> torch.Tensor:
    hidden = keypoints.clone()
    hidden[:, joints] = torch.tensor([torch.nan, torch.nan, 0], dtype=keypoints.dtype)
    return hidden


def misaligned(truth: torch.Tensor, **settings: object) -> torch.Tensor:
    drawn = random_misalignment(MisalignmentSettings(**settings), torch.Generator().manual_seed(0), len(truth))  # type: ignore[arg-type]
    return misalign(truth, drawn)


def test_none_moves_nothing() -> None:
    driven = poses(3)
    assert torch.equal(align("none", poses(3, 1), driven).apply(driven[..., :2]), driven[..., :2])


@pytest.mark.parametrize("name", ["svd", "svd_no_arms"])
def test_svd_undoes_a_misalignment_whatever_is_missing(name: AlignmentName) -> None:
    truth = hide(poses(20), [0, 9, 17])
    driven = misaligned(truth, rotation_degrees=180.0)
    aligned = align(name, hide(truth, [2, 5]), driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], equal_nan=True, atol=1e-5, rtol=0)


def test_svd_without_arms_does_not_look_at_arms() -> None:
    truth = poses(5)
    driven = misaligned(truth)
    reference = truth.clone()
    reference[:, ARMS, :2] += 0.5
    aligned = align("svd_no_arms", reference, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], atol=1e-5, rtol=0)


def test_svd_without_arms_takes_arms_where_nothing_else_is_seen() -> None:
    truth = hide(poses(5), [joint for joint in WITHOUT_ARMS if joint != 2])
    driven = misaligned(truth)
    aligned = align("svd_no_arms", truth, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], equal_nan=True, atol=1e-5, rtol=0)


def test_literal_svd_leaves_missing_joints_in_as_minus_one() -> None:
    reference, driven = hide(poses(6, 1), [0, 3]), hide(poses(6, 2), [3, 8])
    fit = align("svd_literal", reference, driven)
    for row in range(6):
        d, r = (torch.nan_to_num(each[row, :, :2], nan=-1.0).numpy() for each in (driven, reference))
        x_d, x_r = d - d.mean(0), r - r.mean(0)
        turn, trace = scipy.linalg.orthogonal_procrustes(x_d, x_r)
        np.testing.assert_allclose(fit.rotation[row].numpy().T, turn, atol=1e-9)
        np.testing.assert_allclose(float(fit.scale[row]), trace / (x_d**2).sum(), rtol=1e-9)
    assert (torch.linalg.det(fit.rotation) < 0).any()


def test_linear_is_a_line_through_y_and_a_shift() -> None:
    reference, driven = hide(poses(6, 1), [1, 4]), hide(poses(6, 2), [8])
    joints = [joint for joint in WITHOUT_ARMS if joint not in (1, 8)]
    aligned = align("linear", reference, driven).apply(driven[..., :2])
    for row in range(6):
        d, r = driven[row, joints].numpy(), reference[row, joints].numpy()
        slope, offset = np.polyfit(d[:, 1], r[:, 1], 1)
        np.testing.assert_allclose(aligned[row, joints, 1].numpy(), slope * d[:, 1] + offset, atol=1e-9)
        x = slope * d[:, 0] + (r[:, 0] - slope * d[:, 0]).mean()
        np.testing.assert_allclose(aligned[row, joints, 0].numpy(), x, atol=1e-9)


def test_linear_finds_scale_and_shift_but_no_rotation() -> None:
    truth = poses(4)
    driven = misaligned(truth, rotation_degrees=0.0)
    torch.testing.assert_close(align("linear", truth, driven).apply(driven[..., :2]), truth[..., :2], atol=1e-5, rtol=0)
    turned = align("linear", truth, misaligned(truth)).rotation
    assert torch.equal(turned.abs(), torch.eye(2).expand(4, 2, 2).to(turned))


def test_linear_turns_a_pose_that_stands_on_its_head() -> None:
    truth = poses(1)
    driven = truth.clone()
    driven[..., :2] = 1 - truth[..., :2]
    fit = align("linear", truth, driven)
    torch.testing.assert_close(fit.apply(driven[..., :2]), truth[..., :2])
    torch.testing.assert_close(fit.scale, torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("name", get_args(AlignmentName))
def test_every_alignment_survives_poses_without_joints(name: AlignmentName) -> None:
    nothing, everything = hide(poses(2), list(range(18))).float(), poses(2).float()
    aligner = Aligner(AlignerSettings(width=8, heads=2))
    for reference, driven in ((nothing, everything), (everything, nothing), (nothing, nothing)):
        fit = align(name, reference, driven, aligner)
        assert all(torch.isfinite(part).all() for part in fit)


def test_learned_needs_an_aligner() -> None:
    with pytest.raises(ValueError, match="needs an aligner"):
        align("learned", poses(1), poses(1))
