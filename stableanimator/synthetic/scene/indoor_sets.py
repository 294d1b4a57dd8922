"""Sets with a roof: a room, a stage, a studio, a library."""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.figure.palette import Colour, hexes, mix, tone
from stableanimator.synthetic.scene.painter import FLOOR, WIDE, Painter


def _wood(p: Painter, g: np.random.Generator, colour: Colour, top: float) -> None:
    """A floor of planks."""
    p.gradient(top, 3.0, mix(colour, (0, 0, 0), 0.22), mix(colour, (255, 240, 220), 0.08))
    y, depth = top, 0.035
    while y < 1.6:
        edge = mix(colour, (40, 20, 20), 0.45)
        for x in np.arange(-WIDE, WIDE, 0.9) + g.uniform(0, 0.9):
            p.rect(
                x,
                y,
                x + 0.9,
                y + depth,
                mix(colour, (255, 250, 240) if g.random() < 0.5 else (30, 15, 20), g.uniform(0, 0.13)),
                0.6,
            )
            p.line([(x, y), (x, y + depth)], 0.006, edge, 0.6)
        p.line([(-WIDE, y), (WIDE, y)], 0.006, edge, 0.65)
        y, depth = y + depth, depth * 1.22
    p.texture(0.012, 0.02, y0=top, stretch=5)


def _frame(p: Painter, g: np.random.Generator, x: float, y: float, w: float, h: float) -> None:
    """A picture on a wall."""
    colours = hexes("F2C14E F78154 4D9078 5FAD56 B4436C 2E4057 F5EBDD 3A86A8")
    p.rect(x + 0.015, y + 0.02, x + w + 0.015, y + h + 0.02, (20, 15, 30), 0.25)
    p.rect(x, y, x + w, y + h, hexes("3B2F2F 5B4636 E9E4D8 26262E")[g.integers(4)])
    x, y, w, h = x + 0.02, y + 0.02, w - 0.04, h - 0.04
    picks = [colours[i] for i in g.permutation(8)]
    p.rect(x, y, x + w, y + h, picks[0])
    if g.random() < 0.5:
        p.oval(x + w * 0.5, y + h * 0.42, min(w, h) * 0.28, min(w, h) * 0.28, picks[1])
        p.poly([(x, y + h), (x + w * 0.45, y + h * 0.45), (x + w * 0.9, y + h)], picks[2])
        p.poly([(x + w * 0.35, y + h), (x + w * 0.75, y + h * 0.6), (x + w, y + h * 0.85), (x + w, y + h)], picks[3])
    else:
        for i in range(3):
            for j in range(3):
                p.rect(x + w * i / 3, y + h * j / 3, x + w * (i + 1) / 3, y + h * (j + 1) / 3, picks[g.integers(8)])
                if g.random() < 0.4:
                    p.oval(x + w * (i + 0.5) / 3, y + h * (j + 0.5) / 3, w / 8, h / 8, picks[g.integers(8)])


def _plant(p: Painter, g: np.random.Generator, x: float, y: float, size: float) -> None:
    """A plant in a pot."""
    greens = hexes("2F6B4F 3F8F5F 58A86B 24523F")
    for _ in range(12):
        angle, reach = g.uniform(-1.25, 1.25), size * g.uniform(0.5, 0.95)
        tip = np.array([np.sin(angle), -np.cos(angle)]) * reach
        side = np.array([-tip[1], tip[0]]) * 0.16
        base = np.array([x, y - 0.26 * size])
        p.poly(np.array([base, base + tip * 0.45 + side, base + tip, base + tip * 0.5 - side]), greens[g.integers(4)])
    pot = hexes("C8664A D9CBB6 4C6A8A E0A458")[g.integers(4)]
    w, h = 0.2 * size, 0.3 * size
    p.poly([(x - w, y - h), (x + w, y - h), (x + 0.7 * w, y), (x - 0.7 * w, y)], pot)
    p.rect(x - w * 1.1, y - h, x + w * 1.1, y - h * 0.78, mix(pot, (255, 255, 255), 0.2))


def _window(p: Painter, x: float, y: float, w: float, h: float) -> None:
    p.rect(x - 0.03, y - 0.03, x + w + 0.03, y + h + 0.03, tone("FBF7EE"))
    p.rect(x, y, x + w, y + h, tone("A9D6E5"))
    p.poly(
        [
            (x, y + h),
            (x, y + h * 0.7),
            (x + w * 0.3, y + h * 0.5),
            (x + w * 0.65, y + h * 0.72),
            (x + w, y + h * 0.6),
            (x + w, y + h),
        ],
        tone("8CBF9F"),
    )
    p.oval(x + w * 0.7, y + h * 0.25, w * 0.16, h * 0.06, (255, 255, 255), 0.8)
    p.oval(x + w * 0.6, y + h * 0.29, w * 0.13, h * 0.05, (255, 255, 255), 0.8)
    for share in (0.0, 0.5, 1.0):
        p.rect(x + w * share - 0.012, y, x + w * share + 0.012, y + h, tone("FBF7EE"))
    p.rect(x, y + h * 0.48, x + w, y + h * 0.48 + 0.024, tone("FBF7EE"))
    p.rect(x - 0.06, y + h + 0.03, x + w + 0.06, y + h + 0.065, tone("E8DFD0"))


def room(p: Painter, g: np.random.Generator) -> None:
    """Wallpaper, pictures, shelves, plants and a rug."""
    wall = hexes("CFE0D8 F0DCC4 D9D2E9 F3D9D0 CBDCE8 E8E3C8 BFD3C1")[g.integers(7)]
    p.gradient(-4, FLOOR, mix(wall, (255, 255, 255), 0.15), mix(wall, (90, 70, 90), 0.1))
    kind, ink = g.integers(3), mix(wall, (110, 80, 90), 0.22)
    for x in np.arange(-WIDE, WIDE, 0.16):
        if kind == 0:
            p.rect(x, -4, x + 0.07, FLOOR, ink, 0.35)
            continue
        for row, y in enumerate(np.arange(-2.4, FLOOR - 0.1, 0.14)):
            dx = 0.08 * (row % 2)
            if kind == 1:
                p.oval(x + dx, y, 0.014, 0.014, ink, 1, 10)
            else:
                p.poly([(x + dx, y - 0.035), (x + dx + 0.025, y), (x + dx, y + 0.035), (x + dx - 0.025, y)], ink)
    _wood(p, g, hexes("B98B5E 9C6B45 C7A27A 8A5A44")[g.integers(4)], FLOOR)
    p.rect(-WIDE, FLOOR - 0.06, WIDE, FLOOR, tone("FAF5EB"))
    p.rect(-WIDE, FLOOR - 0.008, WIDE, FLOOR + 0.006, (60, 40, 40), 0.4)
    for x in np.arange(-3.6, 3.6, 1.25) + g.uniform(-0.15, 0.15, 6):
        thing = g.integers(4)
        if thing == 0:
            _window(p, x - 0.3, -1.28 + g.uniform(-0.1, 0.1), 0.6, 0.75)
        elif thing == 1:
            for dx, dy in ((-0.32, 0.0), (0.08, -0.08), (0.1, 0.3)):
                _frame(p, g, x + dx, -1.1 + dy, g.uniform(0.22, 0.34), g.uniform(0.22, 0.3))
        elif thing == 2:
            _shelf(p, g, x - 0.35, -1.15, 0.7)
            _plant(p, g, x + 0.1, FLOOR + 0.06, 0.62)
        else:
            _frame(p, g, x - 0.25, -1.2, 0.5, 0.42)
            _plant(p, g, x - 0.35, FLOOR + 0.05, 0.5)
    rug = hexes("B4436C 2E6F95 D08C60 5B8E7D")[g.integers(4)]
    for size, colour in ((1.0, rug), (0.9, mix(rug, (255, 255, 255), 0.55)), (0.82, rug)):
        p.oval(0, 0.1, 1.15 * size, 0.17 * size, colour, 0.85)
    p.texture(0.02, 0.012)


def _shelf(p: Painter, g: np.random.Generator, x: float, y: float, w: float) -> None:
    colours = hexes("C8553D 588B8B FFD5C2 2D4A6B F2B134 7A5C8E 9BC1A3 EFE6DD")
    for row in (0.0, 0.3):
        p.rect(x - 0.02, y + row + 0.22, x + w + 0.02, y + row + 0.245, tone("8A5A44"))
        at = x
        while at < x + w - 0.05:
            thick, tall = g.uniform(0.02, 0.05), g.uniform(0.13, 0.2)
            p.rect(at, y + row + 0.22 - tall, at + thick, y + row + 0.22, colours[g.integers(8)])
            p.rect(at, y + row + 0.26 - tall, at + thick, y + row + 0.275 - tall, (255, 250, 235), 0.6)
            at += thick + 0.004 + (0.1 if g.random() < 0.1 else 0)


def stage(p: Painter, g: np.random.Generator) -> None:
    """Curtains, bunting and a wooden floor."""
    red = hexes("A32638 3F3D8A 0F6B6B 7A2E68")[g.integers(4)]
    p.gradient(-4, FLOOR, mix(red, (10, 5, 20), 0.55), mix(red, (10, 5, 20), 0.15))
    x = -WIDE
    while x < WIDE:
        fold = g.uniform(0.10, 0.2)
        for start, end, colour, opacity in (
            (0.0, 0.3, (10, 0, 20), 0.4),
            (0.3, 0.55, (255, 230, 220), 0.13),
            (0.55, 0.8, (255, 230, 220), 0.06),
        ):
            p.rect(x + fold * start, -4, x + fold * end, FLOOR, colour, opacity)
        x += fold
    _wood(p, g, hexes("A5693D 7D5233 B57F50")[g.integers(3)], FLOOR)
    for x in np.arange(-4, 4.1, 0.5):
        sag = np.linspace(0, 1, 9)
        rope = [(x + 0.5 * s, -1.5 + 0.14 * (1 - (2 * s - 1) ** 2)) for s in sag]
        p.line(rope, 0.008, (40, 30, 30))
        for i, (bx, by) in enumerate(rope[:-1]):
            p.poly(
                [(bx, by), (bx + 0.055, by + 0.012), (bx + 0.025, by + 0.09)],
                hexes("F9C74F F94144 43AA8B 577590 F8F4E3")[(i + int(x * 2)) % 5],
            )
    for x in np.arange(-3.6, 3.7, 0.9):
        p.glow(x, -1.3 + g.uniform(-0.2, 0.1), 0.28, hexes("FFD9A0 FFC0CB A0E8FF")[g.integers(3)], 0.4)
    p.glow(0, 0.0, 1.0, tone("FFE8C8"), 0.28)
    p.texture(0.014, 0.02)


def studio(p: Painter, g: np.random.Generator) -> None:
    """Cut-out shapes on a plain backdrop."""
    base = hexes("F4D8C6 CDE7E0 F7E3A1 D7D5F0 C5DCF0 F2C6C6")[g.integers(6)]
    shapes = hexes("EF767A 456990 49BEAA EEB868 7D5BA6 F9F5EC 2B3A55")
    p.gradient(-4, FLOOR, mix(base, (255, 255, 255), 0.25), base)
    p.gradient(FLOOR, 3, mix(base, (120, 90, 100), 0.18), mix(base, (255, 255, 255), 0.1))
    for _ in range(150):
        x, y, size = g.uniform(-4, 4), g.uniform(-2.2, FLOOR - 0.1), g.uniform(0.05, 0.2)
        colour, turn, kind = shapes[g.integers(7)], g.uniform(0, 2 * np.pi), g.integers(5)
        if kind == 0:
            p.oval(x, y, size, size, colour, 0.9)
            p.oval(x, y, size * 0.6, size * 0.6, base, 0.9)
        elif kind == 1:
            p.poly(
                [(x + size * np.cos(turn + k * 2.094), y + size * np.sin(turn + k * 2.094)) for k in range(3)], colour
            )
        elif kind == 2:
            zigzag = [(x + size * 0.7 * k, y + size * 0.5 * (k % 2)) for k in range(5)]
            p.line(zigzag, 0.028, colour)
        elif kind == 3:
            for k in range(9):
                p.oval(x + 0.4 * size * (k % 3), y + 0.4 * size * (k // 3), 0.014, 0.014, colour, 1, 10)
        else:
            p.line([(x, y), (x + 1.4 * size * np.cos(turn), y + 1.4 * size * np.sin(turn))], 0.05, colour)
    for _ in range(160):
        p.oval(g.uniform(-4, 4), FLOOR + 0.02 + g.random() ** 2 * 0.8, 0.012, 0.006, shapes[g.integers(7)], 0.7, 8)
    p.texture(0.012, 0.018)


def library(p: Painter, g: np.random.Generator) -> None:
    """Shelves full of books."""
    wood = hexes("6E4634 8A5A3C 54403A")[g.integers(3)]
    p.gradient(-4, FLOOR, mix(wood, (0, 0, 0), 0.5), mix(wood, (0, 0, 0), 0.35))
    colours = hexes("9E2A2B E09F3E 335C67 FFF3B0 540B0E 6A994E 457B9D B56576 EAE0D5 355070")
    for y in np.arange(-2.3, FLOOR - 0.05, 0.3):
        x = -WIDE
        while x < WIDE:
            thick, tall = g.uniform(0.025, 0.06), g.uniform(0.17, 0.25)
            if g.random() < 0.06:
                x += 0.08
                continue
            colour = mix(colours[g.integers(10)], (30, 15, 20), g.uniform(0, 0.3))
            p.rect(x, y + 0.27 - tall, x + thick, y + 0.27, colour)
            p.rect(x, y + 0.27 - tall * 0.82, x + thick, y + 0.27 - tall * 0.76, tone("F2D492"), 0.65)
            p.rect(x + thick * 0.75, y + 0.27 - tall, x + thick, y + 0.27, (10, 5, 10), 0.25)
            x += thick + 0.003
        p.rect(-WIDE, y + 0.27, WIDE, y + 0.3, mix(wood, (255, 220, 180), 0.15))
    for x in np.arange(-WIDE, WIDE, 1.35) + 0.45:
        p.rect(x, -4, x + 0.06, FLOOR, mix(wood, (255, 220, 180), 0.1))
    _wood(p, g, hexes("8F6242 A97B50")[g.integers(2)], FLOOR)
    for x in (-1.5, 1.3):
        p.glow(x, -1.2, 0.5, tone("FFDFA8"), 0.4)
    p.texture(0.02, 0.012)


def wall(p: Painter, g: np.random.Generator) -> None:
    """Nothing but a wall in one colour, a little darker below."""
    colour = hexes("D8CFC4 BFC7CC CFC3CC C9D1C0 E2E2DE 9AA5A8")[g.integers(6)]
    p.gradient(-4.0, 3.0, mix(colour, (255, 255, 255), 0.12), mix(colour, (0, 0, 0), 0.10))
