"""Hair: a cap over the head with a hairline, and what hangs or stands beside it.

F frames   K points of an outline
"""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.geometry import Array, capsule, circle, ribbon
from stableanimator.synthetic.figure.head import Head
from stableanimator.synthetic.figure.identity import Traits
from stableanimator.synthetic.figure.patches import Patch

_AROUND = 72
_ANGLES = np.linspace(-180, 180, _AROUND, endpoint=False)  # degrees; 0 is the middle of the forehead, 90 the left ear

# Height of the hair's edge at 0 (hairline), 35, 60, 80, 100, 130 and 180 degrees; None: the hairline's own height.
_EDGES: dict[str, tuple[float, ...]] = {
    "short": (0.0, 0.02, 0.14, 0.62, 0.52, 1.08, 1.16),
    "fringe": (0.30, 0.30, 0.34, 0.72, 0.62, 1.08, 1.18),
    "long": (-0.02, 0.10, 0.34, 0.78, 1.0, 1.1, 1.1),
    "side": (0.02, 0.06, 0.20, 0.62, 0.55, 1.08, 1.16),
    "curls": (0.06, 0.10, 0.22, 0.62, 0.72, 1.0, 1.05),
    "bun": (-0.02, 0.0, 0.12, 0.42, 0.5, 1.0, 1.1),
    "cropped": (0.03, 0.0, 0.20, 0.60, 0.5, 1.0, 1.1),
    "ponytail": (-0.02, 0.02, 0.14, 0.50, 0.5, 1.0, 1.1),
    "bob": (0.22, 0.24, 0.40, 0.82, 1.1, 1.2, 1.2),
}
_VOLUME = {"cropped": 0.35, "curls": 1.9, "bun": 0.7, "ponytail": 0.7, "bob": 1.25, "long": 1.1}


class HairPainter:
    """Makes the patches of the hair of one head."""

    def __init__(self, head: Head, traits: Traits) -> None:
        self.head, self.traits = head, traits
        self.style = traits.hair_style
        self.grow = traits.hair_volume * _VOLUME.get(self.style, 1.0)
        self.outline = palette.outline_of(traits.hair)
        self.dark = palette.mix(traits.hair, palette.INK, 0.3)
        self.shine = palette.mix(traits.hair, (255, 244, 224), 0.28)

    def edge(self) -> Array:
        """[72] height of the hairline around the head, from -180 degrees on."""
        line = self.traits.hairline
        heights = np.array(_EDGES[self.style]) + line
        edge = np.interp(np.abs(_ANGLES), (0, 35, 60, 80, 100, 130, 180), heights)
        if self.style == "side":  # parted on the person's left
            edge = edge + 0.24 * np.exp(-(((_ANGLES + 22) / 24) ** 2)) - 0.04 * np.exp(-(((_ANGLES - 34) / 14) ** 2))
        if self.style in ("fringe", "bob"):
            edge = edge + 0.035 * np.sign(np.sin(np.radians(_ANGLES * 9))) * (np.abs(_ANGLES) < 62)
        if self.style == "short":
            edge = edge + 0.05 * np.abs(((_ANGLES / 12) % 2) - 1) * (np.abs(_ANGLES) < 60)
        return np.asarray(edge)

    def behind(self) -> list[Patch]:
        """Hair that hangs down the back: behind the person seen from the front, before a person seen from behind."""
        if self.style not in ("long", "bob"):
            return []
        low, flare = (2.05, 1.12) if self.style == "long" else (1.02, 1.16)
        down = np.linspace(-0.5, low, 7)
        angle = np.radians(np.linspace(68, 292, 13))
        angles, heights = (grid.ravel() for grid in np.meshgrid(angle, down))
        swell = 1 + self.grow + (flare - 1) * np.clip(heights / 1.0, 0, 1)
        fall = np.clip(heights, None, 0.05)
        width = self.head.shape.width(fall) * swell
        centre, depth = self.head.shape.depth(fall)
        back = centre + depth * np.cos(angles) * swell
        local = np.stack([width * np.sin(angles), heights, np.maximum(back, -0.95) * 0.96], -1)
        hang = self._hang(local)
        flat, away = self.head.skeleton.view.project(hang), self.head.toward[:, 2] < -0.1
        ends = flat.reshape(len(flat), 7, 13, 2)
        width = self.head.lengths(0.018)[:, None] * np.array([0.3, 0.8, 1, 1, 1, 0.8, 0.3])
        lines = [
            Patch(ribbon(ends[:, :, strand], width), self.dark, show=away, opacity=0.5) for strand in (4, 5, 6, 7, 8)
        ]
        return [
            Patch(flat, self.dark, "hair", self.outline, hull=True, show=~away),
            Patch(flat, self.traits.hair, "hair", self.outline, hull=True, show=away),
            *lines,
        ]

    def _hang(self, local: Array) -> Array:
        """[F, K, 3] points that follow the head at the top and hang straight down from it below."""
        solid = self.head.solid(local)
        chest = self.head.skeleton.frames["heading"]
        centre = self.head.skeleton.joints["head"][:, None]
        loose = local[None] @ chest.transpose(0, 2, 1) * self.head.size + centre
        share = np.clip((local[:, 1] - 0.2) / 1.2, 0, 0.8)[None, :, None]
        return np.asarray(solid * (1 - share) + loose * share)

    def before(self) -> list[Patch]:
        """Bun or ponytail, drawn with the hair behind."""
        head, traits = self.head, self.traits
        if self.style == "bun":
            knot = head.place(np.array([[0.0, -1.12, -0.42]]))[:, 0]
            return [Patch(circle(knot, head.lengths(0.36), 20), traits.hair, "hair", self.outline)]
        if self.style == "ponytail":
            tail = np.array([[0.0, -0.62, -0.98], [0.0, -0.55, -1.35], [0.0, 0.1, -1.5], [0.0, 0.9, -1.32]])
            line = head.skeleton.view.project(self._hang(tail))
            radii = [head.lengths(size) for size in (0.16, 0.26, 0.24, 0.05)]
            return [
                Patch(capsule(line[:, i], line[:, i + 1], radii[i], radii[i + 1]), traits.hair, "hair", self.outline)
                for i in range(3)
            ]
        return []

    def over(self) -> list[Patch]:
        """The cap that lies over the head."""
        if self.style == "bald":
            return []
        head, traits = self.head, self.traits
        edge = self.edge()
        if self.style == "curls":
            return self._curls(edge)
        cap = Patch(head.place(head.cap(edge, self.grow)), traits.hair, "hair", self.outline)
        crown = head.cloud(self.grow, high=traits.hairline - 0.12)  # what tilts into view above the edge of the cap
        patches = [Patch(crown, traits.hair, "hair", self.outline, hull=True), cap]
        if self.style != "cropped":
            patches += self._strands(edge)
        shine = np.array([-0.74, -0.66])
        middle = head.nearest_angle(shine)
        sweep = np.radians(np.linspace(-52, 40, 9))[None]
        line = head.shape.surface(middle[:, :1] + sweep, np.broadcast_to(shine[:1], (len(middle), 9)), self.grow)
        width = head.lengths(0.05)[:, None] * np.sin(np.linspace(0.05, np.pi - 0.05, 9))[None]
        level = head.toward[:, 1] < 0.12
        patches.append(Patch(ribbon(head.place(line), width), self.shine, show=level, opacity=0.8))
        return patches

    def _strands(self, edge: Array) -> list[Patch]:
        """A few darker lines from the crown to the edge of the hair."""
        head, patches = self.head, []
        width = head.lengths(0.016)[:, None] * np.array([0.2, 0.7, 1.0, 0.9, 0.5])[None]
        for degrees in (-150, -110, -70, -40, -14, 16, 44, 75, 112, 152):
            angle = np.radians(degrees)
            end = float(np.interp(degrees, _ANGLES, edge))
            heights = np.linspace(end - 0.06, -0.45 + 0.3 * min(end + 0.4, 0), 5)
            bend = angle + np.linspace(0.0, 0.16, 5) * np.sign(angle)
            show = head.facing(np.array([angle]), np.array([end]))[:, 0] > 0.2
            line = head.place(head.shape.surface(bend, heights, self.grow + 0.004))
            patches.append(Patch(ribbon(line, width), self.dark, show=show, opacity=0.6))
        return patches

    def _curls(self, edge: Array) -> list[Patch]:
        """Balls of hair around the cap."""
        head, traits = self.head, self.traits
        patches = [Patch(head.place(head.cap(edge, self.grow * 0.8)), traits.hair, "hair", self.outline)]
        rows = ((-0.98, 5, 0.30), (-0.72, 9, 0.27), (-0.32, 11, 0.25), (0.08, 12, 0.22), (0.42, 12, 0.19))
        for row, (height, count, size) in enumerate(rows):
            for number in range(count):
                degrees = 360 * (number + 0.5 * (row % 2)) / count - 180
                if height > np.interp(degrees, _ANGLES, edge) - 0.1:
                    continue
                angle = np.array([np.radians(degrees)])
                facing = head.facing(angle, np.array([height]))[:, 0]
                place = head.place(head.shape.surface(angle, np.array([height]), self.grow * 0.9))[:, 0]
                patches.append(
                    Patch(circle(place, head.lengths(size), 14), traits.hair, "hair", self.outline, show=facing > -0.35)
                )
                lit = circle(place - head.lengths(size * 0.25)[:, None], head.lengths(size * 0.35), 8)
                patches.append(Patch(lit, self.shine, show=facing > 0.15, opacity=0.35))
        return patches
