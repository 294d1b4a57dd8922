"""How far driven poses are misaligned; importable without torch, as a curation that trains nothing needs it.

The papers say "random rotation, scale and translation" and no more; these ranges are this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class MisalignmentSettings:
    """Ranges of the misalignment, each drawn by itself."""

    rotation_degrees: float = 45.0
    """Degrees. Rotation is uniform in plus or minus this; a clip that lies on its side carries rotation metadata."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest scale, log-uniform, so that halving is as likely as doubling."""
    translation: float = 0.3
    """Image heights. Both offsets are uniform in plus or minus this."""

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_degrees <= 180:
            raise ValueError(f"rotation_degrees must lie in 0 to 180, not {self.rotation_degrees}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be two values above 0, the smaller first, not {self.scale}")
        if self.translation < 0:
            raise ValueError(f"translation must be at least 0 image heights, not {self.translation}")
