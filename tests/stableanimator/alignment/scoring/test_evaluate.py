from __future__ import annotations

import numpy as np
import pytest
import torch

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.scoring.drives import Drive, drives_of_clip
from stableanimator.alignment.scoring.evaluate import compare, dis, drive_dis
from stableanimator.alignment.settings import AlignerSettings, MisalignmentSettings


def drives_of(poses: np.ndarray, name: str = "shot", count: int = 3) -> list[Drive]:
    return drives_of_clip(name, poses, MisalignmentSettings(), count=count, frames=6, seed=0, minimum_joints=4)


def clip(seed: int, frames: int, moves: float) -> np.ndarray:
    """A clip whose joints move by `moves` at random from frame to frame."""
    random = np.random.default_rng(seed)
    poses = np.repeat(random.uniform(0.2, 0.8, (1, 18, 3)), frames, axis=0)
    poses[..., :2] += random.normal(0, moves, (frames, 18, 2))
    poses[..., 2] = 0.9
    return poses.astype(np.float32)


def test_dis_by_hand() -> None:
    truth = torch.zeros(2, 18, 3)
    truth[0, :3, 2] = 0.9
    truth[1, 0, 2] = 0.2
    aligned = torch.zeros(2, 18, 2)
    aligned[0, 0], aligned[0, 1], aligned[0, 2] = torch.tensor([[3.0, 4], [0, 1], [float("nan"), 0]])
    result = dis(aligned, truth)
    assert float(result[0]) == 3  # (5 + 1) / 2: the third joint is missing in `aligned`
    assert torch.isnan(result[1])  # nothing is visible


@pytest.mark.parametrize("scope", ["frame", "clip"])
def test_svd_is_right_where_nobody_moves_and_none_is_off_by_the_misalignment(scope: str) -> None:
    drives = drives_of(clip(0, 9, 0.0))
    names = ("none", "svd", "svd_literal", "learned")
    scores = compare(names, (scope,), drives, Aligner(AlignerSettings()))  # type: ignore[arg-type]
    for name in ("svd", "svd_literal", "learned"):  # an untrained residual is the SVD alignment
        assert scores[name, scope].max() < 1e-5, name  # type: ignore[index]
    expected = [np.linalg.norm((drive.driven - drive.truth)[..., :2].numpy(), axis=-1).mean() for drive in drives]
    np.testing.assert_allclose(scores["none", scope], expected, rtol=1e-5)  # type: ignore[index]


def test_a_drives_dis_is_the_mean_over_its_frames_by_least_squares_done_here() -> None:
    # The similarity that fits each frame best, as a complex linear regression.
    drive = drives_of(clip(1, 12, 0.05), count=1)[0]
    z_reference = drive.reference[:, 0].double().numpy() + 1j * drive.reference[:, 1].double().numpy()
    expected = []
    for driven, truth in zip(drive.driven.double().numpy(), drive.truth.double().numpy(), strict=True):
        z = driven[:, 0] + 1j * driven[:, 1]
        design = np.stack([z, np.ones(18)], axis=1)
        answer, *_ = np.linalg.lstsq(design, z_reference, rcond=None)
        expected.append(np.abs(design @ answer - (truth[:, 0] + 1j * truth[:, 1])).mean())
    np.testing.assert_allclose(drive_dis(drive, "svd", "frame"), expected, rtol=1e-4)
    (value,) = compare(("svd",), ("frame",), [drive])["svd", "frame"]
    assert value == pytest.approx(np.mean(expected), rel=1e-4)


def test_one_a_frame_is_off_by_each_step_aside_and_one_a_clip_by_the_mean_step() -> None:
    poses = clip(2, 20, 0.0)
    poses[..., 0] += np.linspace(-0.2, 0.2, 20, dtype=np.float32)[:, None]
    drives = drives_of(poses, count=10)
    scores = compare(("svd",), ("frame", "clip"), drives)
    steps = [(drive.truth[:, 0, 0] - drive.reference[0, 0]).numpy() for drive in drives]
    np.testing.assert_allclose(scores["svd", "frame"], [abs(each).mean() for each in steps], atol=1e-5)
    np.testing.assert_allclose(scores["svd", "clip"], [abs(each.mean()) for each in steps], atol=1e-4)


def test_learned_without_an_aligner_is_refused() -> None:
    with pytest.raises(ValueError, match="aligner"):
        compare(("learned",), ("clip",), drives_of(clip(0, 9, 0.0)))
