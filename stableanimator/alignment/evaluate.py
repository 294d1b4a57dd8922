"""Dis, the mean distance of aligned poses to the true ones (Table III), for any of the alignments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.baselines import AlignmentName, align
from stableanimator.alignment.poses import visible_joints
from stableanimator.alignment.training_pairs import AlignmentPairs

_BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Dis:
    """Dis of one alignment over a set of pairs, in image heights."""

    mean: float
    """Mean over pairs."""
    by_clip: dict[int, float]
    """Mean over the pairs of each clip, by its place in the data set's list; -1 holds the procedural pairs."""
    pairs_by_clip: dict[int, int]
    """How many pairs each mean is over."""


def dis(aligned: Tensor, truth: Tensor) -> Tensor:
    """Mean Euclidean distance [...] of points [..., 18, 2] to the visible joints of keypoints [..., 18, 3].

    Joints that `aligned` lacks do not count; where none is left the answer is NaN.
    """
    visible = visible_joints(truth) & torch.isfinite(aligned).all(-1)
    difference = torch.where(visible[..., None], aligned - truth[..., :2], 0)
    return torch.linalg.vector_norm(difference, dim=-1).sum(-1) / visible.sum(-1)


@torch.no_grad()
def compare(
    methods: Sequence[AlignmentName], pairs: AlignmentPairs, aligner: Aligner | None = None
) -> dict[AlignmentName, Dis]:
    """Dis of each alignment on all of `pairs`, the same pairs for each.

    Raises:
        ValueError: `learned` is among the methods and there is no aligner.
    """
    device = torch.device("cpu") if aligner is None else next(aligner.parameters()).device
    distances: dict[AlignmentName, list[Tensor]] = {name: [] for name in methods}
    clips: list[Tensor] = []
    for start in range(0, len(pairs), _BATCH):
        batch = pairs.batch(range(start, min(start + _BATCH, len(pairs))))
        reference, driven, truth = (batch[name].to(device) for name in ("reference", "driven", "truth"))
        clips.append(batch["clip"])
        for name in methods:
            transform = align(name, reference, driven, aligner)
            distances[name].append(dis(transform.apply(driven[..., :2]), truth).cpu())
    clip = torch.cat(clips)
    return {name: _by_clip(torch.cat(values), clip) for name, values in distances.items()}


def _by_clip(distances: Tensor, clip: Tensor) -> Dis:
    numbers = [int(number) for number in clip.unique()]
    return Dis(
        mean=float(distances.mean()),
        by_clip={number: float(distances[clip == number].mean()) for number in numbers},
        pairs_by_clip={number: int((clip == number).sum()) for number in numbers},
    )
