"""How a reference becomes a picture of the model's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stableanimator.driving import BODY
from stableanimator.inference.inputs import Array, Reference
from stableanimator.media.framing import Fit, Framing, Size, native_size, nearest_size
from stableanimator.perception.person_boxes import in_picture, person_box, visible

_HEAD = 0.5
"""How far a head reaches beyond its face's box on each side, as a share of the box."""


def framing_of(reference: Reference, sizes: Sequence[Size], fit: Fit = "cover", multiple: int = 1) -> Framing:
    """How a reference picture becomes one of the size whose shape is nearest.

    `contain` pads it. Else it is cut around all of its people; where these have no room, around the first; whatever
    else is cut away, the first one's head is not, where its face was found.

    Args:
        fit: for `native` the size is that of which least is cut, with as many pixels as the nearest one of `sizes`.
        multiple: of which the sides of a native size are multiples.
    """
    height, width, _ = reference.picture.shape
    size = nearest_size(height, width, sizes)
    if fit == "contain":
        return Framing.contain((height, width), size)
    if fit == "native":
        size = native_size(height, width, size[0] * size[1], multiple)
    people = in_picture(reference.keypoints, (height, width))
    seen = [person_box(pose[None]) for pose in people if visible(pose[BODY]).any()]
    heads = [] if reference.face_box is None else [_head(reference.face_box)]
    corners = np.array([*seen, *heads])
    if not len(corners):
        return Framing.cover((height, width), size)
    all_of_them = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    return Framing.keeping((height, width), size, [all_of_them, *seen[:1], *heads])


def _head(face: Array) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(side) for side in face)
    more_x, more_y = _HEAD * (x1 - x0), _HEAD * (y1 - y0)
    return x0 - more_x, y0 - more_y, x1 + more_x, y1 + more_y
