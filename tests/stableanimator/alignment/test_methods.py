from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.methods import align, align_scopes
from stableanimator.alignment.settings import AlignerSettings, AlignmentName, AlignmentScope

from ...floats import assert_same

pytestmark = pytest.mark.numeric

NAMES: tuple[AlignmentName, ...] = get_args(AlignmentName)
SCOPES: tuple[AlignmentScope, ...] = get_args(AlignmentScope)


def clip(frames: int, seed: int = 0) -> Tensor:
    keypoints = np.random.default_rng(seed).uniform(0.1, 0.9, (frames, 18, 3)).astype(np.float32)
    keypoints[..., 2] = 0.9
    return torch.from_numpy(keypoints)


def nobody(poses: Tensor) -> Tensor:
    hidden = torch.full_like(poses, torch.nan)
    hidden[..., 2] = 0
    return hidden


def enlarged(poses: Tensor, scale: float, shift: tuple[float, float]) -> Tensor:
    moved = poses.clone()
    moved[..., :2] = scale * poses[..., :2] + torch.tensor(shift)
    return moved


def awake() -> Aligner:
    """A small aligner whose last layer is not zero."""
    torch.manual_seed(0)
    aligner = Aligner(AlignerSettings(width=8, heads=2))
    torch.nn.init.normal_(aligner.head[-1].weight, std=0.3)
    return aligner


@pytest.mark.parametrize("scope", SCOPES)
def test_none_moves_nothing(scope: AlignmentScope) -> None:
    driven = clip(3)
    assert torch.equal(align("none", scope, clip(1, 1)[0], driven).apply(driven[..., :2]), driven[..., :2])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_every_alignment_undoes_scale_and_shift_of_a_person_who_stands_still(
    name: AlignmentName, scope: AlignmentScope
) -> None:
    reference = clip(1)[0]
    driven = enlarged(reference.expand(3, 18, 3), 0.6, (0.2, -0.3))
    # An untrained aligner is the SVD alignment.
    aligned = align(name, scope, reference, driven, Aligner(AlignerSettings())).apply(driven[..., :2])
    torch.testing.assert_close(aligned, reference[:, :2].expand(3, 18, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_a_transform_a_frame_sees_no_other_frame(name: AlignmentName) -> None:
    reference, driven, aligner = clip(1, 1)[0], clip(4, 2), awake()
    together = align(name, "frame", reference, driven, aligner, aspect=1.4).apply(driven[..., :2])
    for frame in range(4):
        one = driven[frame : frame + 1]
        alone = align(name, "frame", reference, one, aligner, aspect=1.4).apply(one[..., :2])
        torch.testing.assert_close(together[frame], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["linear", "linear_aspect_bug", "svd_literal", "svd", "svd_no_arms", "learned"])
def test_a_transform_a_clip_keeps_how_the_person_grows_and_one_a_frame_does_not(name: AlignmentName) -> None:
    reference = clip(1)[0]
    driven = torch.stack([enlarged(reference, size, (0.0, 0.0)) for size in (0.5, 1.0, 2.0)])
    by_scope = {
        scope: align(name, scope, reference, driven, Aligner(AlignerSettings())).apply(driven[..., :2])
        for scope in SCOPES
    }

    def heights(points: Tensor) -> Tensor:
        return points[..., 1].amax(-1) - points[..., 1].amin(-1)

    grown = heights(by_scope["clip"])
    torch.testing.assert_close(grown / grown[1], torch.tensor([0.5, 1.0, 2.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(heights(by_scope["frame"]), heights(reference[:, :2]).expand(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", NAMES)
def test_people_of_a_batch_are_aligned_each_to_their_own_reference(name: AlignmentName, scope: AlignmentScope) -> None:
    references, clips, aligner = clip(2, 1), torch.stack([clip(3, 2), clip(3, 3)]), awake()
    together = align(name, scope, references, clips, aligner).apply(clips[..., :2])
    for person in range(2):
        alone = align(name, scope, references[person], clips[person], aligner)
        torch.testing.assert_close(together[person], alone.apply(clips[person, ..., :2]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_alignment_survives_poses_without_joints(name: AlignmentName, scope: AlignmentScope) -> None:
    everything, aligner = clip(2), awake()
    cases = [(nobody(everything)[0], everything), (everything[0], nobody(everything))]
    half_gone = torch.stack([nobody(everything[0]), everything[1]])
    for reference, driven in [*cases, (nobody(everything)[0], nobody(everything)), (everything[0], half_gone)]:
        moved = align(name, scope, reference, driven, aligner).apply(everything[..., :2])
        assert torch.isfinite(moved).all()
        gone = align(name, scope, reference, driven, aligner).apply(nobody(everything)[..., :2])
        assert torch.isnan(gone).all()


@pytest.mark.parametrize("name", NAMES)
def test_whole_bodies_are_moved_as_skeletons_are(name: AlignmentName) -> None:
    reference, driven, aligner = clip(1, 1)[0], clip(3, 2), awake()
    alignment = align(name, "clip", reference, driven, aligner)
    noses = driven[:, 0:1, :2].expand(3, 133, 2)  # all 133 points at the nose
    moved, expected = alignment.apply(noses), alignment.apply(driven[..., :2])[:, 0]
    face = moved[:, 23:91]  # per bone, only these are carried by the nose
    torch.testing.assert_close(face, expected[:, None].expand(3, 68, 2))


@pytest.mark.parametrize("scope", SCOPES)
def test_only_the_stretching_alignment_reads_the_aspect(scope: AlignmentScope) -> None:
    reference, driven, aligner = clip(1, 1)[0], clip(3, 2), awake()
    for name in NAMES:
        plain, wide = (
            align(name, scope, reference, driven, aligner, aspect=aspect).apply(driven[..., :2]) for aspect in (1, 1.5)
        )
        assert torch.equal(plain, wide) == (name != "linear_aspect_bug"), name


@pytest.mark.parametrize("name", NAMES)
def test_scopes_together_are_the_scopes_one_by_one(name: AlignmentName) -> None:
    reference, driven, aligner = clip(1, 1)[0], clip(3, 2), awake()
    together = align_scopes(name, SCOPES, reference, driven, aligner, aspect=1.2)
    assert list(together) == list(SCOPES)
    for scope, found in together.items():
        alone = align(name, scope, reference, driven, aligner, aspect=1.2)
        assert_same(found.apply(driven[..., :2]), alone.apply(driven[..., :2]))


@pytest.mark.parametrize("name", ["svd_literal", "svd", "svd_no_arms", "learned"])
def test_steady_is_the_clips_transform_moved_by_frame(name: AlignmentName) -> None:
    reference, driven, aligner = clip(1, 1)[0], clip(4, 2), awake()
    one, each = (align(name, scope, reference, driven, aligner).apply(driven[..., :2]) for scope in ("clip", "steady"))
    shifts = each - one
    torch.testing.assert_close(shifts, shifts[:, :1].expand_as(shifts))  # the same for all joints of a frame
    assert float(shifts[:, 0].std(0).norm()) > 0.01  # and not for all frames


def test_learned_needs_an_aligner_and_names_are_checked() -> None:
    with pytest.raises(ValueError, match="needs an aligner"):
        align("learned", "clip", clip(1)[0], clip(1))
    with pytest.raises(ValueError, match="unknown alignment 'svg'"):
        align("svg", "clip", clip(1)[0], clip(1))  # type: ignore[arg-type]
