"""The settings of `jobs.benchmark`, importable without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from pipelines.crawling.settings import CrawlSettings
from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.limits.checks import FramesPerSecond, PositiveInt, Seconds, Seed, Share, checked
from stableanimator.limits.places import AbsolutePath

SetName = Literal["MisAlign100", "Unseen100", "TikTok", "Anthropomorphic"]

LEVELS = ("mild", "medium", "strong")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class NamedSetSettings:
    """One of the papers' benchmark sets, from videos that you have: none of them is published whole."""

    name: SetName = "MisAlign100"
    """`MisAlign100`: misaligned poses. `Unseen100`: poses as they are. `TikTok`: the first frame drives by all others.
    `Anthropomorphic` (StableAnimator++, Table VIII): characters in which no face need be found, each driven by its own
    video, or, with `pictures`, by another's."""

    crawl: CrawlSettings = field(default_factory=CrawlSettings)
    """The videos: folders, files, URLs, lists of them."""

    frames: tuple[AbsolutePath, ...] = ()
    """Folders of videos that come as pictures: each folder in them, or its subfolder `images`, is a video, its pictures
    in the order of the numbers in their names. They are stored without a loss."""

    frames_fps: FramesPerSecond = 30.0
    """Frames a second of these (TikTok's: 30)."""

    pictures: tuple[AbsolutePath, ...] = ()
    """`Anthropomorphic` alone: pictures, or folders of them, as references. Each is driven by `drives_per_picture` of
    the videos; nobody knows the truth of such a pair."""

    drives_per_picture: PositiveInt = 1
    """Videos that drive each of `pictures`, drawn."""

    ids: str = "335-339"
    """`TikTok` alone: the numbers of the data set that are judged, as `335-339` or `3,17-19`. The field's code
    takes 335 to 339, its texts say 335 to 340."""

    pairs: PositiveInt = 100
    """Pairs at most: the papers' sets have 100 videos each."""

    seconds: Seconds | None = 20.0
    """Seconds of a video that drive, from its start; null: all, as `TikTok` always takes. The papers' last 10 to 20."""

    misalignment: MisalignmentSettings = field(default_factory=MisalignmentSettings)
    """`MisAlign100` alone: ranges of the strongest level. The papers give none."""

    levels: tuple[Share, Share, Share] = (1 / 3, 2 / 3, 1.0)
    """Shares of these ranges, 0 to 1, for the levels mild, medium and strong, one of which is drawn for each pair."""

    seed: Seed = 0
    """Which references, levels and misalignments are drawn. A pair's draw depends on this and on its video alone."""

    def __post_init__(self) -> None:
        if self.pictures and self.name != "Anthropomorphic":
            raise ValueError(f"pictures belong to the set Anthropomorphic, not to {self.name}")
        if sorted(self.levels) != list(self.levels):
            raise ValueError(f"levels must be in ascending order, not {self.levels}")
        numbers_of(self.ids)


def numbers_of(ids: str) -> list[int]:
    """The numbers that `335-339` or `3,17-19` names, sorted.

    Raises:
        ValueError: it names none.
    """
    numbers: set[int] = set()
    for part in ids.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"ids is {ids!r}; write numbers and spans of them, as 335-339 or 3,17-19")
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(numbers)
