"""One similarity transform for a whole clip, from one a frame; or what all frames share of it, and a place for each.

A transform a frame puts every frame's pose onto the reference's place and size: a person who walks or comes nearer
would stay where they are, and the skeleton jitters. The driving camera stays the same within a clip, and so does what
alignment undoes. Where the camera moves, its rotation and its distance change least: `steady` keeps these of the clip
and follows the person.

    F frames of one clip   J = 18 skeleton nodes   ... any leading dimensions
"""

from __future__ import annotations

import torch
from torch import Tensor

from stableanimator.alignment.poses import WITHOUT_ARMS, visible_joints
from stableanimator.alignment.similarity import Similarity, centre, mean_point, rotation_matrix

_ENOUGH = 3
"""Common joints from which a fit leaves a residual: two always fit."""
_NOISE = 0.01
"""Residual of two equal poses by a detector's noise, relative to the pose's size."""
_POWER = 4
"""Of the residual in a frame's weight: 4 is the square of the usual inverse variance."""
_ARM_WEIGHT = 0.2
"""Of elbows and wrists, which move most, in where a person is; other joints weigh 1."""


def for_clip(transforms: Similarity, reference: Tensor, driven: Tensor) -> Similarity:
    """One transform a clip: means over its frames, weighted by how like the reference each frame's pose is.

    Where the person holds the pose of the reference, what aligns them is exact; where they do not, an arm or a step
    aside passes for rotation, scale or shift. So a frame weighs (residual + noise)^-4, the residual being what its own
    transform leaves of the difference to the reference, relative to the reference's size (Procrustes distance).

    Args:
        transforms: [..., F], of poses in image heights. Where some mirror, the kind of more weight decides.
        reference: [..., 18, 3].
        driven: [..., F, 18, 3].

    Returns:
        [..., 1], the same for all frames. Without a frame that shows anybody it is the identity.
    """
    target = reference[..., None, :, :].expand_as(driven)
    seen = visible_joints(driven)
    common = seen & visible_joints(target)
    weight = _weights(transforms, target, driven, common)
    anyone = seen.any(-1).to(weight)
    weight = torch.where(weight.sum(-1, keepdim=True) > 0, weight, anyone)
    mirrors = torch.linalg.det(transforms.rotation) < 0
    mirrored = (weight * mirrors).sum(-1, keepdim=True) > (weight * ~mirrors).sum(-1, keepdim=True)
    weight = weight * (mirrors == mirrored)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)

    direction = (weight[..., None] * transforms.rotation[..., :, 0]).sum(-2)
    length = torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
    # Rotations that cancel have no mean.
    direction = torch.where(length > 1e-6, direction / length, direction.new_tensor([1.0, 0.0]))
    rotation = rotation_matrix(direction[..., 0], direction[..., 1])
    flip = torch.where(mirrored, -1.0, 1.0).to(rotation)
    rotation = torch.stack([rotation[..., 0], rotation[..., 1] * flip], -1)
    scale = torch.exp((weight * torch.log(transforms.scale)).sum(-1))
    # Each frame's transform is exact about the middle of the joints that it was fitted by.
    middle = mean_point(driven[..., :2], torch.where(common.any(-1, keepdim=True), common, seen))
    turned = scale[..., None, None] * (middle @ rotation.mT)
    placed = transforms.apply(middle[..., None, :])[..., 0, :]
    shift = (weight[..., None] * (placed - turned)).sum(-2)
    found = Similarity(rotation, scale, shift)
    nobody = anyone.sum(-1) == 0
    one = found.where(~nobody, Similarity.identity(scale.shape, scale.dtype, scale.device))
    return Similarity(one.rotation[..., None, :, :], one.scale[..., None], one.translation[..., None, :])


def steady(one: Similarity, reference: Tensor, driven: Tensor) -> Similarity:
    """A clip's rotation and scale, and a translation a frame that puts the person where the reference is.

    A person's place is the mean of the joints that both poses show. Frames that share no joint with the reference get
    the clip's translation.

    Args:
        one: of the clip, [..., 1] (`for_clip`).
        reference: [..., 18, 3] in image heights.
        driven: [..., F, 18, 3].

    Returns:
        [..., F].
    """
    frames = driven.shape[:-2]
    whole = Similarity(one.rotation.expand(*frames, 2, 2), one.scale.expand(frames), one.translation.expand(*frames, 2))
    target = reference[..., None, :, :].expand_as(driven)
    common = visible_joints(driven) & visible_joints(target)
    weights = torch.full_like(driven[..., 2], _ARM_WEIGHT)
    weights[..., list(WITHOUT_ARMS)] = 1
    place = mean_point(whole.apply(driven[..., :2]), common, weights)
    off = mean_point(target[..., :2], common, weights) - place
    return whole._replace(translation=whole.translation + torch.where(common.any(-1, keepdim=True), off, 0))


def _weights(transforms: Similarity, target: Tensor, driven: Tensor, common: Tensor) -> Tensor:
    """Weights [..., F], 0 for frames with too few common joints; only their ratios mean something."""
    gap = torch.where(common[..., None], transforms.apply(driven[..., :2]) - target[..., :2], 0)
    size = centre(target[..., :2], common).square().sum((-1, -2))
    residual = (gap.square().sum((-1, -2)) / size.clamp(min=1e-12)).sqrt()
    return torch.where(common.sum(-1) >= _ENOUGH, (residual + _NOISE) ** -_POWER, 0)
