"""The 68 points of a face in iBUG's order, as places on a head, moved by an expression.

F frames
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure.geometry import Array, Flags
from stableanimator.synthetic.figure.head import Head
from stableanimator.synthetic.figure.identity import Traits


@dataclass(frozen=True, slots=True)
class Expression:
    """What a face does, frame by frame [F]."""

    smile: Array
    """-1 sad to 1 happy."""
    mouth: Array
    """0 closed to 1 wide open."""
    eyes: Array
    """0 closed to 1 open."""
    brows: Array
    """-1 drawn down to 1 raised."""
    gaze: Array
    """[F, 2] -1 to 1, to the picture's right and down."""


@dataclass(frozen=True, slots=True)
class Place:
    """Points [F, K, 3] in the head's frame and how they face the camera [F, K] (Head.facing)."""

    local: Array
    facing: Array


class Features:
    """Where a face's features are. Curves are given as from the front: x to the person's left, y down."""

    def __init__(self, head: Head, traits: Traits, expression: Expression) -> None:
        self.head, self.traits, self.expression = head, traits, expression

    def at(self, x: Array, y: Array, lift: Array | float = 0.0) -> Place:
        """Points at (x, y) from the front, [K] or [F, K], `lift` before the surface."""
        frames = len(self.head.toward)
        x, y = (np.broadcast_to(values, (frames, np.shape(values)[-1])) for values in (x, y))
        angle = self.head.shape.angle(x, y)
        local = self.head.shape.surface(angle, y)
        local[..., 2] += lift
        return Place(local, self.head.facing(angle, y))

    def lids(self, x: Array) -> tuple[Array, Array]:
        """Heights [F, K] of the upper and lower lid at `x` [K], -1 at the inner to 1 at the outer corner."""
        traits, look = self.traits, self.expression
        corner = traits.eye_y - traits.eye_slant * x
        opened = look.eyes[:, None] * (1 + 0.12 * look.brows[:, None])
        smile = np.maximum(look.smile, 0)[:, None]
        bow = np.maximum(1 - np.abs(x) ** 2.2, 0) ** 0.75
        closed = 0.42 * traits.eye_open * bow
        upper = corner + closed - (closed + traits.eye_open * bow) * np.clip(opened, 0, 1.1)
        lower = corner + closed + (0.5 - 0.28 * smile) * traits.eye_open * bow * np.clip(opened, 0, 1)
        return upper, np.maximum(lower, upper)

    def eye(self, sign: int, x: Array, upper: bool) -> Place:
        """Points of a lid; `sign` 1 is the person's left eye."""
        height = self.lids(x)[0 if upper else 1]
        return self.at(sign * (self.traits.eye_x + x * self.traits.eye_width), height, -0.01)

    def brow(self, sign: int, x: Array) -> Place:
        """Points of a brow, -1 at its inner to 1 at its outer end."""
        traits, look = self.traits, self.expression
        arch = 0.05 * (1 - (x - 0.15) ** 2)
        y = traits.brow_y - arch - traits.brow_angle * x - 0.06 * look.brows[:, None] + 0.02
        frown = np.maximum(-look.brows, 0)[:, None]
        return self.at(sign * (traits.eye_x + 0.02 + x * traits.brow_length), y + 0.05 * frown * (0.5 - x), 0.02)

    def lip(self, x: Array, which: str) -> Place:
        """Points of "upper", "upper_inner", "lower_inner" or "lower" edge of the lips, -1 to 1 across the mouth."""
        traits, look = self.traits, self.expression
        smile, mouth = look.smile[:, None], look.mouth[:, None]
        bow = 1 - x[None] ** 2
        middle = traits.mouth_y - 0.085 * smile * (x[None] ** 2 - 0.35) - 0.02 * mouth
        gap = 0.21 * mouth
        if which.startswith("upper"):
            y = middle - 0.25 * gap * bow
            if which == "upper":
                cupid = bow**0.7 - 0.16 * np.exp(-((x[None] / 0.16) ** 2))
                y = y - traits.lip * 0.85 * cupid
        else:
            y = middle + 0.75 * gap * bow**0.8
            if which == "lower":
                y = y + traits.lip * 1.05 * bow**0.6
        half = traits.mouth_width * (1 + 0.16 * smile - 0.14 * mouth)
        return self.at(half * x[None], y, 0.05 * bow)

    def nose(self) -> Place:
        """iBUG's 27 to 35: four down the bridge to the tip, five from nostril to nostril."""
        traits = self.traits
        tip = traits.nose_y - 0.05
        across = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
        x = np.concatenate([np.zeros(4), across * traits.nose_width])
        y = np.concatenate(
            [np.linspace(traits.eye_y - 0.02, tip, 4), traits.nose_y + np.array([0.0, 0.035, 0.045, 0.035, 0.0])]
        )
        lift = traits.nose_depth * np.array([0.1, 0.4, 0.72, 1.0, 0.22, 0.5, 0.62, 0.5, 0.22])
        return self.at(x, y, lift)

    def jaw(self) -> Place:
        """iBUG's 0 to 16: along the edge of the face from the right ear over the chin to the left ear."""
        down = np.linspace(0.04, 1.0, 120)
        edge = np.stack([-self.head.shape.width(down), down], -1)
        edge[-1, 0] = 0
        line = np.concatenate([edge, edge[::-1][1:] * (-1, 1)])
        travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=-1))])
        wanted = np.linspace(0, travelled[-1], 17)
        x, y = (np.interp(wanted, travelled, line[:, axis]) for axis in (0, 1))
        angle = self.head.shape.angle(x, y)
        local = self.head.seen(angle, np.asarray(y))
        # those behind the edge are marked on it, as people mark them; far behind it they are not seen
        toward = self.head.toward[:, 2:]
        return Place(local, np.minimum(self.head.facing(angle, y) + 0.5, toward + 0.45))

    def points(self) -> Place:
        """All 68, [F, 68, 3]."""
        five, third = np.linspace(-1, 1, 5), np.array([-0.36, 0.36])
        corner = np.array([1.0])
        parts = [
            self.jaw(),
            *(self.brow(-1, five[::-1]), self.brow(1, five)),
            self.nose(),
            *(self.eye(-1, corner, True), self.eye(-1, third[::-1], True)),
            *(self.eye(-1, -corner, True), self.eye(-1, third, False)),
            *(self.eye(1, -corner, True), self.eye(1, third, True)),
            *(self.eye(1, corner, True), self.eye(1, third[::-1], False)),
            self.lip(np.linspace(-1, 1, 7), "upper"),
            self.lip(np.linspace(1, -1, 7)[1:-1], "lower"),
            self.lip(np.linspace(-1, 1, 5) * 0.84, "upper_inner"),
            self.lip(np.linspace(1, -1, 5)[1:-1] * 0.84, "lower_inner"),
        ]
        return Place(np.concatenate([part.local for part in parts], 1), np.concatenate([p.facing for p in parts], 1))


def five_points(points: Array) -> Array:
    """[F, 5, D] eyes, nose and corners of the mouth in InsightFace's order, from 68 points [F, 68, D]."""
    eyes = [points[:, 36:42].mean(1), points[:, 42:48].mean(1)]
    return np.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], 1)


def seen(place: Place) -> Flags:
    """[F, 68] which of them look at the camera."""
    return np.asarray(place.facing > 0.08)
