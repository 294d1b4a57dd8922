"""Sets: painted places for people to stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure.palette import hexes, tone
from stableanimator.synthetic.scene import indoor_sets, outdoor_sets
from stableanimator.synthetic.scene.painter import Painter


@dataclass(frozen=True, slots=True)
class Set:
    """A place: its name and the seed that decides everything in it."""

    name: str
    seed: int
    life: str = ""
    """How it changes by itself, of `stableanimator.synthetic.scene.living.LIVING`, or `grain`; empty: it does not."""

    @property
    def light(self) -> tuple[float, float]:
        """The direction in the picture from which light comes."""
        side = 1 if np.random.default_rng([self.seed, 8]).random() < 0.5 else -1
        return 0.65 * side, -0.75

    def paint(self, window: tuple[float, float, float, float], density: float, softness: float) -> Painter:
        """Paint a window of the set, its background out of focus by `softness` (body heights)."""
        painter = Painter(window, density, self.seed)
        (SETS | PLAIN_SETS)[self.name](painter, np.random.default_rng([self.seed, 7]))
        painter.soften(softness)
        return painter


def draw_set(generator: np.random.Generator, unlike: str | None = None) -> Set:
    """Some set, of another kind than `unlike`."""
    names = [name for name in SETS if name != unlike]
    return Set(str(generator.choice(names)), int(generator.integers(2**31)))


def plinth(painter: Painter, x: float, height: float) -> None:
    """What a statue stands on."""
    stone = hexes("8E9196 B4B6B9 D2D3D2")
    painter.oval(x, 0.03, 0.34, 0.05, (40, 38, 48), 0.3)
    painter.rect(x - 0.25, -height, x + 0.25, 0.03, stone[1])
    painter.rect(x + 0.12, -height, x + 0.25, 0.03, stone[0], 0.5)
    for y0, y1, reach in ((-height - 0.02, -height + 0.045, 0.285), (-0.03, 0.045, 0.285)):
        painter.rect(x - reach, y0, x + reach, y1, stone[2])
        painter.rect(x - reach, y1 - 0.01, x + reach, y1, stone[0], 0.7)
    painter.rect(x - 0.12, -height + 0.10, x + 0.12, -height + 0.17, tone("8F7040"))


SETS: dict[str, Callable[[Painter, np.random.Generator], None]] = {
    "room": indoor_sets.room,
    "park": outdoor_sets.park,
    "street": outdoor_sets.street,
    "stage": indoor_sets.stage,
    "studio": indoor_sets.studio,
    "beach": outdoor_sets.beach,
    "brick": outdoor_sets.brick,
    "library": indoor_sets.library,
}
"""Every kind of set by name, among which `draw_set` draws."""
PLAIN_SETS: dict[str, Callable[[Painter, np.random.Generator], None]] = {"wall": indoor_sets.wall}
"""Sets with nothing in them that could be followed; asked for by name alone."""
