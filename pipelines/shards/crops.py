"""Which part of a clip's picture becomes the model's: one fixed cut for the whole clip, by name.

    centre      covers the bucket, cut around the centre of the picture
    person      the same scale; the cut is slid along its free axis to the main person
    half_body   a closer cut of the main person, from above the head to below the hips

The main person of a frame is the first in the detector's order, as for the references of a shard row. Boxes are of the
whole clip: of the borders in its frames the 5th and the 95th percentile, so that a joint that was found in the wrong
place now and then decides nothing.

    F frames
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from pipelines.shards.settings import Crop
from stableanimator.errors import PersonError, RowError
from stableanimator.media.framing import Box, Framing, Size, similar_sizes
from stableanimator.perception.person_boxes import in_picture, person_box, typical_box, visible

Array = npt.NDArray[np.floating]

_EYES, _SHOULDERS, _HIPS = slice(1, 3), slice(5, 7), slice(11, 13)
_CHIN = 31  # the ninth of the 68 points of the face
_NEEDED = slice(0, 32)  # of the 133
_HEAD_AND_TRUNK = [*range(7), 11, 12]

HEAD_OVER_TORSO = 0.63
"""Top of the head above the shoulders, over shoulders to hips: 0.182 and 0.288 of a person's height (Winter,
Biomechanics and Motor Control of Human Movement, figure 4.1)."""
MARGIN = 0.2
"""Around a half body, in lengths of shoulders to hips."""
LEAST_CLOSER = 1.25
"""A half-body cut that enlarges the person less than this over the whole picture's cut shows nothing new."""
LEAST_APART = 1 / 16
"""Cuts of one scale that lie less than this share of their sides apart show the same."""


def crop_framing(
    crop: Crop, source: Size, main: Sequence[Array], sizes: Sequence[Size], max_enlargement: float
) -> Framing:
    """The cut of a clip, of the first size that needs no larger pixels than allowed; sizes are tried from the nearest
    aspect ratio on, as far as they keep half of the picture.

    Args:
        main: [133, 3] of the main person in each measured frame that shows one, pixels of the source. What lies outside
            the picture moves no cut.
        max_enlargement: pixels of the cut for one of the source, along one side.

    Raises:
        RowError: `too_small`, every size needs larger pixels.
        PersonError: `no_person`, `no_half_body` (hips or shoulders are not seen), `not_closer`.
    """
    frame = _framer(crop, source, main)
    framings = []
    for size in similar_sizes(*source, sizes):
        framing = frame(size)
        if framing.enlargement <= max_enlargement:
            return framing
        framings.append(framing)
    least = min(framings, key=lambda framing: framing.enlargement)
    raise RowError(
        "too_small",
        f"{source[1]}x{source[0]} pixels (width x height) would be enlarged {least.enlargement:.2f} times for "
        f"{least.size[1]}x{least.size[0]}, more than max_enlargement {max_enlargement:g}",
    )


def _framer(crop: Crop, source: Size, main: Sequence[Array]) -> Callable[[Size], Framing]:
    if crop == "centre":
        return partial(Framing.cover, source)
    if not len(main):
        raise PersonError("no_person", "no frame shows a person")
    poses = in_picture(np.stack([pose[_NEEDED] for pose in main]), source)
    if crop == "person":
        return partial(Framing.keeping, source, boxes=[person_box(poses)])
    return partial(_closer, source, box=_inside(half_body_box(poses), source))


def _closer(source: Size, size: Size, box: Box) -> Framing:
    framing, whole = Framing.around(source, size, box), Framing.cover(source, size)
    if framing.scaled[0] < LEAST_CLOSER * whole.scaled[0]:
        times = framing.scaled[0] / whole.scaled[0]
        raise PersonError("not_closer", f"head and torso of the whole clip leave room for {times:.2f} times, no more")
    return framing


def half_body_box(main: Array) -> Box:
    """From above the head to below the hips, arms left out, with a margin, of poses [F, 133, 3], first 32 points read.

    The head ends `HEAD_OVER_TORSO` above the shoulders, or as far above the eyes as the chin is below them, whichever
    is higher.

    Raises:
        PersonError: `no_half_body`, both shoulders and both hips below them are seen in less than half of the frames.
    """
    seen = visible(main)
    points = np.where(seen[..., None], main[..., :2], np.nan)
    torso = points[:, _HIPS, 1].mean(1) - points[:, _SHOULDERS, 1].mean(1)  # NaN where one of the four is not seen
    upright = torso > 0
    if not upright.any() or upright.mean() < 0.5:
        raise PersonError(
            "no_half_body", f"{upright.sum()} of {len(main)} frames show both shoulders and both hips below them"
        )
    points, torso = points[upright], torso[upright]
    trunk = points[:, _HEAD_AND_TRUNK]
    low, high = np.nanmin(trunk, 1), np.nanmax(trunk, 1)
    shoulders, eyes = (points[:, pair, 1].mean(1) for pair in (_SHOULDERS, _EYES))
    crown = np.fmin(shoulders - HEAD_OVER_TORSO * torso, 2 * eyes - points[:, _CHIN, 1])
    low[:, 1] = np.minimum(low[:, 1], crown)
    high[:, 1] = points[:, _HIPS, 1].max(1)
    margin = MARGIN * torso[:, None]
    return typical_box(low - margin, high + margin)


def same_cut(one: Framing, other: Framing) -> bool:
    """Whether two cuts of one picture show nearly the same."""
    if (one.size, one.scaled) != (other.size, other.scaled):
        return False
    height, width = one.size
    return abs(one.top - other.top) < LEAST_APART * height and abs(one.left - other.left) < LEAST_APART * width


def _inside(box: Box, source: Size) -> Box:
    """What of a box lies in the picture, at least a pixel wide and high."""
    height, width = source
    x0, y0 = min(max(box[0], 0.0), width - 1.0), min(max(box[1], 0.0), height - 1.0)
    return x0, y0, max(min(box[2], width), x0 + 1), max(min(box[3], height), y0 + 1)
