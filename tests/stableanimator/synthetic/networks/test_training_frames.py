"""Drawn training frames: their truth belongs to their pictures, and drawing goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.networks.training_frames import FrameSet, TrainingFrames, draw_frames, identity_seed

from .conftest import WANTED


def test_pictures_have_the_size_that_their_truth_says(frames: TrainingFrames) -> None:
    assert len(frames) == 200
    for number in range(0, 200, 37):
        assert frames.picture(number).shape[:2] == tuple(frames.frames.size[number])


def test_what_a_person_covers_differs_from_the_same_place_of_another_frame(frames: TrainingFrames) -> None:
    """A box that belonged to another picture would hold as much background as anything else."""
    truth, inside, outside = frames.frames, [], []
    for first in range(0, 200, 2):  # two frames of one clip, with a camera that stays
        change = np.abs(frames.picture(first).astype(int) - frames.picture(first + 1)).mean(-1)
        covered = np.zeros(change.shape, bool)
        for frame in (first, first + 1):
            for x0, y0, x1, y1 in np.nan_to_num(truth.person_boxes[frame]).astype(int):
                covered[y0:y1, x0:x1] = True
        inside.append(change[covered].mean())
        outside.append(change[~covered].mean())
    assert np.median(inside) > 2 * np.median(outside)


def test_faces_are_drawn_again_and_again(frames: TrainingFrames) -> None:
    assert np.bincount(frames.frames.identity).tolist() == [20] * 10
    first, again = (draw_identity(identity_seed(WANTED, 3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.slow
def test_drawing_goes_on_where_it_stopped_and_gives_the_same(tmp_path: Path) -> None:
    wanted = FrameSet(name="two_parts", clips=200, frames_per_clip=1, kinds=("talk",), seed=3)
    draw_frames(tmp_path, wanted, workers=2)
    part = tmp_path / "two_parts" / "00001.npz"
    before = dict(np.load(part))
    part.unlink()
    draw_frames(tmp_path, wanted, workers=1)
    for name, values in np.load(part).items():
        np.testing.assert_array_equal(values, before[name])
