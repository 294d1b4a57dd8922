"""A pair of one clip that drives its own picture: which frame is the reference, and how its poses are misaligned.

Everything that is drawn depends on the seed, the clip and the number of the pair alone, so a set grows without a change
of the pairs that it had.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.alignment.training_data.misalignment import random_misalignment


@dataclass(frozen=True, slots=True)
class Draw:
    """The random numbers of one pair."""

    generator: torch.Generator
    """Of the reference first, then of the misalignment."""
    seed: int
    """Of the pair's noise."""
    level: int
    """0 to 2: how far it is misaligned, where a set has several levels."""


def draw_of(seed: int, clip: str, number: int) -> Draw:
    """The numbers of the pair `number` of a clip."""
    digest = hashlib.sha256(f"{seed}:{clip}:{number}".encode()).hexdigest()
    generator = torch.Generator().manual_seed(int(digest[:15], 16))
    return Draw(generator, int(digest[15:30], 16), int(digest[30:45], 16) % 3)


def drawn_among(count: int, draw: Draw) -> int:
    """0 to `count` - 1."""
    return int(torch.randint(count, (1,), generator=draw.generator))


def pair_row(
    pair_id: str, video: str, reference: int, span: tuple[int, int], moved: Mapping[str, float], draw: Draw
) -> dict[str, Any]:
    """A row of PAIRS without rights: the frame `reference` of a video driven by its frames `span`."""
    return {
        "pair_id": pair_id,
        "reference_uri": f"{video}#frame={reference}",
        "driving_uri": video,
        "driving_keypoints_uri": None,
        "start": span[0],
        "end": span[1],
        "person_map": None,
        **moved,
        "truth_uri": video,
        "seed": draw.seed,
    }


ALIGNED = {"rotation": 0.0, "scale": 1.0, "tx": 0.0, "ty": 0.0}
"""The columns of a pair whose poses are left as they are."""


def misaligned(settings: MisalignmentSettings, draw: Draw) -> dict[str, float]:
    """The columns rotation (degrees), scale, tx and ty (image heights)."""
    drawn = random_misalignment(settings, draw.generator, 1)
    turn, shift = drawn.rotation[0].tolist(), drawn.translation[0].tolist()
    degrees = math.degrees(math.atan2(turn[1][0], turn[0][0]))
    return {"rotation": degrees, "scale": float(drawn.scale[0]), "tx": shift[0], "ty": shift[1]}


def part_of(settings: MisalignmentSettings, share: float) -> MisalignmentSettings:
    """Ranges of which so much is left, 0 to 1; of the scale, of its logarithm."""
    low, high = settings.scale
    return MisalignmentSettings(
        rotation_degrees=settings.rotation_degrees * share,
        scale=(low**share, high**share),
        translation=settings.translation * share,
    )
