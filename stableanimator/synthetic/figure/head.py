"""The shape of a head as a stack of ellipses, and points on its surface.

    F frames   K points of a curve on the head

In the head's own frame, in half heights of the head: x to the left ear, y down from the middle between crown (-1) and
chin (1), z out of the face. A place on the surface is (angle, y): the angle about the vertical, 0 in the middle of the
face, 90 degrees at the left ear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from stableanimator.synthetic.figure.body import Skeleton
from stableanimator.synthetic.figure.geometry import Array
from stableanimator.synthetic.figure.identity import Traits

_RINGS = np.concatenate([-np.cos(np.linspace(0, np.pi / 2, 13)), np.linspace(0.08, 0.92, 11), [0.96, 0.985, 1.0]])
_AROUND = np.linspace(0, 2 * np.pi, 24, endpoint=False)


class HeadShape:
    """Width, centre and depth of each horizontal ellipse of a head."""

    def __init__(self, traits: Traits) -> None:
        half, jaw, chin = traits.half_width, traits.jaw, traits.chin_width
        below = np.array(
            [
                [0.0, half],
                [0.28, half * (0.97 + 0.05 * traits.cheeks)],
                [0.52, half * (0.84 + 0.07 * jaw + 0.06 * traits.cheeks)],
                [0.74, half * (0.62 + 0.18 * jaw)],
                [0.89, 0.5 * half * (0.62 + 0.18 * jaw) + 0.5 * chin],
                [0.965, chin * 0.9],
                [1.0, 0.03],
            ]
        )
        above = -np.cos(np.linspace(0, np.pi / 2, 9))[:-1]
        crown = half * (1 - np.abs(above) ** 2.3) ** (1 / 2.3) + 0.01
        self._width = PchipInterpolator(np.concatenate([above, below[:, 0]]), np.concatenate([crown, below[:, 1]]))
        self._front = PchipInterpolator(
            [-1, -0.93, -0.8, -0.5, -0.1, 0.3, 0.6, 0.85, 0.97, 1],
            [-0.04, 0.26, 0.46, 0.70, 0.80, 0.82, 0.80, 0.77, 0.68, 0.56],
        )
        self._back = PchipInterpolator(
            [-1, -0.93, -0.8, -0.4, 0, 0.35, 0.6, 0.8, 1],
            [-0.08, -0.38, -0.58, -0.84, -0.86, -0.66, -0.36, -0.02, 0.38],
        )

    def width(self, y: Array) -> Array:
        """Half the width at the height `y`."""
        return np.asarray(self._width(np.clip(y, -1, 1)))

    def depth(self, y: Array) -> tuple[Array, Array]:
        """Centre and half depth at the height `y`."""
        front, back = self._front(np.clip(y, -1, 1)), self._back(np.clip(y, -1, 1))
        return (front + back) / 2, (front - back) / 2

    def angle(self, x: Array, y: Array) -> Array:
        """The angle of the place seen at (x, y) from the front."""
        return np.arcsin(np.clip(x / self.width(y), -1, 1))

    def surface(self, angle: Array, y: Array, grow: Array | float = 0.0) -> Array:
        """[..., 3] places on the surface; `grow` lifts them off it, in shares of the head's size."""
        centre, depth = self.depth(y)
        swell = 1 + np.asarray(grow)
        x, z = self.width(y) * np.sin(angle) * swell, centre + depth * np.cos(angle) * swell
        return np.stack(np.broadcast_arrays(x, np.where(y < 0, y * swell, y), z), -1)


@dataclass(frozen=True, slots=True)
class Head:
    """A head as the camera sees it in each frame."""

    shape: HeadShape
    skeleton: Skeleton
    size: float
    """Half its height in body heights."""

    @property
    def toward(self) -> Array:
        """[F, 3] the direction to the camera in the head's frame."""
        return self.skeleton.frames["head"][:, 2, :]

    def place(self, local: Array) -> Array:
        """[F, K, 2] points [K, 3] or [F, K, 3] of the head's frame in the plane of the set."""
        return self.skeleton.view.project(self.solid(local))

    def solid(self, local: Array) -> Array:
        """[F, K, 3] the same before projection, in body heights."""
        frames, centre = self.skeleton.frames["head"], self.skeleton.joints["head"]
        return (
            np.asarray(np.broadcast_to(local, (len(centre), *local.shape[-2:])) @ frames.transpose(0, 2, 1))
            * (self.size)
            + (centre[:, None])
        )

    def lengths(self, size: float) -> Array:
        """[F] what a length of the head's frame measures in the plane of the set."""
        return self.skeleton.radius("head", size * self.size)

    def nearest_angle(self, y: Array) -> Array:
        """[F, K] the angle at which the surface at heights [K] or [F, K] looks straight at the camera."""
        toward, (_, depth) = self.toward, self.shape.depth(y)
        return np.asarray(np.arctan2(toward[:, :1] / self.shape.width(y), toward[:, 2:] / np.maximum(depth, 1e-3)))

    def facing(self, angle: Array, y: Array) -> Array:
        """[F, K] 1 where the surface looks at the camera, 0 at the edge of what is seen, below 0 behind it."""
        return np.asarray(np.cos(angle - self.nearest_angle(y)))

    def seen(self, angle: Array, y: Array, grow: Array | float = 0.0) -> Array:
        """[F, K, 3] places on the front half of the surface, those behind its edge moved to it.

        Of a closed curve this gives the outline of what is seen of its inside.
        """
        nearest = self.nearest_angle(y)
        edge = np.clip(angle, nearest - np.pi / 2, nearest + np.pi / 2)  # over the front, never over the back
        return self.shape.surface(edge, np.broadcast_to(y, edge.shape), grow)

    def cloud(self, grow: float = 0.0, low: float = -1.0, high: float = 1.0) -> Array:
        """[F, K, 2] points all over the surface between two heights: their convex hull is its outline."""
        rings = _RINGS[(low <= _RINGS) & (high >= _RINGS)]
        angle, y = np.meshgrid(_AROUND, rings)
        return self.place(self.shape.surface(angle.ravel(), y.ravel(), grow))

    def cap(self, edge: Array, grow: float, count: int = 25) -> Array:
        """[F, K, 3] outline of what is seen of everything above a closed line around the head.

        `edge` [count_around] gives the line's height at evenly spaced angles from -180 degrees on.
        """
        around = np.linspace(-np.pi, np.pi, len(edge), endpoint=False)
        sweep = np.linspace(-np.pi / 2, np.pi / 2, count)[None]
        middle = self.nearest_angle(np.array([-0.3]))
        angle = (middle + sweep + np.pi) % (2 * np.pi) - np.pi
        line = np.interp(angle.ravel(), np.append(around, np.pi), np.append(edge, edge[0])).reshape(angle.shape)
        lower = self.shape.surface(self.nearest_angle(line) + sweep, line, grow)
        rise = np.linspace(0, 1, 9)[None, 1:]

        def side(end: int, quarter: float) -> Array:
            start = line[:, [end]]
            height = start - (1 + start) * np.sin(rise * np.pi / 2)
            return self.shape.surface(self.nearest_angle(height) + quarter, height, grow)

        return np.concatenate([lower, side(-1, np.pi / 2), side(0, -np.pi / 2)[:, ::-1]], 1)

    def angles(self) -> Array:
        """[F, 3] yaw (positive: the face turns to the picture's right), pitch (down) and roll (clockwise), degrees."""
        frames = self.skeleton.frames["head"]
        forward, down = frames[:, :, 2], frames[:, :, 1]
        yaw = np.degrees(np.arctan2(forward[:, 0], forward[:, 2]))
        pitch = np.degrees(np.arcsin(np.clip(forward[:, 1], -1, 1)))
        return np.stack([yaw, pitch, np.degrees(np.arctan2(-down[:, 0], down[:, 1]))], -1)
