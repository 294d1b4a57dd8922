"""Who someone is: a vector of genes that fixes the shapes and colours of a head, whatever it does and wears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.figure import palette
from stableanimator.synthetic.figure.palette import Colour

GENES = (
    *("face_width", "jaw", "chin", "cheeks", "eye_spacing", "eye_size", "eye_roundness", "eye_slant"),
    *("eye_height", "iris", "brow_thickness", "brow_height", "brow_angle", "brow_length", "nose_length", "nose_width"),
    *("nose_depth", "mouth_width", "lips", "mouth_height", "lip_colour", "skin", "blush", "hair_colour"),
    *("hair_style", "hairline", "hair_volume", "ears", "adornment", "glasses", "marks", "mark_place"),
)
"""Names of the numbers in an identity, in order; each lies in -1 to 1."""

HAIR_STYLES = ("short", "fringe", "long", "side", "curls", "bun", "cropped", "ponytail", "bob", "bald")


@dataclass(frozen=True, slots=True)
class Traits:
    """What the genes mean. Lengths are in half heights of the head (chin to crown without hair is 2)."""

    half_width: float
    """Of the head at the temples."""
    jaw: float
    """0 narrow to 1 square."""
    chin_width: float
    cheeks: float
    """How far the cheeks stand out, 0 to 1."""
    eye_x: float
    """Half the distance between the centres of the eyes."""
    eye_y: float
    """Below the middle of the head; so are brows, nose and mouth."""
    eye_width: float
    """Half the width of an eye."""
    eye_open: float
    """Half the height of an open eye."""
    eye_slant: float
    """How much higher the outer corner lies."""
    iris: Colour
    brow_y: float
    brow_thickness: float
    brow_angle: float
    """How much higher the outer end lies."""
    brow_length: float
    """Half the length."""
    nose_y: float
    nose_width: float
    """Half the width at the nostrils."""
    nose_depth: float
    mouth_y: float
    mouth_width: float
    """Half the width at rest."""
    lip: float
    """Height of one lip."""
    lip_colour: Colour
    skin: Colour
    blush: float
    hair: Colour
    hair_style: str
    hairline: float
    """Height of the hair's edge on the forehead, below the middle (so below 0)."""
    hair_volume: float
    """How far the hair stands off the head."""
    ear: float
    """Half the height of an ear."""
    lashes: float
    """Thickness of the upper lash line."""
    beard: str
    """none, stubble, moustache, goatee or full."""
    glasses: str
    """none, round or square."""
    glasses_colour: Colour
    marks: str
    """none, mole or freckles."""
    mark_place: float
    """-1 to 1, from the right cheek to the left."""


def draw_identity(generator: np.random.Generator) -> NDArray[np.float32]:
    """Someone new: [32] genes, independent and uniform in -1 to 1."""
    return generator.uniform(-1, 1, len(GENES)).astype(np.float32)


def traits_of(identity: NDArray[np.floating]) -> Traits:
    """Read the genes.

    Raises:
        ValueError: not as many numbers as `GENES`, or a number outside -1 to 1.
    """
    genes = np.asarray(identity, np.float64)
    if genes.shape != (len(GENES),) or not np.all(np.abs(genes) <= 1):
        raise ValueError(f"an identity has {len(GENES)} numbers in -1 to 1, not {genes.shape} as given")
    gene = dict(zip(GENES, genes.tolist(), strict=True))

    def between(name: str, low: float, high: float) -> float:
        return low + (high - low) * (gene[name] + 1) / 2

    def choice(name: str, options: tuple[str, ...]) -> str:
        return options[min(int((gene[name] + 1) / 2 * len(options)), len(options) - 1)]

    skin = palette.along(palette.SKINS, (gene["skin"] + 1) / 2)
    bearded, adornment = gene["adornment"] > 0, abs(gene["adornment"])
    lip_tone = palette.mix(skin, (196, 84, 84), 0.42)
    painted = palette.along(palette.LIPS, (gene["lip_colour"] + 1) / 2)
    return Traits(
        half_width=between("face_width", 0.76, 0.93),
        jaw=between("jaw", 0.1, 1.0),
        chin_width=between("chin", 0.16, 0.36),
        cheeks=between("cheeks", 0.0, 1.0),
        eye_x=between("eye_spacing", 0.33, 0.43),
        eye_y=between("eye_height", 0.04, 0.18),
        eye_width=between("eye_size", 0.17, 0.225),
        eye_open=between("eye_size", 0.115, 0.145) * between("eye_roundness", 0.75, 1.45),
        eye_slant=between("eye_slant", -0.035, 0.045),
        iris=palette.along(palette.IRISES, (gene["iris"] + 1) / 2),
        brow_y=between("brow_height", -0.28, -0.16) + between("eye_height", -0.02, 0.05),
        brow_thickness=between("brow_thickness", 0.018, 0.05),
        brow_angle=between("brow_angle", -0.06, 0.015),
        brow_length=between("brow_length", 0.17, 0.23),
        nose_y=between("nose_length", 0.34, 0.5),
        nose_width=between("nose_width", 0.09, 0.17),
        nose_depth=between("nose_depth", 0.13, 0.24),
        mouth_y=between("mouth_height", 0.63, 0.71) + between("nose_length", -0.03, 0.03),
        mouth_width=between("mouth_width", 0.19, 0.29),
        lip=between("lips", 0.03, 0.075),
        lip_colour=lip_tone if bearded else palette.mix(lip_tone, painted, 0.3 + 0.7 * adornment),
        skin=skin,
        blush=between("blush", 0.0, 1.0) * (0.5 if bearded else 1.0),
        hair=palette.along(palette.HAIRS, (gene["hair_colour"] + 1) / 2),
        hair_style=choice("hair_style", HAIR_STYLES),
        hairline=between("hairline", -0.62, -0.46),
        hair_volume=between("hair_volume", 0.06, 0.15),
        ear=between("ears", 0.17, 0.24),
        lashes=between("eye_roundness", 0.018, 0.028) + (0.0 if bearded else 0.016 * adornment),
        beard=_beard(adornment) if bearded else "none",
        glasses=choice("glasses", ("none", "none", "none", "round", "square")),
        glasses_colour=palette.along(palette.hexes("2B2B33 7A3B2E B8893B 35508A"), (gene["mark_place"] + 1) / 2),
        marks=choice("marks", ("none", "none", "mole", "freckles")),
        mark_place=gene["mark_place"],
    )


def _beard(adornment: float) -> str:
    kinds = ("none", "none", "stubble", "moustache", "goatee", "full")
    return kinds[min(int(adornment * len(kinds)), len(kinds) - 1)]
