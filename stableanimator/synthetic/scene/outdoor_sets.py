"""Sets in the open: a park, a street, a beach, a painted wall."""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.figure.palette import Colour, hexes, mix, tone
from stableanimator.synthetic.scene.painter import FLOOR, WIDE, Painter


def _sky(p: Painter, g: np.random.Generator, low: float) -> None:
    upper, lower = (hexes("5FA8D3 CFEAF5"), hexes("7F8FD9 F7C9C0"), hexes("4F86C6 F6E7C8"), hexes("6CB4C9 E9F5DB"))[
        g.integers(4)
    ]
    p.gradient(-4, low, upper, lower)
    for _ in range(9):
        x, y, size = g.uniform(-4, 4), g.uniform(-1.9, -1.0), g.uniform(0.12, 0.3)
        for _ in range(5):
            p.oval(
                x + g.uniform(-1, 1) * size,
                y + g.uniform(-0.2, 0.2) * size,
                size * g.uniform(0.4, 0.8),
                size * g.uniform(0.2, 0.35),
                (255, 255, 255),
                0.55,
            )


def _tree(p: Painter, g: np.random.Generator, x: float, y: float, size: float, green: Colour) -> None:
    p.poly(
        [
            (x - 0.05 * size, y),
            (x - 0.03 * size, y - 0.6 * size),
            (x + 0.03 * size, y - 0.6 * size),
            (x + 0.05 * size, y),
        ],
        tone("6B4A3A"),
    )
    for shade in (-0.3, 0.0, 0.22):
        colour = mix(green, (20, 30, 50) if shade < 0 else (255, 250, 190), abs(shade))
        for _ in range(7):
            angle, reach = g.uniform(0, 2 * np.pi), g.uniform(0, 0.26) * size
            p.oval(
                x + np.cos(angle) * reach - 0.1 * shade * size,
                y - (0.82 + 0.12 * shade) * size + np.sin(angle) * reach,
                g.uniform(0.12, 0.2) * size,
                g.uniform(0.1, 0.17) * size,
                colour,
                0.95,
                18,
            )


def park(p: Painter, g: np.random.Generator) -> None:
    """Hills, trees and a path."""
    _sky(p, g, -0.4)
    for base, height, colour in ((-0.5, 0.28, "A9C9B0"), (-0.38, 0.2, "86B08E"), (-0.28, 0.12, "6C9E77")):
        across = np.linspace(-WIDE, WIDE, 90)
        hills = base - height * (0.5 + 0.5 * np.sin(across * g.uniform(0.7, 1.6) + g.uniform(0, 6)))
        p.poly(np.concatenate([np.stack([across, hills], -1), [[WIDE, 0.5], [-WIDE, 0.5]]]), tone(colour))
    for x in np.arange(-4, 4, 0.42):
        if g.random() < 0.75:
            _tree(
                p,
                g,
                x + g.uniform(-0.15, 0.15),
                -0.2 + g.uniform(-0.06, 0.03),
                g.uniform(0.5, 1.15),
                hexes("4F8A5B 6BA05A 3E7A63 8AA84F D08A4E")[g.integers(5)],
            )
    p.gradient(FLOOR, 3, tone("7DB46C"), tone("5C9A5A"))
    p.poly(
        [(-WIDE, 0.02), (-1.2, -0.05), (1.2, -0.04), (WIDE, 0.03), (WIDE, 0.2), (1, 0.14), (-1, 0.13), (-WIDE, 0.22)],
        tone("E3CFA4"),
    )
    for _ in range(420):
        x, y = g.uniform(-4, 4), FLOOR + g.uniform(0, 1) ** 1.5 * 0.9
        size = 0.012 + 0.03 * (y - FLOOR)
        if -0.06 < y < 0.2:
            p.oval(x, y, size * 0.5, size * 0.25, (150, 130, 100), 0.4, 8)
        elif g.random() < 0.25:
            p.oval(x, y, size * 0.5, size * 0.5, hexes("FFE066 FF8FA3 FFFFFF C77DFF")[g.integers(4)], 1, 8)
        else:
            p.poly(
                [(x - size * 0.4, y), (x, y - 1.6 * size), (x + size * 0.4, y)], hexes("3F7F4C 9BCB72")[g.integers(2)]
            )
    p.texture(0.016, 0.02)


def street(p: Painter, g: np.random.Generator) -> None:
    """Houses with shops and a pavement."""
    _sky(p, g, -0.3)
    for x in np.arange(-5, 5, 0.3):
        top = -0.9 - g.uniform(0, 0.8)
        p.rect(x, top, x + 0.32, FLOOR, mix(hexes("8FA3B8 A7B5C4")[g.integers(2)], (255, 255, 255), g.uniform(0, 0.25)))
    x = -4.6
    while x < 4.6:
        _house(p, g, x, width := g.uniform(0.75, 1.15))
        x += width
    p.gradient(FLOOR, 3, tone("B9B2A7"), tone("A39C94"))
    for y, step in ((FLOOR + 0.01, 0.1), (-0.06, 0.17), (0.09, 0.28), (0.32, 0.5)):
        p.line([(-WIDE, y), (WIDE, y)], 0.008, (120, 112, 108), 0.8)
        for x in np.arange(-WIDE, WIDE, step * 1.6):
            p.line([(x * 1.0, y), (x * (1 + step * 0.4), y + step * 0.9)], 0.007, (120, 112, 108), 0.6)
    for x in (-1.75, 1.9):
        p.rect(x - 0.018, -1.45, x + 0.018, -0.05, tone("3A4048"))
        p.oval(x, -1.48, 0.07, 0.085, tone("FFE9B0"))
        p.rect(x - 0.06, -0.09, x + 0.06, -0.04, tone("2E3339"))
    p.texture(0.018, 0.025)


def _house(p: Painter, g: np.random.Generator, x: float, width: float) -> None:
    wall = hexes("D98A6A E3B778 C9B8A8 A8B5A2 B86F6F D6C5E0 7F9FB0")[g.integers(7)]
    top = -1.55 - g.uniform(0, 0.5)
    p.rect(x, top, x + width, FLOOR, wall)
    p.rect(x + width - 0.06, top, x + width, FLOOR, (40, 30, 50), 0.18)
    p.rect(x - 0.02, top - 0.05, x + width + 0.02, top, mix(wall, (60, 40, 50), 0.35))
    count = 3 if width > 0.95 else 2
    for y in np.arange(top + 0.14, -0.9, 0.36):
        for i in range(count):
            wx = x + width * (i + 0.5) / count - 0.075
            p.rect(wx - 0.015, y - 0.015, wx + 0.165, y + 0.235, mix(wall, (255, 255, 255), 0.5))
            p.rect(wx, y, wx + 0.15, y + 0.22, hexes("44596E 6C8CA3 FFDF9E 384A5C")[g.integers(4)])
            p.line([(wx + 0.075, y), (wx + 0.075, y + 0.22)], 0.012, mix(wall, (255, 255, 255), 0.5))
            p.rect(wx - 0.03, y + 0.235, wx + 0.18, y + 0.26, mix(wall, (50, 30, 40), 0.3))
    sign = hexes("D7263D 1B998B 2E294E F46036 E2C044")[g.integers(5)]
    p.rect(x + 0.08, -0.78, x + width - 0.08, FLOOR, tone("2E3A44"))
    p.rect(x + 0.12, -0.74, x + width * 0.6, -0.27, tone("9CC5D3"))
    p.poly([(x + 0.16, -0.3), (x + 0.34, -0.72), (x + 0.42, -0.72), (x + 0.24, -0.3)], (255, 255, 255), 0.35)
    p.rect(x + width * 0.66, -0.72, x + width - 0.12, FLOOR, mix(sign, (255, 255, 255), 0.2))
    stripes = 7
    for i in range(stripes):
        colour = sign if i % 2 else (252, 246, 236)
        a, b = (x + 0.04 + (width - 0.08) * (i + step) / stripes for step in (0, 1))
        p.poly([(a, -0.86), (b, -0.86), (b + 0.01, -0.72), (a - 0.01, -0.72)], colour)
        p.oval((a + b) / 2, -0.72, (b - a) / 2, 0.025, colour, 1, 14)


def beach(p: Painter, g: np.random.Generator) -> None:
    """Sea, sand and umbrellas."""
    _sky(p, g, -0.55)
    p.gradient(-0.55, FLOOR, tone("2E86AB"), tone("7FD1D6"))
    for _ in range(160):
        x, y = g.uniform(-4.5, 4.5), g.uniform(-0.54, FLOOR)
        p.oval(x, y, g.uniform(0.03, 0.14), 0.006, (240, 252, 252), 0.55, 12)
    p.gradient(FLOOR, 3, tone("EBD3A0"), tone("F4E3BC"))
    shore = [(x, FLOOR + 0.012 * np.sin(x * 5)) for x in np.linspace(-WIDE, WIDE, 120)]
    p.line(shore, 0.03, (250, 252, 250), 0.85)
    for _ in range(500):
        x, y = g.uniform(-4.5, 4.5), FLOOR + 0.04 + g.random() ** 1.4 * 0.9
        size = 0.006 + 0.016 * (y - FLOOR)
        p.oval(
            x, y, size * g.uniform(0.6, 2.2), size * 0.6, hexes("C9A974 FFF4DC B08A5A E8A598")[g.integers(4)], 0.7, 8
        )
    for x in (-2.2, -0.74, 0.8, 2.3):
        x += g.uniform(-0.15, 0.15)
        colour = hexes("EE6352 3FA7D6 FAC05E 59CD90")[g.integers(4)]
        p.line([(x, -0.02), (x + 0.05, -0.9)], 0.022, (240, 236, 226))
        for k in range(6):
            a, b = (np.pi + np.pi * (k + step) / 6 for step in (0, 1))
            wedge = [
                (x + 0.05, -0.66),
                *((x + 0.05 + 0.42 * np.cos(t), -0.66 + 0.26 * np.sin(t)) for t in np.linspace(a, b, 6)),
            ]
            p.poly(wedge, colour if k % 2 else (252, 248, 240))
    p.texture(0.012, 0.022)


def brick(p: Painter, g: np.random.Generator) -> None:
    """A painted brick wall."""
    brick = hexes("A65A45 8C5A4E B98268 77828C")[g.integers(4)]
    p.gradient(-4, FLOOR, mix(brick, (235, 220, 205), 0.45), mix(brick, (225, 210, 200), 0.4))
    for row, y in enumerate(np.arange(-2.4, FLOOR, 0.075)):
        for x in np.arange(-WIDE, WIDE, 0.19) + 0.095 * (row % 2):
            shade = mix(brick, (255, 225, 200) if g.random() < 0.5 else (50, 20, 30), g.uniform(0, 0.25))
            p.rect(x, y, x + 0.178, min(y + 0.064, FLOOR), shade)
    paints = hexes("F72585 4CC9F0 F9C80E 43E97B 7209B7 FFFFFF")
    for x in np.arange(-3.6, 3.7, 1.3):
        colour, other = paints[g.integers(6)], paints[g.integers(6)]
        for _ in range(5):
            p.oval(
                x + g.uniform(-0.4, 0.4),
                -0.9 + g.uniform(-0.3, 0.3),
                g.uniform(0.1, 0.28),
                g.uniform(0.1, 0.22),
                colour,
                0.9,
            )
        wave = np.linspace(-0.5, 0.5, 14)
        for shift in (0.0, 0.1):
            p.line([(x + w, -0.85 + shift + 0.16 * np.sin(9 * w + x)) for w in wave], 0.05, other, 0.85)
    p.gradient(FLOOR, 3, tone("8D8F94"), tone("A3A5A8"))
    for x in np.arange(-WIDE, WIDE, 0.55):
        p.line([(x, FLOOR), (x * 1.9, 1.2)], 0.008, (100, 100, 106), 0.8)
    p.line([(-WIDE, 0.05), (WIDE, 0.05)], 0.01, (100, 100, 106), 0.8)
    p.texture(0.015, 0.035)
