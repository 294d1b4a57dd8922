"""New people out of those of a release: mirrored, of other proportions, cropped, with joints missing.

A release of a few people teaches an aligner these people. What is changed is the same in both poses of a pair, as it
would be for another person before the same camera, but for joints that a detector misses.

    B pairs   J = 18 skeleton nodes
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from stableanimator.alignment.per_bone import BONES
from stableanimator.alignment.poses import NODES

Poses = NDArray[np.float32]

DRAWS = 3 + len(BONES) + 2 * NODES
"""Uniform numbers that a pair takes."""

_MIRRORED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
_PROPORTION = 0.1
"""Standard deviation of the logarithm of a bone's length over what it was."""
_CROPPED = 0.3
"""Share of pairs of which the picture's lower edge hides a part."""
_MISSED = 0.03
"""Share of joints that a detector misses, in each pose."""


def augment(poses: Poses, draws: NDArray[np.float64], minimum_joints: int) -> Poses:
    """Pairs of poses [2, B, 18, 3] (reference, truth) in image heights, missing joints NaN with score 0, changed.

    Args:
        draws: [B, DRAWS] uniform in [0, 1).
        minimum_joints: a pair that would share fewer joints keeps all that it had.
    """
    mirror, crop, line, rest = draws[:, 0] < 0.5, draws[:, 1] < _CROPPED, draws[:, 2], draws[:, 3:]
    factors = np.exp(_PROPORTION * ndtri(np.maximum(rest[:, : len(BONES)], 1e-12)))
    flipped = poses[:, :, _MIRRORED] * np.array([-1, 1, 1], np.float32)
    changed = _of_proportions(np.where(mirror[None, :, None, None], flipped, poses), factors)
    hidden = (rest[:, len(BONES) :] < _MISSED).reshape(-1, 2, NODES).transpose(1, 0, 2)
    hidden = hidden | (crop[None, :, None] & _below(changed, line))
    cut = np.where(hidden[..., None], np.array([np.nan, np.nan, 0], np.float32), changed)
    enough = (cut[..., 2] > 0).all(0).sum(-1) >= minimum_joints
    return np.where(enough[None, :, None, None], cut, changed).astype(np.float32)


def _of_proportions(poses: Poses, factors: NDArray[np.float64]) -> Poses:
    """Every bone times its factor [B, bones]; what hangs on it moves along."""
    shift = np.zeros_like(poses[..., :2])
    for number, (joint, child) in enumerate(BONES):
        bone = poses[..., child, :2] - poses[..., joint, :2]
        longer = np.nan_to_num((factors[:, number, None] - 1) * bone)  # a bone without an end keeps its length
        shift[..., child, :] = shift[..., joint, :] + longer
    return np.concatenate([poses[..., :2] + shift, poses[..., 2:]], -1).astype(np.float32)


def _below(poses: Poses, line: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Joints below a line across the picture; `line` [B] goes from below the reference's top third to its foot."""
    y = poses[0, ..., 1]
    top, bottom = np.nanmin(y, -1), np.nanmax(y, -1)
    edge = top + (bottom - top) * (0.35 + 0.65 * line)
    return np.nan_to_num(poses[..., 1], nan=-np.inf) > edge[None, :, None]
