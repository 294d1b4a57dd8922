"""Backgrounds that change do, and are the same whenever they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.scene.living import LIVING
from stableanimator.synthetic.script import ClipSettings

SMALL = ClipSettings(width=96, height=96, min_seconds=1.0, max_seconds=1.0)


@pytest.mark.parametrize("life", sorted(LIVING))
def test_a_living_background_changes_where_nobody_stands(life: str) -> None:
    clip = write_clip(life, 3, SMALL)
    pictures, truth = draw_clip(clip, [0, 3])
    assert truth.living.all()
    left, _, right, _ = truth.person_boxes[:, 0].T
    beside = np.ones(96, bool)
    beside[int(left.min()) : int(right.max()) + 1] = False
    assert beside.sum() >= 5
    change = np.abs(pictures[0].astype(int) - pictures[1])[:, beside].mean()
    assert change > 2  # grey levels
    alone, _ = draw_clip(clip, [3])
    np.testing.assert_array_equal(alone[0], pictures[1])


def test_other_kinds_stay_still() -> None:
    clip = write_clip("speaker", 3, SMALL)
    pictures, truth = draw_clip(clip, [0, 20])
    assert not truth.living.any()
    corner = pictures[:, :10, :10].astype(int)
    assert np.abs((corner[0] - corner[1]).mean()) < 1  # its noise alone
    assert clip.shots[0].set.name == "wall"
