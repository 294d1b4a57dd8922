"""The alignments to compare the learned one with; `alignment.methods` gives them one interface, `per_bone` is one more.

Poses are OpenPose-18 keypoints [..., 18, 3] (x, y, score) in image heights; a joint counts from score 0.3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

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


class Stretch(NamedTuple):
    """p -> scale * p + translation, each axis by itself."""

    scale: Tensor
    """[..., 1, 2], the same for all frames."""
    translation: Tensor
    """[..., 1, 2] in image heights."""

    def apply(self, points: Tensor) -> Tensor:
        """Move points [..., F, N, 2]."""
        return self.scale[..., None, :] * points + self.translation[..., None, :]


def svd(reference: Tensor, driven: Tensor) -> Similarity:
    """Eq. 2-7 over the joints that both poses show, without reflection."""
    return fit_similarity(driven[..., :2], reference[..., :2], visible_joints(driven) & visible_joints(reference))


def svd_no_arms(reference: Tensor, driven: Tensor) -> Similarity:
    """`svd` without elbows and wrists; with them where the rest fixes no rotation or scale."""
    both = visible_joints(driven) & visible_joints(reference)
    without = driven[..., :2], reference[..., :2], both, False, WITHOUT_ARMS
    return svd(reference, driven).where(is_degenerate(*without), fit_similarity(*without))


def svd_literal(reference: Tensor, driven: Tensor) -> Similarity:
    """Eq. 2-8 to the letter: it may mirror (Eq. 5), and missing joints are left in as (-1, -1)."""
    return fit_similarity(_missing_as_minus_one(driven), _missing_as_minus_one(reference), None, True)


def linear(reference: Tensor, driven: Tensor, aspect: float = 1.0) -> Stretch:
    """MimicMotion's and ControlNeXt's alignment (dwpose/preprocess.py): one scale from a line through y, and a shift.

    The scale is the least-squares slope of the reference's y on the driven pose's y, over all frames of the clip
    together; a negative one mirrors both axes, that is, it turns by 180 degrees. x has the same scale, as theirs has
    once aspect ratios are taken out. Here joints missing in either pose are left out; theirs leave out what the
    reference lacks. Where y has no extent the answer is the shift alone.

    Args:
        reference: keypoints [..., 18, 3].
        driven: keypoints [..., F, 18, 3] of a clip.
        aspect: 1 for the published alignment. The reference's width over height, over the driving video's, gives what
            the released StableAnimator does (DWPose/skeleton_extraction.py, `linear_aspect_bug`): it takes the driving
            video's size to be the reference's, so that x and y get the same scale as shares of their own pictures.
    """
    common = visible_joints(driven) & visible_joints(reference)[..., None, :]
    points, target = driven[..., :2], reference[..., None, :, :2].expand_as(driven[..., :2])
    common = common_joints(points, target, common, WITHOUT_ARMS).flatten(-2)
    points, target = points.flatten(-3, -2), target.flatten(-3, -2)
    y_driven, y_reference = centre(points, common)[..., 1], centre(target, common)[..., 1]
    variance = y_driven.square().sum(-1)
    flat = variance <= common.sum(-1) * SMALLEST_SPREAD**2
    slope = torch.where(flat, 1, (y_driven * y_reference).sum(-1) / torch.where(flat, 1, variance))
    scale = torch.stack([slope * aspect, slope], -1)
    shift = mean_point(target, common) - scale * mean_point(points, common)
    return Stretch(scale[..., None, :], shift[..., None, :])


def _missing_as_minus_one(keypoints: Tensor) -> Tensor:
    """Points [..., J, 2] with missing joints at (-1, -1), where the published preprocessing leaves them."""
    return torch.where(visible_joints(keypoints)[..., None], keypoints[..., :2], -1)
