"""Dis, the mean distance of aligned poses to the true ones (Table III), for any of the alignments."""

from __future__ import annotations

from collections.abc import Sequence

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
