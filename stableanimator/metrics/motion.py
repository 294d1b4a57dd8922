"""Whether the result moves as it should, at the moment it should, and whether the alignment asked for the right place.

    velocity   1 - sum |v - w| / sum (|v| + |w|)      over joints and frames, v of the result and w wanted, statures
    delay      by how many seconds the result must be moved for velocities to agree best; positive: it comes late
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
"""Over which a velocity is taken: joints then move by more than a pose network errs, and a gesture takes longer. Of
drawn results that are 0 to 4 frames late at 25 a second, neighbours were in the right order in 94 % of cases over
0.08 s, in 98 % over 0.12 s and in all from 0.16 s on."""
_MOST_SECONDS, _MOST_FRAMES = 0.5, 3
"""How early or late a result is looked for: half a second, or three frames where that is longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Velocity:
    """How far velocities agree."""

    agreement: float | None
    """1 for equal ones; 0 for a result that stands still or moves at right angles or backwards; None where nothing
    moves or no joint is found again."""
    joints: int
    """Velocities that this is over."""
    speed: float | None
    """Of the wanted person's joints, mean, statures a second: below about a tenth what is compared is mostly what the
    pose network errs. None where there is nobody, or a single frame."""
    delay: float | None
    """Seconds by which the result comes late; below 0: early. Unlike the agreement, it depends little on how far joints
    move beside what the pose network errs. None where no shift agrees better than a result that stands still."""


_NOTHING = Velocity(agreement=None, joints=0, speed=None, delay=None)


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
        return _NOTHING
    found = found_again(generated, true)
    v, w = (_velocities(poses, step) / unit for poses in (found, true))
    moving = np.linalg.norm(w, axis=-1)
    there = np.isfinite(moving)
    agreement, joints = _agreement(v, w)
    return Velocity(
        agreement=agreement,
        joints=joints,
        speed=float(moving[there].mean()) * fps / step if there.any() else None,
        delay=_delay(v, w, fps),
    )


def _velocities(poses: Array, step: int) -> Array:
    """[F - step, 18, 2] pixels in `step` frames; NaN where a joint is missing at either end."""
    places = np.where(visible(poses)[..., None], poses[..., :2], np.nan)
    return places[step:] - places[:-step]


def _agreement(v: Array, w: Array) -> tuple[float | None, int]:
    """Of velocities [F, J, 2], and how many there are."""
    counted = np.isfinite(v).all(-1) & np.isfinite(w).all(-1)
    apart = np.linalg.norm(v[counted] - w[counted], axis=-1).sum()
    total = np.linalg.norm(v[counted], axis=-1).sum() + np.linalg.norm(w[counted], axis=-1).sum()
    return (1 - float(apart / total) if total > 0 else None), int(counted.sum())


def _delay(v: Array, w: Array, fps: float) -> float | None:
    """Seconds to the top of the parabola through the best shift's agreement and its neighbours'."""
    most = min(max(round(fps * _MOST_SECONDS), _MOST_FRAMES), len(w) // 2)
    shifts = range(-most, most + 1)
    found = [_agreement(v[max(0, k) :][: len(v) - abs(k)], w[max(0, -k) :][: len(w) - abs(k)])[0] for k in shifts]
    agreements = np.array([0.0 if each is None else each for each in found])
    best = int(np.argmax(agreements))
    if agreements[best] <= 0:
        return None
    top = 0.0
    if 0 < best < len(agreements) - 1:
        before, here, after = agreements[best - 1 : best + 2]
        bend = before - 2 * here + after
        top = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return (shifts[best] + float(top)) / fps


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
