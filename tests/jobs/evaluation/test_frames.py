"""Which frames stand for which, and how they are cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from jobs.evaluation.frames import open_result, reference_frame, side_by_side, true_frames
from stableanimator.errors import DecodeError
from stableanimator.media.pictures import WHITE
from stableanimator.media.video import VideoReader, write_mp4
from tests.jobs.evaluation.conftest import waves


def test_true_frames_are_chosen_by_index_and_cut_as_the_reference_was(
    prediction: dict[str, Any], tmp_path: Path
) -> None:
    write_mp4(tmp_path / "truth.mp4", waves(12, 64, 160), 24)
    prediction |= {"truth_uri": str(tmp_path / "truth.mp4"), "frame_index": [1, 4, 7, 10]}
    with VideoReader(tmp_path / "truth.mp4") as video:
        frames = video.read([1, 4, 7, 10])
    # At 32 rows the truth is 80 wide; 48 of them are cut out, in the middle or at the right.
    for middle, left in (([0.5, 0.5], 16), ([0.9, 0.5], 32)):
        expected = np.stack([cv2.resize(frame, (80, 32), interpolation=cv2.INTER_AREA) for frame in frames])
        truths = np.stack(list(true_frames(prediction | {"cut_middle": middle}, (32, 48))))
        np.testing.assert_array_equal(truths, expected[:, :, left : left + 48])


def test_a_result_is_read_without_loss_where_it_was_kept_so(prediction: dict[str, Any]) -> None:
    with open_result(prediction) as exact, open_result(prediction | {"frames_uri": None}) as video:
        np.testing.assert_array_equal(exact.read(range(4)), waves(4, 32, 48))
        assert not np.array_equal(video.read(range(4)), waves(4, 32, 48))


def test_a_result_that_lost_frames_is_not_read_as_whole(prediction: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match="too_few_frames"):
        open_result(prediction | {"frame_index": [0, 1, 2, 3, 4]})


def test_the_reference_is_a_frame_of_the_truth_or_none(prediction: dict[str, Any]) -> None:
    truth = prediction["truth_uri"]
    assert reference_frame(prediction) is None
    assert reference_frame(prediction | {"reference_uri": f"{truth}#frame=12"}) == 12
    assert reference_frame(prediction | {"reference_uri": "/other.mp4#frame=12"}) is None
    assert reference_frame(prediction | {"reference_uri": "/other.mp4#frame=12", "truth_uri": None}) is None


def test_side_by_side_shows_every_frame_of_every_column(prediction: dict[str, Any]) -> None:
    variants = [prediction | {"variant": name} for name in ("plain", "hjb", "face_off")]
    frames = list(side_by_side(variants, WHITE))
    assert len(frames) == 4
    # reference, driven by, three variants, truth: each 288 wide at 192 high (32x48 six times), and a gap of 4
    assert frames[0].shape == (24 + 192, 6 * (288 + 4), 3)
    third = waves(4, 32, 48)[2].repeat(6, 0).repeat(6, 1)
    for column in range(2, 6):
        np.testing.assert_array_equal(frames[2][24:, column * 292 : column * 292 + 288], third)


def test_side_by_side_shows_other_systems_at_the_same_moments(prediction: dict[str, Any]) -> None:
    """Another system made every second frame of the drive, from its second one, and knows no skeletons."""
    first = prediction | {"frame_index": [10, 11, 12, 13], "skeleton_uri": None, "truth_uri": None}
    other = first | {"variant": "MRAA", "frame_index": [11, 13], "frames_uri": prediction["frames_uri"]}
    frames = list(side_by_side([first, other], WHITE))
    pictures = [each.repeat(6, 0).repeat(6, 1) for each in waves(4, 32, 48)]
    assert frames[0].shape[1] == 3 * 292
    for frame, own, others in zip(frames, (0, 1, 2, 3), (0, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(frame[24:, 292 : 292 + 288], pictures[own])
        np.testing.assert_array_equal(frame[24:, 584 : 584 + 288], pictures[others])


def test_a_reference_is_shown_on_the_background_that_it_was_put_on(prediction: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGBA", (96, 64), (200, 30, 40, 0)).save(tmp_path / "reference.png")
    strip = next(iter(side_by_side([prediction], (0, 255, 0))))
    assert (strip[24:, :288] == (0, 255, 0)).all()
