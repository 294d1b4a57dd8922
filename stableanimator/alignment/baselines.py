"""The ways to align a driven pose with a reference pose, under one interface and one transform per frame.

Poses are OpenPose-18 keypoints [..., 18, 3] (x, y, score) in image heights; a joint counts from score 0.3.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.poses import WITHOUT_ARMS, visible_joints
from stableanimator.alignment.similarity import (
    SMALLEST_SPREAD,
    Similarity,
    centre,
    common_joints,
    fit_similarity,
    is_degenerate,
    mean_point,
)

AlignmentName = Literal["none", "linear", "svd_literal", "svd", "svd_no_arms", "learned"]


def align(name: AlignmentName, reference: Tensor, driven: Tensor, aligner: Aligner | None = None) -> Similarity:
    """The transform of each driven pose [..., 18, 3] that brings it to its reference [..., 18, 3], by name.

    `none`: the identity. `linear`: MimicMotion's and ControlNeXt's. `svd_literal`: Eq. 2-8 to the letter, which may
    mirror, with missing joints left in as -1. `svd`: Eq. 2-8 over the joints that both poses show, never mirroring.
    `svd_no_arms`: the same without elbows and wrists. `learned`: Eq. 1-11 by `aligner`, for [B, 18, 3].

    Raises:
        ValueError: the name is unknown, or it is `learned` without an aligner.
    """
    match name:
        case "none":
            return Similarity.identity(driven.shape[:-2], driven.dtype, driven.device)
        case "linear":
            return linear(reference, driven)
        case "svd_literal":
            return fit_similarity(_missing_as_minus_one(driven), _missing_as_minus_one(reference), None, True)
        case "svd":
            return svd(reference, driven)
        case "svd_no_arms":
            return svd_no_arms(reference, driven)
        case "learned":
            if aligner is None:
                raise ValueError("alignment 'learned' needs an aligner")
            return aligner(reference, driven)
    raise ValueError(f"unknown alignment {name!r}")


def svd(reference: Tensor, driven: Tensor) -> Similarity:
    """Eq. 2-7 over the joints that both poses show, without reflection."""
    return fit_similarity(driven[..., :2], reference[..., :2], visible_joints(driven) & visible_joints(reference))


def svd_no_arms(reference: Tensor, driven: Tensor) -> Similarity:
    """`svd` without elbows and wrists; with them where the rest fixes no rotation or scale."""
    both = visible_joints(driven) & visible_joints(reference)
    without = driven[..., :2], reference[..., :2], both, False, WITHOUT_ARMS
    return svd(reference, driven).where(is_degenerate(*without), fit_similarity(*without))


def linear(reference: Tensor, driven: Tensor) -> Similarity:
    """MimicMotion's and ControlNeXt's alignment (dwpose/preprocess.py): one scale from a line through y, and a shift.

    The scale is the least-squares slope of the reference's y on the driven pose's y. Theirs is the same for x once
    aspect ratios are taken out, as units of image height do. A negative slope mirrors both axes, that is, it turns by
    180 degrees. Here joints missing in either pose are left out, and each frame has its own fit; theirs is one for the
    clip. Where y has no extent the answer is the shift alone.
    """
    points, target = driven[..., :2], reference[..., :2]
    both = visible_joints(driven) & visible_joints(reference)
    common = common_joints(points, target, both, WITHOUT_ARMS)
    y_driven, y_reference = centre(points, common)[..., 1], centre(target, common)[..., 1]
    variance = y_driven.square().sum(-1)
    flat = variance <= common.sum(-1) * SMALLEST_SPREAD**2
    slope = torch.where(flat, 1, (y_driven * y_reference).sum(-1) / torch.where(flat, 1, variance))
    sign = torch.where(slope < 0, -1, 1).to(slope)
    rotation = sign[..., None, None] * torch.eye(2).to(slope)
    shift = mean_point(target, common) - slope[..., None] * mean_point(points, common)
    return Similarity(rotation, slope.abs(), shift)


def _missing_as_minus_one(keypoints: Tensor) -> Tensor:
    """Points [..., J, 2] with missing joints at (-1, -1), where the published preprocessing leaves them."""
    return torch.where(visible_joints(keypoints)[..., None], keypoints[..., :2], -1)
