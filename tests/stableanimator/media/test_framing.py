from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stableanimator.media.framing import Framing, box_mask, check_sizes, native_size, nearest_size, similar_sizes
from stableanimator.media.tensors import to_pictures, to_tensor

SIZES = ((512, 512), (1024, 576), (576, 1024))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 480, (512, 512)), (1920, 1080, (1024, 576)), (720, 1280, (576, 1024)), (500, 640, (512, 512))],
)
def test_the_nearest_aspect_ratio_wins(height: int, width: int, expected: tuple[int, int]) -> None:
    assert nearest_size(height, width, SIZES) == expected


def test_a_landscape_picture_loses_its_sides_and_is_not_stretched() -> None:
    framing = Framing.cover((100, 300), (50, 50))
    assert (framing.scaled, framing.top, framing.left) == ((50, 150), 0, 50)
    points = np.array([[150, 50, 1.0], [100, 0, 0.5], [np.nan, np.nan, 0]], np.float32)
    expected = np.array([[25, 25, 1.0], [0, 0, 0.5], [np.nan, np.nan, 0]], np.float32)
    np.testing.assert_allclose(framing.keypoints(points), expected)
    np.testing.assert_allclose(framing.boxes(np.array([[100, 0, 200, 100]], np.float32)), [[0, 0, 50, 50]])


@pytest.mark.parametrize(("source", "size"), [((96, 200), (64, 64)), ((40, 30), (64, 48)), ((64, 64), (64, 64))])
def test_a_square_in_the_picture_lies_where_its_points_are_moved_to(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    frame = np.zeros((1, *source, 3), np.uint8)
    y, x = source[0] // 2, source[1] // 2
    frame[:, y - 8 : y + 8, x - 6 : x + 6] = 255
    framing = Framing.cover(source, size)
    picture = framing.pictures(frame)[0, ..., 0].astype(float)
    x0, y0, x1, y1 = framing.boxes(np.array([x - 6, y - 8, x + 6, y + 8], np.float32))
    assert picture.sum() / 255 == pytest.approx((x1 - x0) * (y1 - y0), rel=0.03)
    centre = [(picture.sum(axis) * (np.arange(picture.shape[1 - axis]) + 0.5)).sum() / picture.sum() for axis in (0, 1)]
    assert centre == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2], abs=0.05)


def test_other_sizes_must_keep_half_of_the_picture() -> None:
    assert similar_sizes(1920, 1080, SIZES) == [(1024, 576), (512, 512)]  # 576x1024 would keep a third
    assert similar_sizes(500, 500, SIZES) == [(512, 512), (1024, 576), (576, 1024)]
    assert similar_sizes(100, 1000, SIZES) == [(576, 1024)]  # the nearest always


def test_a_cut_is_slid_to_a_point_as_far_as_the_picture_goes() -> None:
    slid = Framing.cover((100, 300), (50, 50), (0.2, 0.1))
    assert (slid.scaled, slid.top, slid.left) == ((50, 150), 0, 5)
    assert slid.keypoints(np.array([60, 50, 1.0], np.float32)).tolist() == [25, 25, 1]
    assert [Framing.cover((100, 300), (50, 50), (x / 300, 0.5)).left for x in (-9, 30, 290)] == [0, 0, 100]


@given(st.integers(16, 600), st.integers(16, 600), st.integers(16, 600), st.integers(16, 600), st.floats(-1, 2))
def test_the_middle_of_a_cut_makes_it_again(height: int, width: int, rows: int, columns: int, place: float) -> None:
    cut = Framing.cover((height, width), (rows, columns), (place, place))
    assert Framing.cover((height, width), (rows, columns), cut.middle) == cut


def test_a_cut_keeps_the_box_that_counts_most() -> None:
    wide, size = (100, 300), (100, 100)
    assert Framing.keeping(wide, size, [(180, 10, 220, 90)]).left == 150  # in the middle
    assert Framing.keeping(wide, size, [(270, 10, 290, 90)]).left == 200  # as far as the picture goes
    two = [(20, 0, 260, 100), (20, 0, 70, 100)]  # both have no room: 140 is their middle, and the cut begins at 90
    assert Framing.keeping(wide, size, two[:1]).left == 90
    assert Framing.keeping(wide, size, two).left == 20  # moved as little as holds the second
    assert Framing.keeping(wide, size, [*two, (30, 0, 110, 9)]).left == 20  # which holds the third already
    tall = [(0, 20, 100, 290), (40, 20, 60, 50)]  # somebody taller than the cut, and the head
    assert Framing.keeping((300, 100), size, tall[:1]).top == 105
    assert Framing.keeping((300, 100), size, tall).top == 20


def test_a_closer_cut_holds_its_box_in_its_middle() -> None:
    framing = Framing.around((100, 100), (40, 40), (20, 30, 40, 40))
    assert (framing.scaled, framing.top, framing.left, framing.enlargement) == ((200, 200), 50, 40, 2)
    box = np.array([20, 30, 40, 40], np.float32)
    assert framing.boxes(box).tolist() == [0, 10, 40, 30]
    frame = np.zeros((1, 100, 100, 3), np.uint8)
    frame[:, 30:40, 20:40] = 200
    picture = framing.pictures(frame)[0, ..., 0]
    assert (picture[13:27, 3:37] == 200).all()
    assert (picture[:7] == 0).all()
    # A box as large as the picture: no closer than what covers.
    assert Framing.around((100, 300), (50, 50), (0, 0, 300, 100)) == Framing.cover((100, 300), (50, 50))


sides = st.integers(16, 600)


@given(sides, sides, sides, sides)
def test_the_cut_is_full_of_picture_and_touches_two_borders(height: int, width: int, rows: int, columns: int) -> None:
    framing = Framing.cover((height, width), (rows, columns))
    assert framing.top >= 0
    assert framing.left >= 0
    assert framing.top + rows <= framing.scaled[0]
    assert framing.left + columns <= framing.scaled[1]
    assert framing.scaled[0] - rows <= 1 or framing.scaled[1] - columns <= 1
    scale = [scaled / source for scaled, source in zip(framing.scaled, framing.source, strict=True)]
    assert abs(scale[0] * height - scale[1] * height) <= 1 + height / width  # alike, up to half a pixel an axis


@given(sides, sides, sides, sides)
def test_what_is_contained_is_whole_in_the_middle_and_not_stretched(
    height: int, width: int, rows: int, columns: int
) -> None:
    rows, columns = rows - rows % 2, columns - columns % 2  # sizes of models are
    framing = Framing.contain((height, width), (rows, columns))
    inner = framing.kept
    assert (inner.size, inner.top, inner.left) == (framing.scaled, 0, 0)
    assert inner.size[0] % 2 == inner.size[1] % 2 == 0
    assert inner.size[0] == rows or inner.size[1] == columns
    left = framing.inner[1].start, columns - framing.inner[1].stop, framing.inner[0].start, rows - framing.inner[0].stop
    assert left[0] == left[1]
    assert left[2] == left[3]
    for axis, side in enumerate((height, width)):  # to a pixel, as sides are even
        other = (width, height)[axis]
        assert abs(framing.scaled[axis] - framing.scaled[1 - axis] * side / other) <= 1 + side / other + 1e-9 or (
            2 in framing.scaled
        )


def test_padding_repeats_the_border_and_points_go_where_the_picture_goes() -> None:
    frame = np.full((1, 40, 20, 3), 90, np.uint8)
    frame[0, :, 0] = 30
    frame[0, :, -1] = 200
    framing = Framing.contain((40, 20), (40, 48))
    picture = framing.pictures(frame)[0, ..., 0]
    assert picture.shape == (40, 48)
    assert (picture[:, :15] == 30).all()
    assert (picture[:, 15:33] == 90).all()
    assert (picture[:, 33:] == 200).all()
    assert framing.inner == (slice(0, 40), slice(14, 34))
    np.testing.assert_array_equal(framing.pictures(frame)[:, *framing.inner], frame)
    assert framing.keypoints(np.array([5, 7, 1.0], np.float32)).tolist() == [19, 7, 1]


@pytest.mark.parametrize("shape", [(480, 640), (100, 333), (333, 100), (1, 1), (1080, 1920)])
@pytest.mark.parametrize("fit", ["cover", "contain", "native"])
def test_the_truth_meets_the_frames_that_come_out_by_their_size_and_middle_alone(
    shape: tuple[int, int], fit: str
) -> None:
    """A truth three times as large: a point of it comes to lie where the reference's does, to a pixel."""
    shape = (max(shape[0], 48), max(shape[1], 48))
    size = nearest_size(*shape, SIZES)
    if fit == "contain":
        framing = Framing.contain(shape, size)
    else:
        size = native_size(*shape, size[0] * size[1], 64) if fit == "native" else size
        framing = Framing.keeping(shape, size, [(0.2 * shape[1], 0.1 * shape[0], 0.5 * shape[1], 0.4 * shape[0])])
    kept = framing.kept
    truth = Framing.cover((3 * shape[0], 3 * shape[1]), kept.size, framing.middle)
    places = np.random.default_rng(0).uniform(0, 1, (20, 2)) * [shape[1], shape[0]]
    np.testing.assert_allclose(truth._move(3 * places), kept._move(places), atol=1.01)
    offset = [framing.inner[1].start, framing.inner[0].start]
    np.testing.assert_allclose(framing._move(places) - offset, kept._move(places), atol=1e-3)
    again = framing.like((3 * shape[0], 3 * shape[1]))
    np.testing.assert_allclose(again._move(3 * places), framing._move(places), atol=1.01)


def test_a_native_size_is_what_the_network_takes_of_the_pictures_own_shape() -> None:
    assert native_size(1080, 1920, 576 * 1024, 64) == (576, 1024)
    assert native_size(600, 900, 96 * 96, 16) == (80, 112)  # 64x96 has two thirds of the pixels, 64x112 another shape
    for height, width in ((700, 1000), (333, 1000), (1000, 901)):
        rows, columns = native_size(height, width, 576 * 1024, 64)
        assert rows % 64 == columns % 64 == 0
        assert 0.75 * 576 * 1024 <= rows * columns <= 576 * 1024
        cut = rows / columns / (height / width)
        assert min(cut, 1 / cut) > 0.9
    assert native_size(10, 1000, 64, 64) == (64, 64)  # no size has so few


def test_frames_of_another_size_and_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="framing is for"):
        Framing.cover((10, 10), (8, 8)).pictures(np.zeros((1, 10, 11, 3), np.uint8))
    with pytest.raises(ValueError, match="multiples of 8"):
        check_sizes("buckets", ((64, 60),))
    with pytest.raises(ValueError, match="at least one"):
        check_sizes("buckets", ())


def test_bytes_become_floats_between_minus_one_and_one_and_back() -> None:
    every_level = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    floats = to_tensor(every_level)
    assert floats.shape == (1, 3, 16, 16)
    assert (floats[0, 0, 0, 0], floats[0, 2, -1, -1]) == (-1, 1)
    np.testing.assert_array_equal(to_pictures(floats), every_level)
    outside = torch.tensor([-3.0, 5.0, 0.0]).reshape(3, 1, 1)
    assert to_pictures(outside).tolist() == [[[0, 255, 128]]]


def test_a_mask_marks_the_cells_that_a_box_touches() -> None:
    box = np.array([[9, 16, 17, 24], [-5, 28, 2, 50]], np.float32)  # 8-pixel cells: x 1-2, y 2; x 0, y 3
    expected = np.zeros((4, 5), np.uint8)
    expected[2, 1:3] = 1
    expected[3, 0] = 1
    np.testing.assert_array_equal(box_mask(box, (32, 40), 8), expected)
    assert box_mask(np.zeros((0, 4), np.float32), (32, 40), 8).sum() == 0
    assert box_mask(np.array([[-20, -20, -4, -4]], np.float32), (32, 40), 8).sum() == 0
