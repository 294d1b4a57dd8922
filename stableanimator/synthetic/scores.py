"""How well detections agree with the truth of drawn frames: boxes, landmarks, joints, cameras, cuts, identities.

A true things   B found things   K keypoints
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from stableanimator.synthetic.scene.camera import step_similarities

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

SAME_BOX = 0.5
"""Intersection over union from which two boxes mean the same thing, as in PASCAL VOC and WIDER FACE."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of decisions that were right and wrong."""

    hits: int = 0
    """True and found."""
    misses: int = 0
    """True and not found."""
    false_alarms: int = 0
    """Found and not true."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.hits + other.hits, self.misses + other.misses, self.false_alarms + other.false_alarms)

    @property
    def precision(self) -> float:
        """Share of what was found that is true; NaN where nothing was found."""
        found = self.hits + self.false_alarms
        return self.hits / found if found else float("nan")

    @property
    def recall(self) -> float:
        """Share of what is true that was found; NaN where nothing is true."""
        return self.hits / self.true if self.true else float("nan")

    @property
    def true(self) -> int:
        """How many things are true."""
        return self.hits + self.misses


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    return sum(tallies, Tally())


def overlaps(true: Floats, found: Floats) -> NDArray[np.float64]:
    """[A, B] intersection over union of boxes [A, 4] and [B, 4]."""
    first, second = np.asarray(true, np.float64)[:, None], np.asarray(found, np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))


def match_boxes(true: Floats, found: Floats, least: float = SAME_BOX) -> list[tuple[int, int]]:
    """Pairs (true, found) of boxes that overlap by at least `least`, the best overlap first; each box once."""
    overlap = overlaps(true.reshape(-1, 4), found.reshape(-1, 4))
    pairs: list[tuple[int, int]] = []
    while overlap.size and overlap.max() >= least:
        first, second = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(first), int(second)))
        overlap[first], overlap[:, second] = -1, -1
    return pairs


def tally_boxes(true: Floats, found: Floats, minor: Flags | None = None) -> Tally:
    """Detections [B, 4] against true boxes [A, 4].

    `minor` [A] marks true boxes that nobody has to find: they count neither as found nor as missed.
    """
    forgiven = np.zeros(len(true), bool) if minor is None else minor
    matched = match_boxes(true, found)
    hits = sum(not forgiven[first] for first, _ in matched)
    return Tally(hits, int((~forgiven).sum()) - hits, len(found) - len(matched))


def tally_cuts(true: Sequence[int], found: Sequence[int], tolerance: int = 2) -> Tally:
    """Cuts (first frames of new shots) that were found within `tolerance` frames; each found cut stands for one."""
    left = sorted(found)
    hits = 0
    for cut in sorted(true):
        near = [other for other in left if abs(other - cut) <= tolerance]
        if near:
            left.remove(min(near, key=lambda other: abs(other - cut)))
            hits += 1
    return Tally(hits, len(true) - hits, len(left))


def landmark_errors(true: Floats, found: Floats) -> NDArray[np.float64]:
    """[5] distances of InsightFace's landmarks [5, 2] from the true ones, in distances between the true eyes."""
    eyes = float(np.linalg.norm(true[0] - true[1]))
    return np.asarray(np.linalg.norm(found - true, axis=-1) / eyes)


def joint_errors(true: Floats, found: Floats, stature: float, visible: float) -> NDArray[np.float64]:
    """[K] distances of keypoints [K, 3] (x, y, score) from the true places [K, 2], in the person's standing height.

    Infinite where the found keypoint scores below `visible`.
    """
    distance = np.linalg.norm(found[:, :2] - true, axis=-1) / stature
    return np.where(found[:, 2] >= visible, distance, np.inf)


def camera_errors(true: Floats, found: Floats, height: int, width: int) -> NDArray[np.float64]:
    """[S, 3] errors of steps of a camera: translation in shares of the diagonal, |scale error|, degrees of rotation.

    Args:
        true: [S + 1, 2, 3] similarities from the world to pixels, of the frames between which the steps are.
        found: [S, 4] dx, dy of the picture's centre in pixels, rotation in degrees, scale. NaN where unknown, and so
            is the error.
        height, width: of the picture in pixels.
    """
    steps = step_similarities(np.asarray(true, np.float64), height, width)
    translation = np.linalg.norm(found[:, :2] - steps[:, :2], axis=-1) / np.hypot(height, width)
    return np.stack([translation, np.abs(found[:, 3] / steps[:, 3] - 1), np.abs(found[:, 2] - steps[:, 2])], -1)


def area_under_curve(same: Floats, different: Floats) -> float:
    """The chance that a pair of one identity is more alike than a pair of two: area under the ROC curve, 0 to 1.

    Args:
        same, different: likenesses of pairs, higher is more alike. A tie counts half.

    Raises:
        ValueError: one of them is empty.
    """
    if not len(same) or not len(different):
        raise ValueError("an area under the curve needs pairs of both kinds")
    ranks = rankdata(np.concatenate([same, different]))
    above = ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2
    return float(above / (len(same) * len(different)))


def identity_pairs(
    embeddings: Floats, identities: NDArray[np.integer], clips: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines of the pairs of one identity in different clips, and of the pairs of two identities.

    Pairs within a clip are left out: same clothes, same light and nearly the same pose make them easy.

    Args:
        embeddings: [N, E], of any length above 0.
        identities, clips: [N] whose face it is, and in which clip.
    """
    first, second = np.triu_indices(len(embeddings), 1)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (directions @ directions.T)[first, second].astype(np.float64)
    one = identities[first] == identities[second]
    return cosines[one & (clips[first] != clips[second])], cosines[~one]
