from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from stableanimator.errors import InputError
from stableanimator.perception.skeleton import VISIBLE
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings
from stableanimator.synthetic.truth import HIDDEN, OUTSIDE, SEEN, Truth, truth_path


@pytest.fixture(scope="module")
def truth() -> Truth:
    return draw_clip(write_clip("cut_sets", 3, ClipSettings(width=96, height=96)), np.arange(0, 125, 25))[1]


def test_what_is_saved_is_loaded(truth: Truth, tmp_path: Path) -> None:
    truth.save(tmp_path / "a.truth.npz")
    truth.save(tmp_path / "b.truth.npz")
    loaded = Truth.load(tmp_path / "a.truth.npz")
    for field in fields(Truth):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(truth, field.name))
    assert (tmp_path / "a.truth.npz").read_bytes() == (tmp_path / "b.truth.npz").read_bytes()


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", keypoints=np.zeros(3))
    for name in ("text.npz", "other.npz", "missing.npz"):
        with pytest.raises(InputError, match=name):
            Truth.load(tmp_path / name)


def test_keypoints_are_scored_as_a_detector_would(truth: Truth) -> None:
    visibility = truth.visibility.copy()
    visibility[0, 0] = SEEN
    visibility[0, 0, 4], visibility[0, 0, 5] = HIDDEN, OUTSIDE
    people = replace(truth, visibility=visibility).scored_keypoints(0)
    assert people.shape == (1, 133, 3)  # the other one of the cast is in the other shot
    np.testing.assert_array_equal(people[0, :4, :2], truth.keypoints[0, 0, :4])
    np.testing.assert_array_equal(people[0, :4, 2], 1)
    assert 0 < people[0, 4, 2] < VISIBLE
    assert np.isnan(people[0, 5, :2]).all()
    assert people[0, 5, 2] == 0


def test_cuts_are_the_first_frames_of_shots(truth: Truth) -> None:
    shots = np.array([0, 0, 1, 1, 2])
    changed = replace(truth, shots=shots, frames=np.array([4, 5, 6, 7, 8]))
    np.testing.assert_array_equal(changed.cuts, [6, 8])
    np.testing.assert_array_equal(np.isnan(changed.camera_steps()).all(-1), [False, True, False, True])


def test_the_truth_lies_beside_the_video() -> None:
    assert truth_path("/data/clips/003_walk.mp4") == Path("/data/clips/003_walk.truth.npz")
