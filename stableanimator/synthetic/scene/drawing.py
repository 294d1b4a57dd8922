"""Figures onto a canvas: outlines, colours, light, and which surface is where.

F frames   N points of an outline
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure.geometry import Array, offset, thickness
from stableanimator.synthetic.figure.patches import PART, Figure, Group, Patch
from stableanimator.synthetic.scene.canvas import GROUND, Canvas, Points

_SHADED, _LIT = 104, 142  # of the neutral 128
_LIGHT_SHIFT = 0.38  # how far the lit area moves towards the light, in thicknesses of the patch
_LIGHT_INSET = 0.36
_SHADOW = 70


def to_picture(points: Array, camera: Array) -> Array:
    """[F, ..., 2] places of the set's plane in pixels; `camera` is [F, 2, 3]."""
    flat = points.reshape(len(points), -1, 2)
    moved = flat @ camera[:, :, :2].transpose(0, 2, 1) + camera[:, None, :, 2]
    return np.asarray(moved.reshape(points.shape))


@dataclass(slots=True)
class _Ready:
    """A patch with its points on the canvas's grid."""

    patch: Patch
    shape: NDArray[np.int32]
    outline: NDArray[np.int32] | None
    lit: NDArray[np.int32] | None
    """The part that the light falls on: smaller, and moved towards the light."""


class FigureArtist:
    """Draws one person, frame after frame.

    `camera` [F, 2, 3] takes the set's plane to pixels; `person` is its number among the people of the picture;
    `light` is the direction, in the picture, from which light comes; `outline` the width of outlines in pixels.
    """

    def __init__(
        self, canvas: Canvas, figure: Figure, camera: Array, person: int, light: tuple[float, float], outline: float
    ) -> None:
        if 1 + (person + 1) * len(PART) > GROUND:
            raise ValueError(f"a picture holds at most {(GROUND - 1) // len(PART)} people")
        self._canvas, self._person = canvas, person
        self._camera, self._outline = camera, outline
        self._light = np.array(light) / np.hypot(*light)
        depth = np.stack([group.depth for group in figure.groups], -1)
        self._order = np.argsort(depth, axis=-1, kind="stable")
        self._groups = [[self._ready(patch) for patch in group.patches] for group in figure.groups]
        self._outline_only = [group.outline_only for group in figure.groups]
        shadow = to_picture(figure.shadow, camera)
        self._shadow = canvas.grid(shadow), canvas.grid(offset(shadow, thickness(shadow) * 0.9))
        self._extent = _extent(figure.groups, camera) + outline * np.array([-1, -1, 1, 1])

    @property
    def extent(self) -> Array:
        """[F, 4] left, top, right, bottom of everything drawn of the person, pixels, not cut to the picture."""
        return self._extent

    def _ready(self, patch: Patch) -> _Ready:
        points = to_picture(patch.points, self._camera)
        outline = lit = None
        grow = _grown_cloud if patch.hull else offset
        if patch.outline is not None:
            outline = self._canvas.grid(grow(points, self._outline))
        if patch.part != "nothing":
            half = _half_size(points) if patch.hull else thickness(points)
            inner = grow(points, -_LIGHT_INSET * half)
            lit = self._canvas.grid(inner + (_LIGHT_SHIFT * half)[:, None, None] * self._light)
        return _Ready(patch, self._canvas.grid(points), outline, lit)

    def draw_shadow(self, frame: int) -> None:
        """The shadow on the ground, below everybody."""
        self._canvas.cover(self._shadow[1][frame], GROUND)
        self._canvas.shade(self._shadow[0][frame], _SHADOW)

    def draw(self, frame: int) -> None:
        """The person."""
        for number in self._order[frame]:
            shown = [ready for ready in self._groups[number] if ready.patch.show is None or ready.patch.show[frame]]
            for ready in shown:
                if ready.outline is not None and ready.patch.outline is not None:
                    self._canvas.fill(_outline(ready, ready.outline, frame), ready.patch.outline)
            if not self._outline_only[number]:
                for ready in shown:
                    self._draw_patch(ready, frame)

    def _draw_patch(self, ready: _Ready, frame: int) -> None:
        patch, shape = ready.patch, _outline(ready, ready.shape, frame)
        self._canvas.fill(shape, patch.colour, patch.opacity)
        if patch.part == "nothing":
            return
        self._canvas.cover(shape, 1 + self._person * len(PART) + PART[patch.part])
        self._canvas.shade(shape, _SHADED)
        if ready.lit is not None:
            self._canvas.shade(_outline(ready, ready.lit, frame), _LIT)


def _outline(ready: _Ready, points: NDArray[np.int32], frame: int) -> Points:
    if not ready.patch.hull:
        return points[frame]
    return np.asarray(cv2.convexHull(points[frame])[:, 0], np.int32)


def _half_size(cloud: Array) -> Array:
    """[F] half the smaller side of the box around points [F, N, 2]."""
    return np.asarray(np.ptp(cloud, axis=1).min(-1) / 2)


def _grown_cloud(cloud: Array, distance: Array | float) -> Array:
    """Points [F, N, 2] whose hull is larger by `distance` [F] all round, as if it were an ellipse."""
    middle = (cloud.max(1, keepdims=True) + cloud.min(1, keepdims=True)) / 2
    away = (cloud - middle) / np.maximum(np.ptp(cloud, axis=1, keepdims=True) / 2, 1e-9)
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9)
    return cloud + away * np.broadcast_to(distance, len(cloud))[:, None, None]


def part_table(person: int) -> NDArray[np.uint8]:
    """[256] which of `PARTS` of a person a surface number means; 0 for everything else."""
    table = np.zeros(256, np.uint8)
    first = 1 + person * len(PART)
    last = min(first + len(PART), GROUND)
    table[first:last] = np.arange(last - first)
    return table


def _extent(groups: list[Group], camera: Array) -> Array:
    low, high = np.full((len(camera), 2), np.inf), np.full((len(camera), 2), -np.inf)
    for group in groups:
        for patch in group.patches:
            if patch.part == "nothing":
                continue
            points = to_picture(patch.points, camera)
            shown = np.ones(len(camera), bool) if patch.show is None else patch.show
            low = np.where(shown[:, None], np.minimum(low, points.min(1)), low)
            high = np.where(shown[:, None], np.maximum(high, points.max(1)), high)
    return np.concatenate([low, high], -1)
