from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from stableanimator.alignment.baselines import linear, svd, svd_literal, svd_no_arms
from stableanimator.alignment.poses import WITHOUT_ARMS
from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.alignment.training_data.misalignment import misalign, misalign_as_one, random_misalignment

ARMS = [3, 4, 6, 7]


def poses(count: int, seed: int = 0) -> Tensor:
    keypoints = np.random.default_rng(seed).uniform(0.1, 0.9, (count, 18, 3))
    keypoints[..., 2] = 0.9
    return torch.from_numpy(keypoints)


def hide(keypoints: Tensor, joints: list[int]) -> Tensor:
    hidden = keypoints.clone()
    hidden[..., joints, :] = torch.tensor([torch.nan, torch.nan, 0], dtype=keypoints.dtype)
    return hidden


def misaligned(truth: Tensor, **settings: object) -> Tensor:
    moves = random_misalignment(MisalignmentSettings(**settings), torch.Generator().manual_seed(0), len(truth))  # type: ignore[arg-type]
    return misalign(truth, moves)


@pytest.mark.parametrize("method", [svd, svd_no_arms])
def test_svd_undoes_a_misalignment_whatever_is_missing(method: object) -> None:
    truth = hide(poses(20), [0, 9, 17])
    driven = misaligned(truth, rotation_degrees=180.0)
    aligned = method(hide(truth, [2, 5]), driven).apply(driven[..., :2])  # type: ignore[operator]
    torch.testing.assert_close(aligned, truth[..., :2], equal_nan=True, atol=1e-5, rtol=0)


def test_svd_without_arms_does_not_look_at_arms() -> None:
    truth = poses(5)
    driven = misaligned(truth)
    reference = truth.clone()
    reference[:, ARMS, :2] += 0.5
    aligned = svd_no_arms(reference, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], atol=1e-5, rtol=0)


def test_svd_without_arms_takes_arms_where_nothing_else_is_seen() -> None:
    truth = hide(poses(5), [joint for joint in WITHOUT_ARMS if joint != 2])
    driven = misaligned(truth)
    aligned = svd_no_arms(truth, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], equal_nan=True, atol=1e-5, rtol=0)


def test_literal_svd_leaves_missing_joints_in_as_minus_one() -> None:
    reference, driven = hide(poses(6, 1), [0, 3]), hide(poses(6, 2), [3, 8])
    fit = svd_literal(reference, driven)
    for row in range(6):
        d, r = (torch.nan_to_num(each[row, :, :2], nan=-1.0).numpy() for each in (driven, reference))
        x_d, x_r = d - d.mean(0), r - r.mean(0)
        turn, trace = scipy.linalg.orthogonal_procrustes(x_d, x_r)
        np.testing.assert_allclose(fit.rotation[row].numpy().T, turn, atol=1e-9)
        np.testing.assert_allclose(float(fit.scale[row]), trace / (x_d**2).sum(), rtol=1e-9)
    assert (torch.linalg.det(fit.rotation) < 0).any()


def published_linear(
    reference: np.ndarray, clip: np.ndarray, sizes: tuple[tuple[int, int], tuple[int, int]], bug: bool
) -> np.ndarray:
    """MimicMotion's procedure on pixels; returns the aligned points in pixels of the reference picture.

    Args:
        reference: [18, 2] pixels.
        clip: [F, 18, 2] pixels.
        sizes: width and height of the reference picture, and of the driving video.
        bug: take the driving video's size to be the reference's, as the released StableAnimator does.
    """
    (width, height), (video_width, video_height) = sizes
    target, found = reference / [width, height], clip / [video_width, video_height]
    joints = list(WITHOUT_ARMS)
    y = np.tile(target[joints, 1], len(found))
    a_y, b_y = np.polyfit(found[:, joints, 1].flatten(), y, 1)
    if bug:
        video_width, video_height = width, height
    a_x = a_y / (video_height / video_width / height * width)
    b_x = np.mean(np.tile(target[joints, 0], len(found)) - found[:, joints, 0].flatten() * a_x)
    return np.asarray((found * [a_x, a_y] + [b_x, b_y]) * [width, height])


@pytest.mark.parametrize("bug", [False, True])
def test_linear_is_what_was_published_for_pictures_of_any_two_shapes(bug: bool) -> None:
    width, height, video_width, video_height = 512, 768, 1920, 1080
    reference, clip = poses(1, 1)[0], poses(7, 2)  # image heights
    expected = published_linear(
        reference[:, :2].numpy() * height,
        clip[..., :2].numpy() * video_height,
        ((width, height), (video_width, video_height)),
        bug,
    )
    aspect = (width / height) / (video_width / video_height)
    method = linear(reference, clip, aspect) if bug else linear(reference, clip)
    np.testing.assert_allclose(method.apply(clip[..., :2]).numpy() * height, expected, rtol=1e-9)


def test_the_bug_stretches_x_where_shapes_do_not_agree() -> None:
    reference, clip = poses(1, 1)[0], poses(5, 2)
    plain = linear(reference, clip)
    stretched = linear(reference, clip, 1.5)
    torch.testing.assert_close(stretched.scale, plain.scale * torch.tensor([1.5, 1.0], dtype=torch.float64))
    # Both bring the mean of the joints onto that of the reference's.
    joints = list(WITHOUT_ARMS)
    for each in (plain, stretched):
        mean = each.apply(clip[..., :2])[:, joints].mean((0, 1))
        torch.testing.assert_close(mean, reference[joints, :2].mean(0))


def test_linear_leaves_out_what_either_pose_lacks() -> None:
    reference, driven = hide(poses(6, 1), [1, 4]), hide(poses(6, 2), [8])
    joints = [joint for joint in WITHOUT_ARMS if joint not in (1, 8)]
    for row in range(6):
        aligned = linear(reference[row], driven[row : row + 1]).apply(driven[row : row + 1, :, :2])[0]
        d, r = driven[row, joints].numpy(), reference[row, joints].numpy()
        slope, offset = np.polyfit(d[:, 1], r[:, 1], 1)
        np.testing.assert_allclose(aligned[joints, 1].numpy(), slope * d[:, 1] + offset, atol=1e-9)
        x = slope * d[:, 0] + (r[:, 0] - slope * d[:, 0]).mean()
        np.testing.assert_allclose(aligned[joints, 0].numpy(), x, atol=1e-9)


def test_linear_counts_frames_by_the_joints_they_show() -> None:
    # One frame lacks most joints, one lacks the person: the line goes through what is there.
    reference, clip = poses(1, 1)[0], poses(4, 2)
    clip[1] = hide(clip[1], list(range(4, 18)))
    clip[2] = hide(clip[2], list(range(18)))
    common = [(frame, joint) for frame in (0, 1, 3) for joint in WITHOUT_ARMS if frame != 1 or joint < 4]
    d = np.array([clip[frame, joint, :2].numpy() for frame, joint in common])
    r = np.array([reference[joint, :2].numpy() for _, joint in common])
    slope, offset = np.polyfit(d[:, 1], r[:, 1], 1)
    found = linear(reference, clip)
    np.testing.assert_allclose(found.scale.numpy(), [[slope, slope]], rtol=1e-9)
    np.testing.assert_allclose(found.translation[0].numpy(), [(r[:, 0] - slope * d[:, 0]).mean(), offset], rtol=1e-9)


def test_linear_finds_scale_and_shift_of_a_clip() -> None:
    truth = poses(1).expand(4, 18, 3)
    move = random_misalignment(MisalignmentSettings(rotation_degrees=0.0), torch.Generator().manual_seed(0), 1)
    driven = misalign_as_one(truth, type(move)(*(part[0] for part in move)))
    aligned = linear(truth[0], driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, truth[..., :2], atol=1e-5, rtol=0)


def test_linear_turns_a_pose_that_stands_on_its_head() -> None:
    truth = poses(1)
    driven = truth.clone()
    driven[..., :2] = 1 - truth[..., :2]
    found = linear(truth[0], driven)
    torch.testing.assert_close(found.apply(driven[..., :2]), truth[..., :2])
    torch.testing.assert_close(found.scale, torch.full((1, 2), -1.0, dtype=torch.float64))


def test_linear_only_shifts_joints_of_one_height() -> None:
    flat = poses(1)
    flat[..., 1] = 0.5
    reference = poses(1, 1)[0]
    found = linear(reference, flat)
    joints = list(WITHOUT_ARMS)
    torch.testing.assert_close(found.scale, torch.ones(1, 2, dtype=torch.float64))
    expected = reference[joints, :2].mean(0) - flat[0, joints, :2].mean(0)
    torch.testing.assert_close(found.translation[0], expected)


def test_each_clip_of_a_batch_has_a_line_of_its_own() -> None:
    references, clips = poses(2, 1), torch.stack([poses(3, 2), poses(3, 3)])
    together = linear(references, clips).apply(clips[..., :2])
    for number in range(2):
        torch.testing.assert_close(
            together[number], linear(references[number], clips[number]).apply(clips[number, ..., :2])
        )
