"""The random misalignment of driven poses: one distribution for training the aligner and for the benchmark sets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.alignment.similarity import Similarity, mean_point


def misalignment_from(settings: MisalignmentSettings, draws: Tensor) -> Similarity:
    """Misalignments [...] from uniform numbers [..., 4] in [0, 1): of rotation, scale, x and y."""
    signed = 2 * draws - 1
    low, high = math.log(settings.scale[0]), math.log(settings.scale[1])
    scale = torch.exp(low + (high - low) * draws[..., 1])
    return Similarity.from_degrees(
        settings.rotation_degrees * signed[..., 0], scale, settings.translation * signed[..., 2:4]
    )


def random_misalignment(settings: MisalignmentSettings, generator: torch.Generator, count: int) -> Similarity:
    """`count` misalignments with their origin at the pose's centroid: use `Similarity.about` or `misalign`."""
    return misalignment_from(settings, torch.rand(count, 4, generator=generator))


def misalign(keypoints: Tensor, misalignment: Similarity) -> Tensor:
    """Poses [..., J, 3] in image heights, each misaligned about the centroid of its visible joints; scores are kept."""
    points, scores = keypoints[..., :2], keypoints[..., 2:]
    centroid = mean_point(points, visible_joints(keypoints))
    moved = misalignment.about(centroid).apply(points)
    return torch.cat([moved, scores], -1)


def misalign_as_one(keypoints: Tensor, misalignment: Similarity) -> Tensor:
    """Poses [F, J, 3] of a clip, misaligned by one transform about the centroid of all visible joints of all frames."""
    return misalign(keypoints.flatten(0, 1), misalignment).unflatten(0, keypoints.shape[:2])
