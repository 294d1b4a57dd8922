"""The settings of `pipelines.benchmark_sets.sets`, importable without torch: every actor that measures has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.limits.checks import NotNegativeInt, PositiveInt, Seconds, Seed, checked


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class BenchmarkSettings:
    """Which pairs are made."""

    pairs: NotNegativeInt = 100
    """Pairs at most (MisAlign100 and Unseen100 have 100 videos each)."""

    pairs_per_clip: PositiveInt = 1
    """Pairs of one clip at most, each with its own reference and misalignment."""

    seconds: Seconds = 20.0
    """Seconds of a clip that drive, from its start (the papers' clips last 10 to 20)."""

    misaligned: bool = True
    """Misalign the driven poses (MisAlign100); without, the pairs are those of Unseen100."""

    misalignment: MisalignmentSettings = field(default_factory=MisalignmentSettings)
    """Ranges of the misalignment."""

    seed: Seed = 0
    """Which references and misalignments are drawn. A pair's draw depends on this and on its clip alone."""
