"""Sheets of people drawn by hand, before pictures of one colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stableanimator.animate import Driving, Reference, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.media.framing import Size
from stableanimator.preview.look import Look, look
from stableanimator.preview.sheet import SIDES, moments, preview_sheet, told, with_skeleton

from .conftest import Person

SETTINGS = AnimateSettings(sizes=((64, 64), (96, 64), (64, 96)), alignment="svd")


def test_moments_are_spread_over_the_clip_and_differ() -> None:
    assert moments(80) == [10, 30, 50, 70]
    assert moments(3) == [0, 1, 2]
    assert moments(1) == [0]


def _seen(person: Person, size: Size) -> tuple[Reference, Driving, Look, np.ndarray]:
    tall = 0.8 * size[0]
    pose = person(tall, x=size[1] / 2, ground=0.95 * size[0])
    picture = np.full((*size, 3), 200, np.uint8)
    reference = Reference(picture=picture, keypoints=pose, face_box=None, face_embedding=None)
    driving = Driving(keypoints=np.repeat(pose[None], 8, 0), height=size[0], width=size[1], fps=4.0)
    driven = aligned(reference, driving, SETTINGS)
    seen = look(reference, driving, driven, reference_people=1, driving_people=1)
    return reference, driving, seen, preview_sheet(reference, driving, driven, seen, {1: picture})


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (128, 192)], ids=["square", "portrait", "landscape"])
def test_a_sheet_has_both_rows_and_the_words_below(person: Person, size: Size) -> None:
    _, _, seen, page = _seen(person, size)
    factor = min(SIDES[0] / size[0], SIDES[1] / size[1])
    row = round(size[0] * factor)
    assert page.dtype == np.uint8
    assert page.shape[0] > 2 * row
    assert page.shape[1] >= 5 * round(size[1] * factor)
    words = page[2 * (row + 24 + 4) :]
    assert words.max() > 200  # ink
    assert "no warnings" in list(told(seen))


def test_skeletons_lie_over_dimmed_pictures(person: Person) -> None:
    picture = np.full((128, 128, 3), 200, np.uint8)
    shown = with_skeleton(picture, person(100, x=64, ground=120))
    assert shown.shape == (288, 288, 3)
    assert (shown[:5] == int(200 * 0.55)).all()  # nobody is there
    colours = shown[np.abs(shown.astype(int) - 110).max(-1) > 60]
    assert len(colours) > 500
    assert (with_skeleton(picture, person(100)[:0], 1.0) == 200).all()


def test_a_moment_without_a_picture_shows_the_skeleton_on_black(person: Person) -> None:
    *_, page = _seen(person, (128, 128))
    tops = [page[24 + 2, 292 * column + 2].tolist() for column in range(1, 5)]  # a corner of each driving picture
    assert tops == [[110] * 3, [0] * 3, [0] * 3, [0] * 3]  # only frame 1 was given


def test_what_is_told(person: Person) -> None:
    *_, seen, _ = _seen(person, (128, 128))
    lines = list(told(seen))
    assert lines[0].startswith("8 frames of 64x64 (height x width), 2.0 s, 4 a second; people: 1 in the reference")
    assert "80% of the picture tall, 1.00 times the reference's size, at the reference's place" in lines[1]
    assert "no face found" in lines[1]
    moved = replace(seen.people[0], offset=(0.1, -0.2))
    assert (
        "10% of the picture to the right and 20% of the picture higher" in list(told(replace(seen, people=(moved,))))[1]
    )
    assert all(line.isascii() for line in lines)  # what OpenCV's letters can show
