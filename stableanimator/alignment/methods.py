"""All ways to align driven poses with a reference pose, by name, and how much of it the frames of a clip share.

Poses are OpenPose-18 keypoints (x, y, score) in image heights; a joint counts from score 0.3.

    F frames of one clip   ... any leading dimensions
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from stableanimator.alignment import baselines
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.clip_transform import for_clip, steady
from stableanimator.alignment.per_bone import per_bone
from stableanimator.alignment.settings import AlignmentName, AlignmentScope
from stableanimator.alignment.similarity import Similarity


class Alignment(Protocol):
    """What moves driven poses to where the reference is."""

    def apply(self, points: Tensor) -> Tensor:
        """Move points [..., F, N, 2] in image heights: the 18 nodes of the skeleton, or all 133 keypoints."""


@torch.no_grad()
def align(
    name: AlignmentName,
    scope: AlignmentScope,
    reference: Tensor,
    driven: Tensor,
    aligner: Aligner | None = None,
    aspect: float = 1.0,
) -> Alignment:
    """The alignment of driven poses with their reference.

    | name | what | one a clip |
    |---|---|---|
    | `none` | the identity | |
    | `linear` | MimicMotion's and ControlNeXt's | as published: one line through all frames |
    | `linear_aspect_bug` | the released StableAnimator's: `linear`, stretched where aspect ratios differ | the same |
    | `svd_literal` | Eq. 2-8 to the letter: may mirror, missing joints left in as -1 | weighted mean (`for_clip`) |
    | `svd` | Eq. 2-8 over the joints that both poses show, never mirroring | weighted mean |
    | `svd_no_arms` | the same without elbows and wrists | weighted mean |
    | `per_bone` | UniAnimate's: every bone gets the reference's length | median ratios |
    | `learned` | Eq. 1-11 by `aligner` | weighted mean |

    Args:
        name: of the table above.
        scope: a transform for each frame, one for all of them, or one with a place for each frame (`steady`; of those
            that are no rotations, the linear ones and `per_bone`, the clip's).
        reference: [..., 18, 3].
        driven: [..., F, 18, 3], frames of one clip.
        aligner: for `learned`.
        aspect: for `linear_aspect_bug`: width over height of the reference picture, over that of the driving video.

    Raises:
        ValueError: the name is unknown, or it is `learned` without an aligner.
    """
    return align_scopes(name, (scope,), reference, driven, aligner, aspect)[scope]


@torch.no_grad()
def align_scopes(
    name: AlignmentName,
    scopes: Sequence[AlignmentScope],
    reference: Tensor,
    driven: Tensor,
    aligner: Aligner | None = None,
    aspect: float = 1.0,
) -> dict[AlignmentScope, Alignment]:
    """`align` for several scopes, the transforms of frames found once. Arguments and errors are those of `align`."""
    target = reference[..., None, :, :].expand_as(driven)
    match name:
        case "none":
            identity = Similarity.identity(driven.shape[:-2], driven.dtype, driven.device)
            return dict.fromkeys(scopes, identity)
        case "linear" | "linear_aspect_bug" | "per_bone":
            # These know clips alone; a frame is a clip of one.
            return {
                scope: _OneFrameClips(_of_clips(name, target, driven[..., None, :, :], aspect))
                if scope == "frame"
                else _of_clips(name, reference, driven, aspect)
                for scope in scopes
            }
        case "svd_literal" | "svd" | "svd_no_arms" | "learned":
            frames = _of_frames(name, target, driven, aligner)
            return _of_scopes(scopes, frames, reference, driven)
    raise ValueError(f"unknown alignment {name!r}")


def _of_scopes(
    scopes: Sequence[AlignmentScope], frames: Similarity, reference: Tensor, driven: Tensor
) -> dict[AlignmentScope, Alignment]:
    found: dict[AlignmentScope, Alignment] = {"frame": frames}
    if set(scopes) != {"frame"}:
        clip = for_clip(frames, reference, driven)
        found |= {"clip": clip, "steady": steady(clip, reference, driven)}
    return {scope: found[scope] for scope in scopes}


def _of_clips(name: str, reference: Tensor, driven: Tensor, aspect: float) -> Alignment:
    match name:
        case "linear":
            return baselines.linear(reference, driven)
        case "linear_aspect_bug":
            return baselines.linear(reference, driven, aspect)
    return per_bone(reference, driven)


def _of_frames(name: str, reference: Tensor, driven: Tensor, aligner: Aligner | None) -> Similarity:
    match name:
        case "svd_literal":
            return baselines.svd_literal(reference, driven)
        case "svd":
            return baselines.svd(reference, driven)
        case "svd_no_arms":
            return baselines.svd_no_arms(reference, driven)
    if aligner is None:
        raise ValueError("alignment 'learned' needs an aligner")
    frames, device = driven.shape[:-2], next(aligner.parameters()).device
    flat = aligner(reference.flatten(0, -3).to(device), driven.flatten(0, -3).to(device))
    return Similarity(*(part.to(driven).unflatten(0, frames) for part in flat))


class _OneFrameClips(NamedTuple):
    """An alignment of clips of one frame each, [..., F, 1], as one of frames [..., F]."""

    clips: Alignment

    def apply(self, points: Tensor) -> Tensor:
        return self.clips.apply(points[..., None, :, :])[..., 0, :, :]
