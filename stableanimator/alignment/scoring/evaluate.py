"""Dis, the mean distance of aligned poses to the true ones (Table III), for any of the alignments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.methods import Alignment, align, align_scopes
from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.scoring.drives import Drive
from stableanimator.alignment.settings import AlignmentName, AlignmentScope

Values = NDArray[np.float64]


class Interval(NamedTuple):
    """A number and where 95 of 100 repetitions with other people of the same kind would find it."""

    value: float
    low: float
    high: float


def dis(aligned: Tensor, truth: Tensor) -> Tensor:
    """Mean Euclidean distance [...] of points [..., 18, 2] to the visible joints of keypoints [..., 18, 3].

    Joints that `aligned` lacks do not count; where none is left the answer is NaN.
    """
    visible = visible_joints(truth) & torch.isfinite(aligned).all(-1)
    difference = torch.where(visible[..., None], aligned - truth[..., :2], 0)
    return torch.linalg.vector_norm(difference, dim=-1).sum(-1) / visible.sum(-1)


def drive_dis(drive: Drive, name: AlignmentName, scope: AlignmentScope, aligner: Aligner | None = None) -> Values:
    """Dis [F] of each frame of a drive in image heights; NaN where a frame shows nobody.

    Raises:
        ValueError: `learned` without an aligner.
    """
    return _dis_by(align(name, scope, drive.reference, drive.driven, aligner), drive)


def compare(
    methods: Sequence[AlignmentName],
    scopes: Sequence[AlignmentScope],
    drives: Sequence[Drive],
    aligner: Aligner | None = None,
) -> dict[tuple[AlignmentName, AlignmentScope], Values]:
    """Dis of each alignment on each drive [D], the mean over its frames.

    Raises:
        ValueError: `learned` is among the methods and there is no aligner.
    """
    found: dict[tuple[AlignmentName, AlignmentScope], list[float]] = {}
    for name in methods:
        for drive in drives:
            alignments = align_scopes(name, scopes, drive.reference, drive.driven, aligner)
            for scope, alignment in alignments.items():
                found.setdefault((name, scope), []).append(float(np.nanmean(_dis_by(alignment, drive))))
    return {key: np.array(values) for key, values in found.items()}


def _dis_by(alignment: Alignment, drive: Drive) -> Values:
    return dis(alignment.apply(drive.driven[..., :2]), drive.truth).double().numpy()


def of_people(values: Values, people: Sequence[str]) -> Values:
    """Mean [P] over each person's drives, of values [D], in the order of the people's names."""
    names = np.array(people)
    return np.array([values[names == name].mean() for name in sorted(set(people))])


def bootstrap(
    statistic: Callable[..., Values], *columns: Values, repetitions: int = 2000, level: float = 0.95
) -> Interval:
    """A statistic of people's means with a percentile bootstrap interval over the people; all people count alike.

    Args:
        statistic: of one mean over people for each column, arrays of any shape: `lambda a, b: a / b`.
        columns: [P] each, a value for each person.
        repetitions: resamples of the people; the draws are the same in every call.
        level: of the interval.
    """
    chosen = np.random.default_rng(0).integers(0, len(columns[0]), (repetitions, len(columns[0])))
    draws = statistic(*(column[chosen].mean(-1) for column in columns))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*(column.mean() for column in columns))), float(low), float(high))


def mean_interval(values: Values, people: Sequence[str]) -> Interval:
    """Mean over people of values [D], with its interval."""
    return bootstrap(lambda mean: mean, of_people(values, people))
