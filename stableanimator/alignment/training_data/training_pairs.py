"""Pairs of poses of one person for the aligner: a reference, a truth, and the truth misaligned (SA++ III-A, Training).

An item depends on the settings, the clips, the data set's purpose and its index alone, so that ranks can take every
n-th index and a resumed run can start at any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from stableanimator.alignment.poses import NODES, hide_invisible
from stableanimator.alignment.settings import AlignSettings
from stableanimator.alignment.training_data.augmentation import DRAWS, augment
from stableanimator.alignment.training_data.draws import RowDraws
from stableanimator.alignment.training_data.misalignment import misalign, misalignment_from
from stableanimator.alignment.training_data.procedural import procedural_pairs
from stableanimator.perception.skeleton import VISIBLE

Purpose = Literal["training", "validation"]
Item = dict[str, Tensor]

PROCEDURAL = -1
"""The number that stands for a clip in a procedural item."""

_STREAMS: dict[Purpose, int] = {"training": 1, "validation": 2}
_CHOICES = 1 << 32  # purposes of RowDraws from here on choose; those below draw procedural people
_TRIES = 16


class AlignmentPairs(Dataset[Item]):
    """A map-style data set of `steps * batch_size` training pairs, or of `validation_pairs` held-out ones.

        pairs = AlignmentPairs(settings, clips)
        pairs[0]    # reference, driven, truth: float32 [18, 3] in image heights, missing joints NaN with score 0;
                    # clip: int64, the clip's place in `clips`, or -1 for a procedural pair

    Neighbouring items are independent already: read them in order. A data loader fetches whole batches at once
    (`__getitems__`), which is some forty times as fast as one by one.

    Args:
        settings: ranges, shares and seed.
        clips: one array [F, 18, 3] per shot in image heights, missing joints NaN or of score below 0.3; `PoseClips`
            keeps them on the disk. Those without two neighbouring frames that share `minimum_joints` joints are left
            out: `unusable` holds their places.
        purpose: `training` and `validation` draw from different streams. Pass held-out clips for the second.
    """

    def __init__(
        self, settings: AlignSettings, clips: Sequence[NDArray[np.float32]], purpose: Purpose = "training"
    ) -> None:
        self.settings = settings
        self.purpose = purpose
        self._clips = clips
        usable = [len(self._sharing_neighbours(number)) > 0 for number in range(len(clips))]
        self._usable = np.flatnonzero(usable)
        self.unusable = np.flatnonzero(np.logical_not(usable)).tolist()

    def __len__(self) -> int:
        settings = self.settings
        return settings.steps * settings.batch_size if self.purpose == "training" else settings.validation_pairs

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Item]:
        """The items of several indices."""
        batch = self.batch(indices)
        return [{name: values[row] for name, values in batch.items()} for row in range(len(indices))]

    def batch(self, indices: Sequence[int]) -> Item:
        """The items of several indices, stacked: what a data loader's collation of them gives.

        Raises:
            IndexError: an index lies outside 0 to len - 1.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"index outside 0 to {len(self) - 1}")
        settings, stream = self.settings, _STREAMS[self.purpose]
        draws = RowDraws(settings.seed, _CHOICES + stream, rows)
        misalignment = misalignment_from(settings.misalignment, torch.from_numpy(draws.uniform(4)).float())
        clip = self._choose_clips(draws)
        poses = np.empty((2, len(rows), NODES, 3), dtype=np.float32)
        made = clip == PROCEDURAL
        if made.any():
            minimum = settings.pairs.minimum_joints
            poses[:, made] = procedural_pairs(settings.pairs.procedural, settings.seed, rows[made], minimum, stream)
        candidates = draws.uniform(2 * _TRIES + 1)
        for row in np.flatnonzero(~made):
            poses[:, row] = self._frames(int(clip[row]), candidates[row])
        if settings.pairs.augment and self.purpose == "training":
            changes = draws.uniform(DRAWS)
            poses[:, ~made] = augment(poses[:, ~made], changes[~made], settings.pairs.minimum_joints)
        reference, truth = torch.from_numpy(poses)
        driven = misalign(truth, misalignment)
        return {"reference": reference, "driven": driven, "truth": truth, "clip": torch.from_numpy(clip)}

    def _choose_clips(self, draws: RowDraws) -> NDArray[np.int64]:
        """Each row's clip, all clips alike whatever their length, or PROCEDURAL."""
        kind, which = draws.uniform(2).T
        if not len(self._usable):
            return np.full(len(draws), PROCEDURAL, dtype=np.int64)
        chosen = self._usable[(which * len(self._usable)).astype(np.int64)]
        return np.where(kind < self.settings.pairs.procedural_share, PROCEDURAL, chosen)

    def _frames(self, number: int, candidates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Two different frames [2, 18, 3] of a clip that share enough joints."""
        clip = self._clips[number]
        first = (candidates[:_TRIES] * len(clip)).astype(np.int64)
        offset = 1 + (candidates[_TRIES:-1] * (len(clip) - 1)).astype(np.int64)
        second = (first + offset) % len(clip)
        shared = _shared_joints(clip[first], clip[second]) >= self.settings.pairs.minimum_joints
        if shared.any():
            best = int(np.argmax(shared))
            return hide_invisible(clip[[first[best], second[best]]])
        # Frames that share joints are rare in this clip; some neighbours do.
        neighbours = self._sharing_neighbours(number)
        start = neighbours[int(candidates[-1] * len(neighbours))]
        return hide_invisible(clip[start : start + 2])

    def _sharing_neighbours(self, number: int) -> NDArray[np.int64]:
        """Frames of a clip that share enough joints with the next."""
        clip = self._clips[number]
        return np.flatnonzero(_shared_joints(clip[:-1], clip[1:]) >= self.settings.pairs.minimum_joints)


def _shared_joints(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int64]:
    return ((first[..., 2] >= VISIBLE) & (second[..., 2] >= VISIBLE)).sum(-1)
