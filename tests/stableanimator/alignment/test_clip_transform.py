from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.alignment import baselines
from stableanimator.alignment.clip_transform import for_clip, steady
from stableanimator.alignment.similarity import Similarity

ARMS = [3, 4, 6, 7]


def person(seed: int = 0) -> Tensor:
    keypoints = np.random.default_rng(seed).uniform(0.2, 0.8, (18, 3))
    keypoints[:, 2] = 0.9
    return torch.from_numpy(keypoints)


def turned(poses: Tensor, degrees: float, scale: float, shift: tuple[float, float]) -> Tensor:
    """p -> scale R p + shift of poses [..., 3], by complex numbers."""
    z = (poses[..., 0] + 1j * poses[..., 1]) * scale * np.exp(1j * np.radians(degrees)) + complex(*shift)
    return torch.stack([z.real, z.imag, poses[..., 2]], -1)


def hidden(poses: Tensor) -> Tensor:
    nobody = torch.full_like(poses, torch.nan)
    nobody[..., 2] = 0
    return nobody


def arms_up(reference: Tensor, frames: int) -> Tensor:
    """Frames in which the arms are elsewhere, further away from frame to frame."""
    clip = reference.expand(frames, 18, 3).clone()
    for frame in range(frames):
        clip[frame, ARMS, :2] += torch.tensor([0.1, -0.3]) * (1 + frame / frames)
    return clip


def svd_of_clip(reference: Tensor, driven: Tensor) -> Similarity:
    return for_clip(baselines.svd(reference.expand_as(driven), driven), reference, driven)


def test_the_frame_that_holds_the_references_pose_decides() -> None:
    reference = person()
    truth = torch.cat([arms_up(reference, 4), reference[None], arms_up(reference, 4)])
    driven = turned(truth, 25, 0.6, (0.2, -0.1))
    found = svd_of_clip(reference, driven).apply(driven[..., :2])
    torch.testing.assert_close(found, truth[..., :2], atol=2e-3, rtol=0)
    # A plain mean over the frames is far off: the arms pass for rotation, scale and shift.
    alone = baselines.svd(reference.expand_as(driven), driven).apply(driven[..., :2])
    assert float((alone - truth[..., :2]).norm(dim=-1)[:4].mean()) > 0.03


def test_the_weights_are_those_of_the_inverse_fourth_power_of_the_residual() -> None:
    # Transforms without rotation about poses whose middle is the origin: the clip's scale is a weighted mean of logs.
    reference = person()
    reference[:, :2] -= reference[:, :2].mean(0)
    driven = reference.expand(2, 18, 3).clone()
    driven[1, :, :2] *= 1.5
    one = Similarity.identity((2,), torch.float64)._replace(scale=torch.tensor([1.2, 1.0], dtype=torch.float64))
    # Residuals relative to the reference's size: |1.2 - 1| and |1.5 - 1|.
    weights = np.array([0.21, 0.51]) ** -4.0
    expected = np.exp((weights * np.log([1.2, 1.0])).sum() / weights.sum())
    found = for_clip(one, reference, driven)
    np.testing.assert_allclose(found.scale.numpy(), [expected], rtol=1e-12)
    torch.testing.assert_close(found.translation, torch.zeros(1, 2, dtype=torch.float64), atol=1e-12, rtol=0)


def test_rotations_about_the_middle_of_the_pose_leave_it_in_its_place() -> None:
    # Far from the origin: what a mean of translations would make of two opposite turns is far off.
    reference = person()
    reference[:, :2] += 10
    middle = reference[:, :2].mean(0)
    turns = Similarity.from_degrees(
        torch.tensor([10.0, -10.0]).double(), torch.ones(2).double(), torch.zeros(2, 2).double()
    ).about(middle.expand(2, 2))
    found = for_clip(turns, reference, reference.expand(2, 18, 3))
    torch.testing.assert_close(found.rotation[0], torch.eye(2).double())
    torch.testing.assert_close(found.translation, torch.zeros(1, 2).double(), atol=1e-9, rtol=0)


def test_walking_stays_walking() -> None:
    reference = person()
    steps = torch.tensor([[-0.2, 0.0], [-0.1, 0.0], [0.0, 0.0], [0.1, 0.0], [0.2, 0.0]], dtype=torch.float64)
    truth = reference.expand(5, 18, 3).clone()
    truth[..., :2] += steps[:, None]
    driven = turned(truth, -30, 1.4, (0.1, 0.3))
    aligned = svd_of_clip(reference, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2])  # shifts to both sides, of equal weight, cancel


@pytest.mark.parametrize("gone", [[0], [2, 3], [0, 1, 3, 4]])
def test_frames_without_anybody_do_not_count(gone: list[int]) -> None:
    reference = person()
    driven = turned(reference.expand(5, 18, 3), 20, 0.7, (0.0, 0.2))
    for frame in gone:
        driven[frame] = hidden(driven[frame])
    aligned = svd_of_clip(reference, driven).apply(driven[..., :2])
    kept = [frame for frame in range(5) if frame not in gone]
    torch.testing.assert_close(aligned[kept], reference[:, :2].expand(len(kept), 18, 2))
    assert torch.isnan(aligned[gone]).all()


def test_without_anybody_in_the_whole_clip_it_is_the_identity() -> None:
    driven = hidden(person().expand(4, 18, 3))
    found = svd_of_clip(person(), driven)
    for part, expected in zip(found, Similarity.identity((1,), torch.float64), strict=True):
        assert torch.equal(part, expected)


def test_frames_with_two_common_joints_count_only_where_there_are_no_better_ones() -> None:
    # Two joints always fit: that leaves no residual and says nothing.
    reference = person()
    clip = turned(reference.expand(3, 18, 3), 20, 0.7, (0.0, 0.2))
    clip[0, 2:] = hidden(clip[0, 2:])
    clip[0, 1, :2] += 0.3
    torch.testing.assert_close(svd_of_clip(reference, clip).scale, torch.tensor([1 / 0.7], dtype=torch.float64))
    poor = clip[:1]
    alone = baselines.svd(reference[None], poor)
    for part, expected in zip(svd_of_clip(reference, poor), alone, strict=True):
        torch.testing.assert_close(part, expected)


def test_a_reference_without_joints_leaves_the_clip_where_it_is() -> None:
    driven = arms_up(person(), 3)
    aligned = svd_of_clip(hidden(person()), driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, driven[..., :2])


@pytest.mark.parametrize(("mirrored", "determinant"), [([0, 1, 2], -1.0), ([3], 1.0)])
def test_the_majority_decides_whether_a_clip_is_mirrored(mirrored: list[int], determinant: float) -> None:
    reference = person()
    truth = reference.expand(4, 18, 3).clone()
    truth[mirrored, :, 0] = 1 - truth[mirrored, :, 0]
    target = reference.expand(4, 18, 3)
    fit = baselines.svd_literal(target, truth)
    assert (torch.linalg.det(fit.rotation) < 0).nonzero().flatten().tolist() == mirrored
    found = for_clip(fit, reference, truth)
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.tensor([determinant], dtype=torch.float64))
    kind = mirrored if determinant < 0 else [0, 1, 2]
    aligned = found.apply(truth[..., :2])
    torch.testing.assert_close(aligned[kind], target[kind][..., :2])


def test_rotations_that_cancel_give_no_collapsed_skeleton() -> None:
    reference = person()
    quarters = Similarity.from_degrees(
        torch.tensor([0.0, 90.0, 180.0, 270.0]).double(), torch.ones(4).double(), torch.zeros(4, 2).double()
    )
    driven = turned(reference.expand(4, 18, 3), 0, 1, (0, 0))
    # Without common joints all frames weigh alike.
    found = for_clip(quarters, hidden(reference), driven)
    torch.testing.assert_close(found.rotation[0] @ found.rotation[0].T, torch.eye(2).double())


def test_a_turn_through_half_a_circle_has_its_mean_there() -> None:
    # 170 and -170 degrees: the mean of the angles would be 0.
    reference = person()
    driven = torch.stack([turned(reference, 170, 1, (0, 0)), turned(reference, -170, 1, (0, 0))])
    found = svd_of_clip(reference, driven)
    half = torch.tensor([[[-1.0, 0.0], [0.0, -1.0]]], dtype=torch.float64)
    torch.testing.assert_close(found.rotation, half)


def test_each_clip_of_a_batch_has_a_transform_of_its_own() -> None:
    references = torch.stack([person(0), person(1)])
    clips = torch.stack(
        [turned(arms_up(references[0], 3), 10, 2, (0, 0)), turned(arms_up(references[1], 3), -40, 0.5, (0, 1))]
    )
    target = references[:, None].expand_as(clips)
    together = for_clip(baselines.svd(target, clips), references, clips)
    for number in range(2):
        for part, alone in zip(together, svd_of_clip(references[number], clips[number]), strict=True):
            torch.testing.assert_close(part[number], alone)


def test_steady_keeps_the_clips_turn_and_size_and_follows_a_person_before_a_moving_camera() -> None:
    reference = person()
    pan = torch.tensor([[0.0, 0.0], [0.3, -0.1], [0.9, 0.2]], dtype=torch.float64)
    driven = turned(reference.expand(3, 18, 3), 25, 0.6, (0.1, 0.0))
    driven[..., :2] += pan[:, None]
    driven[2, ARMS, :2] += 0.05
    one = svd_of_clip(reference, driven)
    found = steady(one, reference, driven)
    assert torch.equal(found.rotation, one.rotation.expand(3, 2, 2))
    assert torch.equal(found.scale, one.scale.expand(3))
    aligned = found.apply(driven[..., :2])
    torch.testing.assert_close(aligned[:2], reference[:, :2].expand(2, 18, 2), atol=2e-3, rtol=0)
    # Fourteen joints of weight 1 and four of 0.2 say where a person is: the arms' 0.05 times 1 / 0.6 is shared out.
    others = [joint for joint in range(18) if joint not in ARMS]
    gap = (aligned[2, others] - reference[others, :2]).norm(dim=-1)
    expected = 4 * 0.2 / (14 + 4 * 0.2) * 0.05 * np.sqrt(2) / 0.6
    torch.testing.assert_close(gap, torch.full((14,), expected, dtype=torch.float64), atol=2e-3, rtol=0)


def test_steady_leaves_frames_without_common_joints_where_the_clip_puts_them() -> None:
    reference = person()
    driven = turned(reference.expand(3, 18, 3), 10, 0.8, (0.1, 0.2))
    driven[1] = hidden(driven[1])
    one = svd_of_clip(reference, driven)
    found = steady(one, reference, driven)
    assert torch.equal(found.translation[1], one.translation[0])
    for part in found:
        assert torch.isfinite(part).all()
