"""Drawn people whom their picture cuts off, as a sure pose network gives them: places and scores outside as well."""

from __future__ import annotations

import numpy as np

from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings
from stableanimator.synthetic.truth import Truth

SIZE = (128, 160)
"""Height and width."""


def half_outside(kind: str = "gesture", frames: int = 4) -> tuple[np.ndarray, Truth]:
    """Pictures and truth of a clip of somebody whose legs are below the picture; of `talk` the arms are, too."""
    clip = write_clip(kind, 5, ClipSettings(width=SIZE[1], height=SIZE[0], min_seconds=2.5, max_seconds=2.5))
    return draw_clip(clip, np.arange(0, 3 * frames, 3))


def with_outside(truth: Truth, frame: int) -> np.ndarray:
    """[Q, 133, 3] of the people of a frame: `scored_keypoints`, and what the picture does not show, with score 1."""
    people = truth.scored_keypoints(frame)
    outside = np.isnan(people).any(-1)
    there = truth.visibility[frame].any(-1)
    people[outside, :2] = truth.keypoints[frame, there][outside]
    people[outside, 2] = 1
    return people
