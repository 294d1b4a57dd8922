"""Whose faces are drawn towards which, and what of it reaches the frames: the small animation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stableanimator.animate import Animation, Driving, Models, Reference, ReferenceFace, aligned
from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.models.encoders import Encoders, tiny_autoencoder

from ..small_animation import EMBEDDING, FRAMES, HJB, PLAIN, animate, small_pose

pytestmark = pytest.mark.numeric


def test_face_optimisation_lowers_its_loss_and_changes_the_frames(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    result = animate(models, reference, driving, HJB, seed=5)
    report = result.face_optimisation
    assert report is not None
    assert (report.frames, report.frames_with_face, report.skipped) == (FRAMES, FRAMES - 1, None)
    assert [record.step for record in report.records] == [0, 1]
    assert all(record.after < record.before for record in report.records)
    assert (result.frames[:2] != plain.frames[:2]).mean() > 0.05


def test_without_a_visible_face_face_optimisation_does_nothing_and_says_so(
    models: Models, reference: Reference, driving: Driving, plain: Animation
) -> None:
    keypoints = driving.keypoints.copy()
    hidden = animate(models, reference, replace(driving, keypoints=keypoints), PLAIN, seed=5)
    np.testing.assert_array_equal(hidden.frames, plain.frames)
    keypoints[..., 0, 2] = 0
    result = animate(models, reference, replace(driving, keypoints=keypoints), HJB, seed=5)
    assert result.face_optimisation is not None
    assert result.face_optimisation.skipped == "no driven frame has a face"
    without = animate(models, reference, replace(driving, keypoints=keypoints), PLAIN, seed=5)
    np.testing.assert_array_equal(result.frames, without.frames)


def _couple(reference: Reference, driving: Driving) -> tuple[Reference, np.ndarray]:
    """Two people of half the size side by side, with an embedding each, and their poses in the animation of 32x32; the
    second turns away before the first does."""
    pair = np.stack([small_pose() * [0.5, 0.5, 1], small_pose() * [0.5, 0.5, 1] + [20, 0, 0]]).astype(np.float32)
    poses = np.repeat(pair[None] * np.array([0.8, 0.8, 1], np.float32), FRAMES, 0)
    poses[2, 0, 2] = poses[1:, 1, 2] = 0
    poses[2, :, 0, 2] = 0
    other = ReferenceFace(box=np.array([27, 4, 33, 10], np.float32), embedding=-reference.face_embedding[::-1].copy())
    return replace(reference, keypoints=pair, other_faces=(other,)), poses


def test_everybody_with_a_face_is_drawn_towards_their_own(
    models: Models, reference: Reference, driving: Driving
) -> None:
    """The loss of both is the mean over the faces of each: two frames show the first person, one the second."""
    both, poses = _couple(reference, driving)
    poses[1, 1, 0, 2] = 0
    latents = torch.randn(1, FRAMES, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    second = replace(
        both,
        keypoints=both.keypoints[1:],
        face_box=both.other_faces[0].box,  # type: ignore[union-attr]
        face_embedding=both.other_faces[0].embedding,  # type: ignore[union-attr]
        other_faces=(),
    )
    hjb = FaceOptimisationSettings()
    together = face_hook(models, both, poses, (32, 32), hjb)
    alone = [
        face_hook(models, replace(both, other_faces=(None,)), poses, (32, 32), hjb),
        face_hook(models, second, poses[:, 1:], (32, 32), hjb),
    ]
    assert [hook.report.frames_with_face for hook in (together, *alone)] == [2, 2, 1]
    assert together.report.people == 2
    losses = [hook.loss(latents) for hook in alone]
    assert together.loss(latents) == pytest.approx((2 * losses[0] + losses[1]) / 3, rel=1e-4)
    changes = [hook(latents, 0, 25, 1.0) - latents for hook in (together, *alone)]
    moved = [(change.abs().amax(2) > 0)[0] for change in changes]
    assert torch.equal(moved[0], moved[1] | moved[2])
    assert not bool((moved[1] & moved[2]).any())


def test_the_tiny_decoder_gives_gradients_and_the_vae_the_frames(
    models: Models, reference: Reference, driving: Driving, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    tiny_autoencoder(4, 4, 8).save_pretrained(tmp_path)
    encoders = Encoders(replace(models.encoders.settings, tiny_decoder=str(tmp_path)))
    settings = replace(HJB, hjb=replace(HJB.hjb, decoder="tiny", region="face", region_margin=2))
    with pytest.raises(ValueError, match=r"encoders\.tiny_decoder"):
        animate(models, reference, driving, settings)
    optimised = animate(replace(models, encoders=encoders), reference, driving, settings, seed=5)
    report = optimised.face_optimisation
    assert report is not None
    assert all(record.after < record.before for record in report.records)
    pictures = torch.from_numpy(optimised.frames).permute(0, 3, 1, 2) / 127.5 - 1
    exact = face_hook(models, reference, aligned(reference, driving, PLAIN).poses, (32, 32), HJB.hjb)
    exact.judge(pictures)
    assert exact.report.final is not None
    assert report.final == pytest.approx(exact.report.final, abs=0.02)  # frames are rounded to 8 bits


def test_face_optimisation_does_not_depend_on_how_the_branches_run(
    models: Models, reference: Reference, driving: Driving
) -> None:
    losses = []
    for branches in ("together", "apart"):
        report = animate(models, reference, driving, replace(HJB, branches=branches), seed=5).face_optimisation
        assert report is not None
        losses.append([(record.before, record.after) for record in report.records])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_without_a_face_in_the_reference_the_networks_are_shown_zeros(
    models: Models, reference: Reference, driving: Driving
) -> None:
    faceless = replace(reference, face_box=None, face_embedding=None)
    result = animate(models, faceless, driving, HJB, seed=5)
    assert result.face_optimisation is not None
    assert (result.face_optimisation.skipped, result.face_optimisation.records) == ("the reference shows no face", [])
    zeros = replace(reference, face_embedding=np.zeros(EMBEDDING, np.float32))
    np.testing.assert_array_equal(animate(models, zeros, driving, PLAIN, seed=5).frames, result.frames)


def test_faces_that_are_turned_away_are_left_as_they_are(
    models: Models, reference: Reference, driving: Driving
) -> None:
    """In the second frame the nose lies beside both eyes."""
    poses = aligned(reference, driving, HJB).poses.copy()
    poses[1, 0, 0, :2] = poses[1, 0, 1, :2] + [4, 0]
    counts = [
        face_hook(models, reference, poses, (32, 32), replace(HJB.hjb, max_yaw=yaw)).report.frames_with_face
        for yaw in (None, 60.0)
    ]
    assert counts == [2, 1]
