"""What alignments are compared on: a reference pose, and a clip of the same person whose poses are misaligned.

F frames
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stableanimator.alignment.poses import hide_invisible
from stableanimator.alignment.settings import MisalignmentSettings, ProceduralSettings
from stableanimator.alignment.similarity import Similarity
from stableanimator.alignment.training_data.draws import RowDraws
from stableanimator.alignment.training_data.misalignment import misalign_as_one, misalignment_from
from stableanimator.alignment.training_data.procedural import procedural_pairs

FramingName = Literal["whole body", "half body"]

_ANKLES = [10, 13]
_STREAM = 3  # of RowDraws: no training sees these draws
_TRIES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Drive:
    """One reference, one driving clip, and what its poses should be."""

    clip: str
    """Name of the clip."""
    person: str
    """Who it shows, as far as known: intervals are over people."""
    framing: FramingName
    """Half bodies include close-ups."""
    moving: bool
    """Whether the camera moves, as far as known."""
    reference: Tensor
    """[18, 3] in image heights."""
    truth: Tensor
    """[F, 18, 3] in image heights."""
    driven: Tensor
    """[F, 18, 3]: the truth, misaligned by one transform."""


def framing_of(poses: NDArray[np.float32]) -> FramingName:
    """`whole body` where half of the frames [F, 18, 3] that show anybody show an ankle."""
    seen = poses[..., 2] > 0
    anyone = seen.any(-1)
    return "whole body" if anyone.any() and seen[anyone][:, _ANKLES].any(-1).mean() >= 0.5 else "half body"


def make_drive(
    clip: str, person: str, moving: bool, reference: NDArray[np.float32], truth: NDArray[np.float32], moved: Similarity
) -> Drive:
    """A drive from poses without invisible joints; `moved` misaligns the clip about the centroid of all its joints."""
    true = torch.from_numpy(np.array(truth, np.float32))
    return Drive(
        clip=clip,
        person=person,
        framing=framing_of(truth),
        moving=moving,
        reference=torch.from_numpy(np.array(reference, np.float32)),
        truth=true,
        driven=misalign_as_one(true, moved),
    )


def drives_of_clip(
    clip: str,
    poses: NDArray[np.float32],
    misalignment: MisalignmentSettings,
    *,
    count: int,
    frames: int,
    seed: int,
    minimum_joints: int,
    person: str | None = None,
    moving: bool = False,
) -> list[Drive]:
    """Random drives of a clip [N, 18, 3]: each has one frame for its reference and others, evenly spread, to drive.

    Frames that share fewer than `minimum_joints` joints with the reference are left out; a clip of which two frames
    rarely share so many gives fewer drives, or none.
    """
    poses = hide_invisible(np.asarray(poses, np.float32))
    if not len(poses):
        return []
    seen = poses[..., 2] > 0
    rows = np.arange(count * _TRIES) + (zlib.crc32(clip.encode()) << 24)  # of this clip, whatever others there are
    draws = RowDraws(seed, _STREAM, rows)
    choice, moves = draws.uniform(1)[:, 0], misalignment_from(misalignment, torch.from_numpy(draws.uniform(4)).float())
    drives: list[Drive] = []
    for row, start in enumerate((choice * len(poses)).astype(int)):
        common = (seen & seen[start]).sum(-1) >= minimum_joints
        common[start] = False
        usable = np.flatnonzero(common)
        if len(usable):
            chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(frames, len(usable))).round().astype(int))]
            moved = Similarity(*(part[row] for part in moves))
            drives.append(make_drive(clip, person or clip, moving, poses[start], poses[chosen], moved))
        if len(drives) == count:
            break
    return drives


def procedural_drives(
    settings: ProceduralSettings, misalignment: MisalignmentSettings, count: int, seed: int, minimum_joints: int
) -> list[Drive]:
    """Drives of one frame each of procedural people, where there is no clip to measure on."""
    rows = np.arange(count)
    references, truths = procedural_pairs(settings, seed, rows, minimum_joints, _STREAM)
    moves = misalignment_from(misalignment, torch.from_numpy(RowDraws(seed, _STREAM, rows).uniform(4)).float())
    return [
        make_drive(f"procedural {row}", f"procedural {row}", False, references[row], truths[row : row + 1],
                   Similarity(*(part[row] for part in moves)))
        for row in rows
    ]  # fmt: skip
