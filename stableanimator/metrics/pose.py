"""Whether the result is posed as it should be: joints of wanted poses that are found again in the generated frames.

What is wanted are the people of the true frames, found by the same pose network, or the aligned drive, which the
result was asked to follow. PCK (percentage of correct keypoints; Yang and Ramanan, PAMI 2013) over OpenPose's 18
joints: of the joints that are wanted, the share that the result has within 5 or 10 % of the person's stature. A joint
that is not found in the result is missed. Joints that moved are counted by themselves too, since a result that stands
still has all others. Of several people the one counts who is largest in the first wanted frame with anybody. Whether
joints also move at the right moment is told by `stableanimator.metrics.motion`.

F frames   P people of a frame   J the 18 joints (x, y, score), pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stableanimator.perception.person_boxes import visible
from stableanimator.perception.skeleton import OPENPOSE_JOINTS, to_openpose18

Array = npt.NDArray[np.floating]

PeopleFinder = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""A frame, uint8 RGB [H, W, 3], to its people's keypoints [P, 133, 3], the largest person first."""

NEAR, NEARER = 0.1, 0.05
"""How near is near enough, in statures."""
MOVED = 0.1
"""How far from its place in the first frame a joint must be to be one that moved, in statures."""

LENGTHS: tuple[tuple[float, tuple[tuple[str, ...], ...]], ...] = (
    (
        0.871,
        (("nose", "neck", "hips", "right_knee", "right_ankle"), ("nose", "neck", "hips", "left_knee", "left_ankle")),
    ),
    (0.288, (("neck", "hips"),)),
    (0.259, (("right_shoulder", "left_shoulder"),)),
    (0.037, (("right_eye", "left_eye"),)),
)
"""Lengths along joints, in statures, the best first; of several chains the longer counts. Heights over the ground of
Drillis and Contini (1966; Winter, Biomechanics and Motor Control of Human Movement, figure 4.1): ankles 0.039, knees
0.285, hips 0.530, shoulders 0.818, chin 0.870, eyes 0.936, the nose between these two at 0.91; shoulders 0.259 wide.
The eyes are 63 mm apart in a person of 1.71 m."""
_FORESHORTENED = 90
"""Percentile over frames that stands for a length: turned away from the picture it is only ever shorter, and what is
longer than in nine of ten frames was found in the wrong place."""
_OFTEN = 0.5
"""Share of the person's frames that must show a length, or the next one is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseAgreement:
    """Shares of joints that are found again, 0 to 1; None where there is no joint to find."""

    joints: int
    """Of the wanted person in all frames: what `pck_05` and `pck_10` are shares of."""
    joints_moved: int
    """Those of them that are over `MOVED` from where the first frame that shows the person has them."""
    pck_05: float | None
    """Found within 5 % of the stature."""
    pck_10: float | None
    """Within 10 %."""
    pck_moved_05: float | None
    """The same of `joints_moved`."""
    pck_moved_10: float | None
    joints_found: int
    """Of `joints`, those that the result shows, wherever: what `joint_error` is a mean over."""
    joint_error: float | None
    """Mean distance of these from where they should be, in statures: tells wrongness that every threshold misses."""


_NOTHING = PoseAgreement(
    joints=0,
    joints_moved=0,
    pck_05=None,
    pck_10=None,
    pck_moved_05=None,
    pck_moved_10=None,
    joints_found=0,
    joint_error=None,
)


def pose_agreement(generated: Sequence[Array], wanted: Sequence[Array]) -> PoseAgreement:
    """How much of the wanted motion the result has.

    Args:
        generated: [F] of [P, 133, 3], people of the generated frames. Joints outside the picture count unless they are
            left out (`person_boxes.in_picture`), here and among the wanted ones.
        wanted: [F] of [P, 133, 3], people of the true frames or of the aligned drive, in pixels of the same size, the
            largest first.

    Returns:
        Shares over the visible joints of all frames. Without any frame, without anybody wanted, or where nothing tells
        the person's stature, there are no joints.
    """
    true = main_person(wanted)
    unit = stature(true)
    if unit is None:
        return _NOTHING
    shown = visible(true)
    first = true[shown.any(-1)][0]
    moved = shown & visible(first) & (joint_distances(true, first) > MOVED * unit)
    apart = joint_distances(found_again(generated, true), true) / unit
    return PoseAgreement(
        joints=int(shown.sum()),
        joints_moved=int(moved.sum()),
        pck_05=_share(apart <= NEARER, shown),
        pck_10=_share(apart <= NEAR, shown),
        pck_moved_05=_share(apart <= NEARER, moved),
        pck_moved_10=_share(apart <= NEAR, moved),
        joints_found=int((there := shown & np.isfinite(apart)).sum()),
        joint_error=float(apart[there].mean()) if there.any() else None,
    )


def main_person(frames: Sequence[Array]) -> npt.NDArray[np.float64]:
    """[F, 18, 3] of who comes first in the first frame with people; in each later one, of who is nearest to where they
    were seen last, by the median of the joints that both show. NaN with score 0 in frames without anybody."""
    result = np.full((len(frames), len(OPENPOSE_JOINTS), 3), np.nan)
    result[..., 2] = 0
    last: Array | None = None
    for row, people in zip(result, frames, strict=True):
        if len(people):
            joints = to_openpose18(people)
            last = joints[0 if last is None else int(np.argmin([_apart(each, last) for each in joints]))]
            row[:] = last
    return result


def stature(poses: Array) -> float | None:
    """How tall a person would stand in these frames, pixels, ground to crown, from what is seen of them.

    Measured along the joints from the nose to the ankles, so that who sits or bends is as tall as who stands; where
    fewer than half of the frames show that, by the trunk, by the width of the shoulders, or by the eyes, each with an
    adult's share of the stature (`LENGTHS`). One number for all frames: their 90th percentile.

    Args:
        poses: [F, 18, 3] of one person.

    Returns:
        None where no frame shows any of these lengths.
    """
    people = int(visible(poses).any(-1).sum())
    measured = [(share, lengths_along(poses, chains)) for share, chains in LENGTHS]
    for least in (_OFTEN * people, 1):
        for share, lengths in measured:
            if len(lengths) >= max(least, 1):
                return float(np.percentile(lengths, _FORESHORTENED)) / share
    return None


def lengths_along(poses: Array, chains: Sequence[Sequence[str]]) -> npt.NDArray[np.float64]:
    """[n] lengths above 0 along the longest of the chains, of each of poses [F, 18, 3] that shows one of them."""
    places = np.where(visible(poses)[..., None], poses[..., :2], np.nan).astype(np.float64)
    by_name = {name: places[:, number] for number, name in enumerate(OPENPOSE_JOINTS)}
    by_name["hips"] = (by_name["right_hip"] + by_name["left_hip"]) / 2
    along = [sum(np.linalg.norm(by_name[a] - by_name[b], axis=-1) for a, b in pairwise(chain)) for chain in chains]
    longest = np.fmax.reduce(along)
    return longest[longest > 0]


def joint_distances(poses: Array, others: Array) -> npt.NDArray[np.float64]:
    """[..., J] between joints, pixels; infinite where either does not show one."""
    both = visible(poses) & visible(others)
    apart = np.linalg.norm(poses[..., :2].astype(np.float64) - others[..., :2], axis=-1)
    return np.where(both, apart, np.inf)


def _apart(pose: Array, other: Array) -> float:
    """Median distance of the joints that both show; infinite where there are none."""
    distances = joint_distances(pose, other)
    there = distances[np.isfinite(distances)]
    return float(np.median(there)) if len(there) else np.inf


def found_again(people: Sequence[Array], poses: Array) -> npt.NDArray[np.float64]:
    """[F, 18, 3] of who of the people [F] of [P, 133, 3] is nearest to a pose [F, 18, 3] of the same frame; NaN with
    score 0 in frames without people."""
    found = np.full(poses.shape, np.nan)
    found[..., 2] = 0
    for row, frame, pose in zip(found, people, poses, strict=True):
        if len(frame):
            row[:] = min(to_openpose18(frame), key=lambda each: _apart(each, pose))
    return found


def _share(near: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_]) -> float | None:
    return float(near[of].mean()) if of.any() else None
