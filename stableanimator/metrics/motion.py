"""Whether the result moves as it should, at the moment it should, and whether the alignment asked for the right place.

    velocity   1 - sum |v - w| / sum (|v| + |w|)      over joints and frames, v of the result and w wanted, statures
    dis        mean distance of the aligned drive's joints to the truth's, image heights (Table III of the paper)

Both follow the main person of `stableanimator.metrics.pose`, whose notation this is. F frames
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stableanimator.metrics.pose import Array, found_again, joint_distances, main_person, stature
from stableanimator.perception.person_boxes import visible

_SECONDS = 0.2
"""Over which a velocity is taken: joints then move by more than a pose network errs, and a gesture takes longer. Of drawn
results that are 0 to 4 frames late at 25 a second, neighbours were in the right order in 94 % of cases over 0.08 s, in
98 % over 0.12 s and in all from 0.16 s on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Velocity:
    """How far velocities agree."""

    agreement: float | None
    """1 for equal ones; 0 for a result that stands still or moves at right angles or backwards; None where nothing
    moves or no joint is found again."""
    joints: int
    """Velocities that this is over."""


def velocity_agreement(generated: Sequence[Array], wanted: Sequence[Array], fps: float) -> Velocity:
    """How far the joints that are found again in the result move as the wanted ones do.

    Args:
        generated: [F] of [P, 133, 3], people of the generated frames.
        wanted: [F] of [P, 133, 3], people of the true frames or of the aligned drive, in pixels of the same size.
        fps: frames a second; a velocity is taken over a fifth of a second, or one frame where that is longer.
    """
    true = main_person(wanted)
    unit = stature(true)
    step = max(1, round(fps * _SECONDS))
    if unit is None or len(true) <= step:
        return Velocity(agreement=None, joints=0)
    found = found_again(generated, true)
    both = visible(found) & visible(true)
    counted = both[step:] & both[:-step]
    v, w = (((poses[step:, :, :2] - poses[:-step, :, :2]) / unit)[counted] for poses in (found, true))
    lengths = np.linalg.norm(v, axis=-1) + np.linalg.norm(w, axis=-1)
    apart = np.linalg.norm(v - w, axis=-1)
    total = float(lengths.sum())
    return Velocity(agreement=1 - float(apart.sum()) / total if total > 0 else None, joints=int(counted.sum()))


def dis(drive: Sequence[Array], truth: Sequence[Array], height: float) -> npt.NDArray[np.float64]:
    """Mean distance of the aligned drive's joints to the true ones of each frame, [F]; NaN where they share none.

    Args:
        drive: [F] of [P, 133, 3], the people that the result was asked to show, aligned.
        truth: [F] of [P, 133, 3], the people of the true frames, in pixels of the same size.
        height: of that size: the unit, as in `stableanimator.alignment.scoring`.
    """
    true = main_person(truth)
    apart = joint_distances(found_again(drive, true), true) / height
    there = np.isfinite(apart)
    with np.errstate(invalid="ignore"):
        return np.where(there, apart, 0).sum(-1) / there.sum(-1)
