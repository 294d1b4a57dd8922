"""UniAnimate's alignment (run_align_pose.py): every bone of the driven skeleton gets the reference's length.

First the whole picture is stretched, x by the ratio of the shoulders' widths and y by that of the trunks; then each
bone, from the neck and the hips outwards, is brought to its length in the reference and what hangs on it moves along;
then the neck is put onto the reference's neck. Directions stay those of the driven pose, so a rotation is not undone.

The published script takes all ratios from the first frame and divides by whatever it finds there, so a missing joint or
a person seen from the side gives NaN or a giant. Here each ratio is the median over the frames that show both its ends,
a bone without such a frame keeps its length, and a width too small to measure is replaced by the other ratio.

    F frames of one clip   J = 18 skeleton nodes   ... any leading dimensions
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stableanimator.alignment.poses import NODES, visible_joints
from stableanimator.alignment.similarity import centre, mean_point

_NECK, _SHOULDERS, _HIPS = 1, (2, 5), (8, 11)
BONES = (  # from the neck and the hips outwards: (joint, the joint that hangs on it)
    *((1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)),
    *((8, 9), (9, 10), (11, 12), (12, 13)),
)
"""Each after the one it hangs on."""
_SMALLEST = 0.1
"""Least width or height that a ratio is taken of, in shares of the other: shoulders seen from the side have none."""
_CARRIERS = (  # the node that carries each of the 133 whole-body keypoints
    *(0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10),
    *((13,) * 3 + (10,) * 3),  # feet: ankles
    *((0,) * 68),  # face: nose
    *((7,) * 21 + (4,) * 21),  # hands: wrists
)


class Retargeting(NamedTuple):
    """p -> scale * p + shift of the joint that carries p."""

    scale: Tensor
    """[..., 1, 2] of x and of y, the same for all frames."""
    shift: Tensor
    """[..., F, 18, 2] in image heights."""

    def apply(self, points: Tensor) -> Tensor:
        """Move nodes [..., F, 18, 2], or all whole-body keypoints [..., F, 133, 2], of the poses it was made for."""
        shift = self.shift if points.shape[-2] == NODES else self.shift[..., _CARRIERS, :]
        return self.scale[..., None, :] * points + shift


def per_bone(reference: Tensor, driven: Tensor) -> Retargeting:
    """Bring the bones of a clip's poses to the lengths of the reference's.

    Args:
        reference: keypoints [..., 18, 3] in image heights.
        driven: keypoints [..., F, 18, 3] in image heights; all its frames share their ratios.

    Returns:
        A retargeting of the poses [..., F]. Without any common joint it is the identity.
    """
    reference = reference[..., None, :, :]
    seen, wanted = visible_joints(driven), visible_joints(reference)
    points = torch.where(seen[..., None], driven[..., :2], 0)
    target = torch.where(wanted[..., None], reference[..., :2], 0)
    common = seen & wanted
    scale = _stretch(points, target, common)
    stretched = scale * points
    shift = torch.zeros_like(stretched)
    for joint, child in BONES:
        ratio = _length_ratio(stretched, target, common, joint, child)
        bone = stretched[..., child, :] - stretched[..., joint, :]
        both = seen[..., joint] & seen[..., child]
        shift[..., child, :] = shift[..., joint, :] + torch.where(both[..., None], (ratio - 1) * bone, 0)
    placed = _place(stretched + shift, target, common)
    return Retargeting(scale=scale[..., 0, :], shift=shift + placed)


def _stretch(points: Tensor, target: Tensor, common: Tensor) -> Tensor:
    """Ratios [..., 1, 1, 2] of the shoulders' widths in x and of the trunks' heights in y, medians over frames."""
    width, width_target = (abs(each[..., 2, 0] - each[..., 5, 0]) for each in (points, target))
    height, height_target = (
        abs(each[..., _HIPS, 1].mean(-1) - each[..., _SHOULDERS, 1].mean(-1)) for each in (points, target)
    )
    shoulders = common[..., _SHOULDERS].all(-1)
    trunk = shoulders & common[..., _HIPS].all(-1)
    extent, extent_target = _extent(points, common), _extent(target, common)
    # Where no trunk is seen, as in close-ups, all that both poses show stands for it.
    wide = shoulders & (width > _SMALLEST * torch.where(trunk, height, extent))
    wide = wide & (width_target > _SMALLEST * torch.where(trunk, height_target, extent_target))
    high = trunk & (height > _SMALLEST * width) & (height_target > _SMALLEST * width_target)
    x = _median(width_target / width.clamp(min=1e-6), wide & (width > 1e-6) & (width_target > 1e-6))
    y = _median(height_target / height.clamp(min=1e-6), high & (height > 1e-6) & (height_target > 1e-6))
    size = _median(extent_target / extent.clamp(min=1e-6), common.sum(-1) > 1)
    size = torch.where(torch.isnan(size) | (size <= 0), 1, size)
    other = torch.where(torch.isnan(x), y, x)
    other = torch.where(torch.isnan(other), size, other)
    both = torch.stack([torch.where(torch.isnan(x), other, x), torch.where(torch.isnan(y), other, y)], -1)
    return both[..., None, None, :]


def _extent(points: Tensor, common: Tensor) -> Tensor:
    """Root of the summed squared distances of the common joints from their mean."""
    return centre(points, common).square().sum((-1, -2)).sqrt()


def _length_ratio(points: Tensor, target: Tensor, common: Tensor, joint: int, child: int) -> Tensor:
    """Ratio [..., 1, 1] of a bone's length in the reference to that in the clip; 1 where no frame shows it."""
    length, wanted = (
        torch.linalg.vector_norm(each[..., child, :] - each[..., joint, :], dim=-1) for each in (points, target)
    )
    seen = common[..., joint] & common[..., child] & (length > 1e-6) & (wanted > 1e-6)
    ratio = _median(wanted / length.clamp(min=1e-6), seen)
    return torch.where(torch.isnan(ratio), 1, ratio)[..., None, None]


def _place(points: Tensor, target: Tensor, common: Tensor) -> Tensor:
    """What brings the neck onto the reference's, [..., 1, 1, 2], median over frames; without one, the common joints."""
    neck = common[..., _NECK]
    has_neck = neck.any(-1, keepdim=True)
    by_neck = target[..., _NECK, :] - points[..., _NECK, :]
    by_mean = mean_point(target, common) - mean_point(points, common)
    shift = torch.where(has_neck[..., None], by_neck, by_mean)
    valid = torch.where(has_neck, neck, common.any(-1))
    median = torch.stack([_median(shift[..., axis], valid) for axis in (0, 1)], -1)
    return torch.where(torch.isnan(median), 0, median)[..., None, None, :]


def _median(values: Tensor, valid: Tensor) -> Tensor:
    """Median over the last dimension of those that are valid; NaN where none is."""
    return torch.nanmedian(torch.where(valid, values, torch.nan), dim=-1).values
