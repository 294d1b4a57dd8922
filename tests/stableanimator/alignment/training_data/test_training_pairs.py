from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.settings import AlignSettings, MisalignmentSettings, PairsSettings
from stableanimator.alignment.similarity import fit_similarity
from stableanimator.alignment.training_data.pose_clips import PoseClips, write_pose_clips
from stableanimator.alignment.training_data.training_pairs import PROCEDURAL, AlignmentPairs

SETTINGS = AlignSettings(steps=10, batch_size=20, validation_pairs=50)
REAL = replace(SETTINGS, pairs=PairsSettings(procedural_share=0, augment=False))


def clip(frames: int, number: int) -> np.ndarray:
    """A clip whose joint scores name the clip and whose first joint names the frame."""
    pose = np.random.default_rng(number).uniform(0.2, 0.8, (frames, 18, 3)).astype(np.float32)
    pose[..., 2] = 0.5 + 0.01 * number
    pose[:, 0, 0] = np.arange(frames)
    return pose


def test_an_item_depends_on_its_index_alone() -> None:
    clips = [clip(9, 0), clip(5, 1)]
    pairs, again = AlignmentPairs(SETTINGS, clips), AlignmentPairs(SETTINGS, clips)
    assert len(pairs) == 200
    batch = pairs.batch(range(100, 140))
    for index in (100, 117, 139):
        for name, value in again[index].items():
            torch.testing.assert_close(value, batch[name][index - 100], equal_nan=True)


def test_a_data_loader_gives_the_same_batches() -> None:
    pairs = AlignmentPairs(SETTINGS, [clip(9, 0)])
    first = next(iter(DataLoader(pairs, batch_size=20)))
    for name, value in pairs.batch(range(20)).items():
        torch.testing.assert_close(first[name], value, equal_nan=True)


def test_training_and_validation_never_share_an_item() -> None:
    training = AlignmentPairs(SETTINGS, []).batch(range(50))["truth"].nan_to_num().flatten(1)
    held_out = AlignmentPairs(SETTINGS, [], "validation")
    assert len(held_out) == 50
    validation = held_out.batch(range(50))["truth"].nan_to_num().flatten(1)
    assert torch.cdist(training, validation).min() > 1e-3


@pytest.mark.parametrize("clips", [[], [clip(9, 0)]])
def test_the_driven_pose_is_the_truth_misaligned_within_the_ranges(clips: list[np.ndarray]) -> None:
    settings = replace(REAL, misalignment=MisalignmentSettings(rotation_degrees=20, scale=(0.8, 1.1), translation=0.1))
    batch = AlignmentPairs(settings, clips).batch(range(100))
    driven, truth = batch["driven"], batch["truth"]
    fit = fit_similarity(truth[..., :2], driven[..., :2])
    torch.testing.assert_close(fit.apply(truth[..., :2]), driven[..., :2], equal_nan=True, atol=1e-4, rtol=1e-4)
    assert fit.scale.min() > 0.8 - 1e-4
    assert fit.scale.max() < 1.1 + 1e-4
    assert fit.rotation[:, 0, 0].min() > np.cos(np.radians(20)) - 1e-4
    assert torch.equal(driven[..., 2], truth[..., 2])
    shift = (driven - truth)[..., :2].nanmean(1)
    assert shift.abs().max() < 0.1 + 1e-4
    assert shift.abs().max() > 0.08


def test_a_pair_is_two_different_frames_of_one_clip() -> None:
    batch = AlignmentPairs(REAL, [clip(9, 0), clip(2, 1)]).batch(range(200))
    reference, truth = batch["reference"], batch["truth"]
    expected = 0.5 + 0.01 * batch["clip"]
    torch.testing.assert_close(reference[:, 3, 2], expected.float())
    torch.testing.assert_close(truth[:, 3, 2], expected.float())
    assert (reference[:, 0, 0] != truth[:, 0, 0]).all()
    # Clips are chosen alike, however long: 200 fair coin tosses lie within 60 to 140 but once in 10^8 times.
    assert 60 < int((batch["clip"] == 0).sum()) < 140
    short = torch.stack([reference[:, 0, 0], truth[:, 0, 0]], 1)[batch["clip"] == 1].int()
    assert {tuple(pair) for pair in short.tolist()} == {(0, 1), (1, 0)}


def test_the_share_of_procedural_pairs_is_a_setting() -> None:
    settings = replace(SETTINGS, pairs=PairsSettings(procedural_share=0.25))
    chosen = AlignmentPairs(settings, [clip(9, 0)]).batch(range(200))["clip"]
    assert 20 < int((chosen == PROCEDURAL).sum()) < 80
    assert (AlignmentPairs(REAL, []).batch(range(20))["clip"] == PROCEDURAL).all()


def test_both_frames_share_the_joints_that_a_pair_needs() -> None:
    sparse = clip(40, 0)
    hidden = np.random.default_rng(0).random((40, 18)) < 0.6
    hidden[7:9] = False
    sparse[hidden, 2] = 0.2
    batch = AlignmentPairs(REAL, [sparse]).batch(range(200))
    both = visible_joints(batch["reference"]) & visible_joints(batch["truth"])
    assert int(both.sum(1).min()) >= 4
    assert torch.isnan(batch["reference"][~visible_joints(batch["reference"])][:, :2]).all()


def test_a_clip_in_which_frames_hardly_ever_share_joints_still_gives_a_pair() -> None:
    lonely = clip(400, 0)
    lonely[:, :, 2] = 0
    lonely[200:202, :, 2] = 0.9
    batch = AlignmentPairs(REAL, [lonely]).batch(range(30))
    assert set(batch["reference"][:, 0, 0].int().tolist() + batch["truth"][:, 0, 0].int().tolist()) == {200, 201}


def test_training_changes_people_and_validation_does_not() -> None:
    changing = replace(REAL, pairs=replace(REAL.pairs, augment=True))
    clips = [clip(9, 0)]
    for purpose, same in (("training", False), ("validation", True)):
        as_they_are, changed = (
            AlignmentPairs(settings, clips, purpose).batch(range(20))["truth"]  # type: ignore[arg-type]
            for settings in (REAL, changing)
        )
        assert torch.equal(as_they_are.nan_to_num(), changed.nan_to_num()) == same


def test_clips_may_lie_on_the_disk(tmp_path: Path) -> None:
    clips = [clip(9, 0), clip(5, 1)]
    mapped = PoseClips(write_pose_clips(tmp_path / "train", zip("ab", clips, strict=True)))
    batch, expected = (AlignmentPairs(SETTINGS, each).batch(range(50)) for each in (mapped, clips))
    for name, value in expected.items():
        torch.testing.assert_close(batch[name], value, equal_nan=True)


def test_clips_without_a_pair_are_left_out_and_named() -> None:
    empty = clip(5, 2)
    empty[..., 2] = 0
    pairs = AlignmentPairs(REAL, [empty, clip(6, 1), clip(1, 0), np.zeros((0, 18, 3), np.float32)])
    assert pairs.unusable == [0, 2, 3]
    assert set(pairs.batch(range(50))["clip"].tolist()) == {1}


@pytest.mark.parametrize("index", [-1, 200])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(IndexError):
        AlignmentPairs(SETTINGS, [])[index]
