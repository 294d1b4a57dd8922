from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.alignment.per_bone import per_bone

BONES = [
    *((1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13)),
]
COCO_TO_OPENPOSE = {0: 0, 1: 15, 2: 14, 3: 17, 4: 16, 5: 5, 6: 2, 7: 6, 8: 3, 9: 7, 10: 4, 11: 11, 12: 8}


def standing() -> Tensor:
    """A person who stands, in image heights; no two bones are parallel in both their ends."""
    points = [
        *((0.50, 0.20), (0.50, 0.30), (0.42, 0.30), (0.40, 0.42), (0.38, 0.54), (0.58, 0.30), (0.60, 0.42)),
        *((0.62, 0.54), (0.46, 0.55), (0.45, 0.72), (0.44, 0.90), (0.54, 0.55), (0.55, 0.72), (0.56, 0.90)),
        *((0.48, 0.18), (0.52, 0.18), (0.46, 0.19), (0.54, 0.19)),
    ]
    return torch.tensor([(x, y, 0.9) for x, y in points], dtype=torch.float64)


def swinging(frames: int) -> Tensor:
    """The same person, whose arms and legs turn by 5 degrees more in every frame."""
    clip = standing().expand(frames, 18, 3).clone()
    for limb in ((2, 3, 4), (5, 6, 7), (8, 9, 10), (11, 12, 13)):
        for frame in range(frames):
            angle = np.radians(5 * frame)
            turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            root = clip[frame, limb[0], :2].clone()
            clip[frame, list(limb), :2] = (clip[frame, list(limb), :2] - root) @ turn.T + root
    return clip


def hidden(poses: Tensor, joints: list[int]) -> Tensor:
    poses = poses.clone()
    poses[..., joints, :] = torch.tensor([torch.nan, torch.nan, 0], dtype=poses.dtype)
    return poses


def bones(points: Tensor) -> Tensor:
    """Vectors [..., 15, 2] of the bones of points [..., 18, 2]."""
    return torch.stack([points[..., child, :] - points[..., joint, :] for joint, child in BONES], -2)


def test_bones_get_the_references_lengths_and_keep_the_driven_directions() -> None:
    reference = standing()
    reference[:, :2] = 2 * reference[:, :2] + torch.tensor([0.3, -0.4])
    driven = swinging(5)
    aligned = per_bone(reference, driven).apply(driven[..., :2])
    wanted = torch.linalg.vector_norm(bones(reference[:, :2]), dim=-1)
    torch.testing.assert_close(torch.linalg.vector_norm(bones(aligned), dim=-1), wanted.expand(5, -1))
    torch.testing.assert_close(bones(aligned), 2 * bones(driven[..., :2]))
    torch.testing.assert_close(aligned[:, 1], reference[1, :2].expand(5, 2))  # the neck


def test_each_bone_has_a_ratio_of_its_own() -> None:
    # The reference's right forearm is half as long again, and its left thigh is shorter by a fifth.
    reference = standing()
    reference[4, :2] = reference[3, :2] + 1.5 * (reference[4, :2] - reference[3, :2])
    shorter = -0.2 * (reference[12, :2] - reference[11, :2])
    reference[[12, 13], :2] += shorter
    driven = swinging(3)
    aligned = per_bone(reference, driven).apply(driven[..., :2])
    expected = driven[..., :2].clone()
    expected[:, 4] += 0.5 * (expected[:, 4] - expected[:, 3])
    expected[:, [12, 13]] -= 0.2 * (driven[:, 12, :2] - driven[:, 11, :2])[:, None]
    torch.testing.assert_close(aligned, expected)


def test_the_picture_is_stretched_by_shoulders_and_trunk() -> None:
    # The reference is wider by a half and higher by a quarter: hips lie on no bone, so they show the stretch alone.
    reference = standing()
    reference[:, :2] = reference[:, :2] * torch.tensor([1.5, 1.25])
    found = per_bone(reference, standing()[None])
    torch.testing.assert_close(found.scale, torch.tensor([[1.5, 1.25]], dtype=torch.float64))
    torch.testing.assert_close(found.apply(standing()[None, :, :2])[0], reference[:, :2])


def test_ratios_are_medians_over_the_clip_so_one_foreshortened_frame_changes_nothing() -> None:
    driven = standing().expand(5, 18, 3).clone()
    driven[2, 4, :2] = driven[2, 3, :2] + 0.1 * (driven[2, 4, :2] - driven[2, 3, :2])
    aligned = per_bone(standing(), driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned, driven[..., :2])


@pytest.mark.parametrize("joint", range(18))
def test_a_joint_that_is_missing_in_the_clip_leaves_the_others_where_the_reference_has_them(joint: int) -> None:
    reference = standing()
    reference[:, :2] = 2 * reference[:, :2]
    driven = hidden(standing()[None], [joint])
    aligned = per_bone(reference, driven).apply(driven[..., :2])
    seen = [other for other in range(18) if other != joint]
    assert torch.isnan(aligned[:, joint]).all()
    torch.testing.assert_close(aligned[0, seen], reference[seen, :2])


@pytest.mark.parametrize("joint", range(18))
def test_a_joint_that_is_missing_in_the_reference_moves_with_the_others(joint: int) -> None:
    # A person twice as large: the stretch alone puts every joint right, whether the reference shows it or not.
    reference = standing()
    reference[:, :2] = 2 * reference[:, :2]
    driven = standing()[None]
    aligned = per_bone(hidden(reference, [joint]), driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned[0], reference[:, :2])


def test_what_hangs_on_a_joint_that_a_frame_does_not_show_moves_with_the_next_that_it_shows() -> None:
    # The reference's right upper arm is half as long again. Where the elbow is missing, the wrist follows the shoulder.
    reference = standing()
    longer = 0.5 * (reference[3, :2] - reference[2, :2])
    reference[[3, 4], :2] += longer
    driven = standing().expand(3, 18, 3).clone()
    driven[1] = hidden(driven[1], [3])
    aligned = per_bone(reference, driven).apply(driven[..., :2])
    torch.testing.assert_close(aligned[[0, 2]], reference[:, :2].expand(2, 18, 2))
    torch.testing.assert_close(aligned[1, 4], standing()[4, :2])
    others = [joint for joint in range(18) if joint not in (3, 4)]
    torch.testing.assert_close(aligned[1, others], reference[others, :2])


def test_shoulders_seen_from_the_side_have_no_width_so_the_trunk_gives_both_ratios() -> None:
    profile = standing()
    profile[[2, 5], 0] = torch.tensor([0.5001, 0.4999], dtype=torch.float64)
    reference = standing()
    reference[:, :2] = 2 * reference[:, :2]
    found = per_bone(reference, profile[None])
    torch.testing.assert_close(found.scale, torch.full((1, 2), 2.0, dtype=torch.float64))
    back = per_bone(profile, reference[None])
    torch.testing.assert_close(back.scale, torch.full((1, 2), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("turned_round", [False, True])
def test_a_close_up_from_the_side_is_neither_blown_up_nor_shrunk_to_nothing(turned_round: bool) -> None:
    # Neither trunk nor the width of the shoulders can be measured; the joints' extent can.
    below = [3, 4, *range(8, 14)]
    profile = hidden(standing(), below)
    profile[[2, 5], 0] = torch.tensor([0.5001, 0.4999], dtype=torch.float64)
    reference, driven = (standing(), profile) if turned_round else (profile, standing())
    scale = per_bone(reference, driven[None]).scale
    assert ((scale > 0.7) & (scale < 1.4)).all(), scale


def test_without_a_neck_the_middle_of_the_common_joints_goes_to_the_references() -> None:
    legs = hidden(standing(), [0, 1, 2, 5, 14, 15, 16, 17])
    moved = legs.clone()
    moved[:, :2] += torch.tensor([0.2, -0.1])
    aligned = per_bone(legs, moved[None]).apply(moved[None, :, :2])
    torch.testing.assert_close(aligned[0], legs[:, :2], equal_nan=True)


def test_nobody_is_left_alone_on_either_side() -> None:
    nobody, clip = hidden(standing(), list(range(18))), swinging(3)
    torch.testing.assert_close(per_bone(nobody, clip).apply(clip[..., :2]), clip[..., :2])
    empty = nobody.expand(3, 18, 3)
    found = per_bone(standing(), empty)
    assert torch.isfinite(found.scale).all()
    assert torch.isfinite(found.shift).all()
    assert torch.isnan(found.apply(empty[..., :2])).all()


def test_a_frame_without_anybody_leaves_the_other_frames_as_they_are() -> None:
    clip = swinging(4)
    gap = clip.clone()
    gap[2] = hidden(clip[2], list(range(18)))
    aligned, expected = (per_bone(standing(), each).apply(each[..., :2]) for each in (gap, clip))
    torch.testing.assert_close(aligned[[0, 1, 3]], expected[[0, 1, 3]])
    assert torch.isnan(aligned[2]).all()


def test_no_visible_joint_ever_becomes_nan() -> None:
    random = np.random.default_rng(0)
    reference, driven = (torch.from_numpy(random.uniform(0, 1, (300, frames, 18, 3))) for frames in (1, 4))
    for poses in (reference, driven):
        lost = torch.from_numpy(random.random(poses.shape[:-1])) < 0.5
        poses[lost] = torch.tensor([torch.nan, torch.nan, 0], dtype=torch.float64)
    poses_in_one_place = torch.full((4, 18, 3), 0.5, dtype=torch.float64)
    driven[0] = poses_in_one_place
    reference[1] = poses_in_one_place[:1]
    aligned = per_bone(reference[:, 0], driven).apply(driven[..., :2])
    assert torch.isfinite(aligned[driven[..., 2] >= 0.3]).all()


def test_hands_feet_and_face_move_with_wrists_ankles_and_the_nose() -> None:
    reference, driven = standing(), swinging(2)
    reference[:, :2] = reference[:, :2] * torch.tensor([1.3, 0.8])
    reference[4, :2] += torch.tensor([0.05, 0.02])
    reference[[0, 14, 15, 16, 17], 1] -= 0.03  # a longer neck: nose and neck are shifted differently
    whole = torch.zeros(2, 133, 2, dtype=torch.float64)
    for coco, node in {**COCO_TO_OPENPOSE, 13: 12, 14: 9, 15: 13, 16: 10}.items():
        whole[:, coco] = driven[:, node, :2]
    places = {13: range(17, 20), 10: range(20, 23), 0: range(23, 91), 7: range(91, 112), 4: range(112, 133)}
    for node, points in places.items():
        whole[:, list(points)] = driven[:, None, node, :2]
    found = per_bone(reference, driven)
    body, everything = found.apply(driven[..., :2]), found.apply(whole)
    for node, points in places.items():  # a point that lies on its carrier stays on it
        torch.testing.assert_close(everything[:, list(points)], body[:, None, node].expand(-1, len(points), -1))
    for coco, node in {**COCO_TO_OPENPOSE, 13: 12, 14: 9, 15: 13, 16: 10}.items():
        torch.testing.assert_close(everything[:, coco], body[:, node])
    finger = whole.clone()
    finger[:, 130] += torch.tensor([0.01, 0.02])
    torch.testing.assert_close(
        found.apply(finger)[:, 130] - everything[:, 130],
        found.scale[0].expand(2, 2) * torch.tensor([0.01, 0.02], dtype=torch.float64),
    )


def test_each_clip_of_a_batch_is_aligned_by_itself() -> None:
    references = torch.stack([standing(), standing()])
    references[1, :, :2] *= 3
    clips = torch.stack([swinging(3), swinging(3)])
    together = per_bone(references, clips).apply(clips[..., :2])
    for number in range(2):
        alone = per_bone(references[number], clips[number]).apply(clips[number, ..., :2])
        torch.testing.assert_close(together[number], alone)
