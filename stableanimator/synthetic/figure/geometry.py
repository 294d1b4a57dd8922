"""Rotations, the view of the drawn people, and operations on outlines.

    F frames   N points of an outline

The body's frame: x to the right of the picture when a person faces it, y down, z towards the camera; lengths in body
heights. A set's plane, on which everything is drawn, has the same unit, x right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_EYE_DISTANCE = 6.0
"""Body heights from the camera to a person: arms that reach for it grow by a tenth."""
VIEW_TILT = 6.0
"""Degrees by which the camera looks down, so that floors and hems are seen from above."""


def rotation(axis: str, degrees: Array | float) -> Array:
    """[..., 3, 3] right-handed rotation about "x", "y" or "z" of column vectors."""
    angle = np.radians(np.asarray(degrees, np.float64))
    cosine, sine = np.cos(angle), np.sin(angle)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.zeros((*angle.shape, 3, 3))
    fixed = 3 - first - second
    matrix[..., fixed, fixed] = 1
    matrix[..., first, first] = matrix[..., second, second] = cosine
    matrix[..., first, second], matrix[..., second, first] = -sine, sine
    return matrix


def turned(matrix: Array, vector: tuple[float, float, float] | Array) -> Array:
    """[F, 3] `matrix` [F, 3, 3] applied to one vector [3] or to one for each frame [F, 3]."""
    return np.asarray((matrix @ np.asarray(vector, np.float64)[..., None])[..., 0])


@dataclass(frozen=True, slots=True)
class View:
    """Where a person stands in the plane of the set, frame by frame.

    `ground` [F, 2] is the place of the feet, `scale` [F] the size in the plane of one body height.
    """

    ground: Array
    scale: Array

    def project(self, points: Array) -> Array:
        """[F, ..., 3] body heights, origin between the feet, already tilted -> [F, ..., 2] plane."""
        extra = (1,) * (points.ndim - 2)
        factor = self.factor(points) * self.scale.reshape(-1, *extra)
        return points[..., :2] * factor[..., None] + self.ground.reshape(-1, *extra, 2)

    def factor(self, points: Array) -> Array:
        """[F, ...] how much larger than at the distance of the feet a point appears, without `scale`."""
        return np.asarray(_EYE_DISTANCE / (_EYE_DISTANCE - points[..., 2]))

    def radius(self, points: Array, radius: float | Array) -> Array:
        """[F, ...] plane radii of spheres of `radius` body heights around `points` [F, ..., 3]."""
        return self.factor(points) * radius * self.scale.reshape(-1, *(1,) * (points.ndim - 2))


def capsule(start: Array, end: Array, start_radius: Array, end_radius: Array, arc: int = 7) -> Array:
    """Outline [F, 2 * arc, 2] of a tapered limb between two points [F, 2] with radii [F]."""
    along = end - start
    heading = np.arctan2(along[:, 1], along[:, 0])[:, None]
    half = np.linspace(-np.pi / 2, np.pi / 2, arc)[None]
    far = end[:, None] + end_radius[:, None, None] * _unit(heading + half)
    near = start[:, None] + start_radius[:, None, None] * _unit(heading + np.pi + half)
    return np.concatenate([far, near], 1)


def circle(centre: Array, radius: Array, count: int = 16) -> Array:
    """Outline [F, count, 2] of a disc around `centre` [F, 2]."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)[None]
    return centre[:, None] + radius[:, None, None] * _unit(angles)


def ribbon(line: Array, half_widths: Array) -> Array:
    """Outline [F, 2 N, 2] of a line [F, N, 2] with half widths [N] or [F, N]."""
    normals = _normals(np.gradient(line, axis=1))
    sides = normals * np.broadcast_to(half_widths, line.shape[:2])[..., None]
    return np.concatenate([line + sides, (line - sides)[:, ::-1]], 1)


def smooth(points: Array, count: int) -> Array:
    """[F, count, 2] points along a curve through [F, N, 2] (Catmull-Rom), ends included."""
    padded = np.concatenate([2 * points[:, :1] - points[:, 1:2], points, 2 * points[:, -1:] - points[:, -2:-1]], 1)
    places = np.linspace(0, points.shape[1] - 1, count)
    index = np.minimum(places.astype(int), points.shape[1] - 2)
    t = (places - index)[None, :, None]
    a, b, c, d = (padded[:, index + step] for step in range(4))
    return np.asarray(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))


def offset(outline: Array, distance: Array | float) -> Array:
    """Outline [..., N, 2] moved outwards by `distance` (inwards below 0), whichever way round it goes.

    `distance` is one number or has the leading shape of the outline.
    """
    following, before = np.roll(outline, -1, -2), np.roll(outline, 1, -2)
    first, second = _normals(outline - before), _normals(following - outline)
    normals = first + second
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    return outline + normals * (np.sign(signed_area(outline)) * distance)[..., None, None]


def signed_area(outline: Array) -> Array:
    """[...] area of outlines [..., N, 2]; its sign says which way round they go."""
    following = np.roll(outline, -1, -2)
    crossed = outline[..., 0] * following[..., 1] - outline[..., 1] * following[..., 0]
    return np.asarray(crossed.sum(-1) / 2)


def thickness(outline: Array) -> Array:
    """[...] twice the area over the perimeter: the width of a long strip, the radius of a disc."""
    perimeter = np.linalg.norm(outline - np.roll(outline, 1, -2), axis=-1).sum(-1)
    return np.asarray(np.abs(signed_area(outline)) / np.maximum(perimeter, 1e-9) * 2)


def _normals(directions: Array) -> Array:
    normals = np.stack([directions[..., 1], -directions[..., 0]], -1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-9) * (length > 1e-9))


def _unit(angles: Array) -> Array:
    return np.stack([np.cos(angles), np.sin(angles)], -1)
