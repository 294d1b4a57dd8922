from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stableanimator.alignment.scoring.drives import Drive, drives_of_clip, framing_of, make_drive, procedural_drives
from stableanimator.alignment.settings import MisalignmentSettings, ProceduralSettings
from stableanimator.alignment.similarity import Similarity, fit_similarity

RANGES = MisalignmentSettings(rotation_degrees=20.0, scale=(0.8, 1.1), translation=0.1)


def clip(frames: int, seed: int = 0) -> np.ndarray:
    """Poses whose nose's x is the frame's number."""
    poses = np.random.default_rng(seed).uniform(0.2, 0.8, (frames, 18, 3)).astype(np.float32)
    poses[..., 2] = 0.9
    poses[:, 0, 0] = np.arange(frames)
    return poses


def without(poses: np.ndarray, joints: list[int]) -> np.ndarray:
    poses = poses.copy()
    poses[..., joints, :] = (np.nan, np.nan, 0)
    return poses


def make(poses: np.ndarray, name: str = "shot", **changes: object) -> list[Drive]:
    options = {"count": 5, "frames": 6, "seed": 0, "minimum_joints": 4}
    return drives_of_clip(name, poses, RANGES, **{**options, **changes})  # type: ignore[arg-type]


def frames_of(drive: Drive) -> list[int]:
    return [round(float(x)) for x in drive.truth[:, 0, 0]]


def test_the_reference_is_no_frame_of_its_drive_and_the_frames_span_the_clip_evenly() -> None:
    poses = clip(41)
    drives = make(poses)
    assert len(drives) == 5
    for drive in drives:
        reference = round(float(drive.reference[0, 0]))
        chosen = frames_of(drive)
        assert reference not in chosen
        others = [frame for frame in range(41) if frame != reference]
        assert chosen == [others[round(place * 39 / 5)] for place in range(6)]
        np.testing.assert_array_equal(drive.reference.numpy(), poses[reference])
        np.testing.assert_array_equal(drive.truth.numpy(), poses[chosen])


def test_a_drive_is_misaligned_by_one_transform_within_the_ranges_about_the_clips_centroid() -> None:
    poses = clip(30)
    poses[:, 0, 0] = 0.5
    for drive in make(poses, count=20):
        every = torch.arange(6 * 18).reshape(1, -1)
        truth, driven = (each[..., :2].reshape(1, -1, 2) for each in (drive.truth, drive.driven))
        assert every.numel() == truth.shape[1]
        fit = fit_similarity(truth, driven)
        torch.testing.assert_close(fit.apply(truth), driven, atol=1e-4, rtol=1e-4)
        assert 0.8 - 1e-4 < float(fit.scale) < 1.1 + 1e-4
        assert float(fit.rotation[0, 0, 0]) > math.cos(math.radians(20)) - 1e-4
        assert float((driven - truth).mean(1).abs().max()) < 0.1 + 1e-4  # the centroid is only shifted
        assert torch.equal(drive.driven[..., 2], drive.truth[..., 2])


def test_drives_differ_from_each_other_and_are_the_same_every_time() -> None:
    drives, again = make(clip(30)), make(clip(30))
    for one, other in zip(drives, again, strict=True):
        assert torch.equal(one.driven, other.driven)
    assert len({float(drive.driven[0, 5, 1]) for drive in drives}) == 5
    assert len({tuple(frames_of(drive)) for drive in drives}) > 1
    other_seed = make(clip(30), seed=1)
    assert not torch.equal(other_seed[0].driven, drives[0].driven)
    other_clip = make(clip(30), name="another shot")
    assert not torch.equal(other_clip[0].driven, drives[0].driven)


def test_frames_that_share_too_few_joints_with_the_reference_are_left_out() -> None:
    poses = clip(20)
    poses[10:] = without(poses[10:], list(range(3, 18)))  # three joints
    for drive in make(poses, count=8):
        assert float(drive.reference[0, 0]) < 10
        assert max(frames_of(drive)) < 10
    enough = [frames_of(drive) for drive in make(poses, count=8, minimum_joints=3)]
    assert max(max(frames) for frames in enough) >= 10


@pytest.mark.parametrize("frames", [0, 1])
def test_a_clip_that_has_no_two_frames_gives_no_drive(frames: int) -> None:
    assert make(clip(frames)) == []


def test_a_clip_without_anybody_gives_no_drive() -> None:
    assert make(without(clip(9), list(range(18)))) == []


def test_what_scores_low_is_missing() -> None:
    poses = clip(9)
    poses[:, 4, 2] = 0.29
    drive = make(poses)[0]
    for each in (drive.reference[None], drive.truth, drive.driven):
        assert torch.isnan(each[:, 4, :2]).all()
        assert (each[:, 4, 2] == 0).all()


def test_a_body_is_whole_where_half_of_the_frames_with_a_person_show_an_ankle() -> None:
    whole, half = clip(4), without(clip(4), [10, 13])
    nobody = without(clip(20), list(range(18)))
    assert framing_of(without(whole, [10])) == "whole body"  # one ankle is enough
    assert framing_of(half) == "half body"
    assert framing_of(np.concatenate([whole, half, nobody])) == "whole body"
    assert framing_of(np.concatenate([whole[:3], half, nobody])) == "half body"
    assert framing_of(nobody) == "half body"


def test_a_drive_says_whom_it_shows() -> None:
    drive = make(clip(9), name="shot", person="dancer", moving=True)[0]
    assert (drive.clip, drive.person, drive.framing, drive.moving) == ("shot", "dancer", "whole body", True)
    assert make(clip(9), name="shot")[0].person == "shot"


def test_a_quarter_turn_by_hand() -> None:
    truth = without(clip(2), list(range(2, 18)))
    truth[:, :2, :2] = [[[0.4, 0.5], [0.6, 0.5]], [[0.4, 0.5], [0.6, 0.5]]]
    quarter = Similarity.from_degrees(torch.tensor(90.0), torch.tensor(2.0), torch.tensor([0.1, 0.0]))
    drive = make_drive("shot", "person", False, truth[0], truth, quarter)
    # The centroid (0.5, 0.5) goes to (0.6, 0.5); what lay 0.1 to its right lies 0.2 below it.
    expected = torch.tensor([[0.6, 0.3], [0.6, 0.7]]).expand(2, 2, 2)
    torch.testing.assert_close(drive.driven[:, :2, :2], expected)
    assert torch.isnan(drive.driven[:, 2:, :2]).all()


def test_procedural_drives_have_one_frame_and_a_misalignment_of_their_own() -> None:
    drives = procedural_drives(ProceduralSettings(), RANGES, 30, seed=0, minimum_joints=4)
    assert len({drive.person for drive in drives}) == 30
    assert {drive.framing for drive in drives} == {"whole body", "half body"}
    scales = []
    for drive in drives:
        assert drive.truth.shape == (1, 18, 3)
        assert int(((drive.reference[:, 2] > 0) & (drive.truth[0, :, 2] > 0)).sum()) >= 4
        fit = fit_similarity(drive.truth[..., :2], drive.driven[..., :2])
        torch.testing.assert_close(
            fit.apply(drive.truth[..., :2]), drive.driven[..., :2], equal_nan=True, atol=1e-4, rtol=1e-4
        )
        scales.append(float(fit.scale))
    assert 0.8 - 1e-4 < min(scales) < max(scales) < 1.1 + 1e-4
    assert len(set(scales)) == 30
