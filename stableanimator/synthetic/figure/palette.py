"""Colours, RGB 0 to 255: tones of skin and hair, outfits that go together, and how colours mix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Colour = tuple[int, int, int]

INK: Colour = (38, 30, 52)
"""What outlines are mixed with: never quite black."""
WHITE: Colour = (255, 252, 246)


def hexes(text: str) -> tuple[Colour, ...]:
    """Colours from "E4572E 29335C"."""
    return tuple((int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in text.split())


def tone(code: str) -> Colour:
    """The colour of one code."""
    return hexes(code)[0]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` 0 is `first`, 1 is `second`."""
    a, b = np.array(first, float), np.array(second, float)
    red, green, blue = np.clip(np.rint(a + (b - a) * share), 0, 255)
    return int(red), int(green), int(blue)


def along(colours: Sequence[Colour], place: float) -> Colour:
    """The colour at `place`, 0 to 1, of a smooth row of colours."""
    position = float(np.clip(place, 0, 1)) * (len(colours) - 1)
    index = min(int(position), len(colours) - 2)
    return mix(colours[index], colours[index + 1], position - index)


def outline_of(colour: Colour) -> Colour:
    """A dark relative of a colour, for its outline."""
    return mix(mix(colour, (0, 0, 0), 0.25), INK, 0.6)


def stone_of(colour: Colour) -> Colour:
    """What a colour becomes on a statue."""
    light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return along(hexes("7C7F86 A3A6AB C9CBCB E6E5E0"), light / 255)


SKINS = hexes("FFE0C8 F9CFAE EDBB90 DDA376 C4875A A36A42 7E4F34 5F3A2A")
HAIRS = hexes("231E26 3F2B26 6B4129 93502C C9702F C49A55 E8C67C EFE3C4 8F9098 2F7F86 D9789A 71539B")
IRISES = hexes("4A2F22 7A4B23 8C7A3A 4E8A5A 3F7FA8 6C86A8")
LIPS = hexes("C9665F D9505B B23A55 A8475F C77B58")

OUTFITS: tuple[tuple[Colour, ...], ...] = tuple(
    hexes(row)
    for row in (
        "E4572E 29335C F3A712 F5F0E6",
        "F7C548 2B4162 D7263D F4F1DE",
        "3AAFA9 17252A FEFFFF F2B134",
        "EF6F6C 465775 F2E394 FFFFFF",
        "5B8E7D 3A3042 F4E285 BC4B51",
        "8E7DBE 2D2A4A F1E3F3 F7D08A",
        "F4F1DE 3D405B E07A5F 81B29A",
        "2E86AB 1B2A41 F6F5AE A23B72",
        "D81159 34495E FBB13C F8F4E3",
        "1F9D8A F0E6D2 FF9F1C 5B3A29",
        "F28482 84A59D F6BD60 F7EDE2",
        "FFB703 023047 FB8500 E8F1F2",
        "5E548E 9F86C0 E0B1CB 231942",
        "EDEDED 3E5C76 D62828 1D2D44",
        "90BE6D 4D5A4A F9C74F F3EFE0",
        "C8553D 588B8B FFD5C2 2D2D34",
    )
)
"""Top, bottom, accent and shoes."""
