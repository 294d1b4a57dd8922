"""The random misalignment of driven poses: one distribution for training the aligner and for the benchmark sets.

The papers say "random rotation, scale and translation" and no more; these ranges are this project's choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.similarity import Similarity, mean_point


@dataclass(frozen=True, kw_only=True, slots=True)
class MisalignmentSettings:
    """Ranges of the misalignment, each drawn by itself."""

    rotation_degrees: float = 45.0
    """Degrees. Rotation is uniform in plus or minus this; a clip that lies on its side carries rotation metadata."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest scale, log-uniform, so that halving is as likely as doubling."""
    translation: float = 0.3
    """Image heights. Both offsets are uniform in plus or minus this."""

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"rotation_degrees must lie in 0 to 180, not {self.rotation_degrees}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two values above 0, the smaller first, not {self.scale}")
        if self.translation < 0:
            raise ValueError(f"translation must be at least 0 image heights, not {self.translation}")


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
    """Poses [..., J, 3] in image heights, each misaligned about the centroid of its visible joints; scores are kept.

    For a clip that must move as one, take the centroid over all its frames and use `misalignment.about(centroid)`.
    """
    points, scores = keypoints[..., :2], keypoints[..., 2:]
    centroid = mean_point(points, visible_joints(keypoints))
    moved = misalignment.about(centroid).apply(points)
    return torch.cat([moved, scores], -1)
