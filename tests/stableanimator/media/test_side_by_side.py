from __future__ import annotations

import numpy as np

from stableanimator.media.side_by_side import SMALLEST_HEIGHT, sheet, strip, words


def _flat(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_small_pictures_are_enlarged_by_whole_factors_and_stand_side_by_side() -> None:
    checks = np.indices((64, 32)).sum(0) % 2 * 255
    left = np.repeat(checks[..., None], 3, -1).astype(np.uint8)
    picture = strip({"one": left, "two": _flat(128, 128, 90)})
    title = picture.shape[0] - SMALLEST_HEIGHT
    np.testing.assert_array_equal(picture[title:, :96], left.repeat(3, 0).repeat(3, 1))
    assert (picture[title:, 100:292] == 90).all()  # 128x128 at 192 pixels high, after a gap of 4
    assert picture.shape[1] == 96 + 4 + 192 + 4


def test_titles_are_written_above_each_picture() -> None:
    picture = strip({"one": _flat(192, 96, 0), "": _flat(192, 96, 0)})
    assert picture[:24, :96].max() > 200
    assert picture[:24, 100:].max() < 64


def test_a_sheet_has_all_strips_at_the_widest_one() -> None:
    both = sheet([_flat(10, 30, 200), _flat(20, 50, 100)])
    assert both.shape == (38, 50, 3)
    assert (both[:10, :30] == 200).all()
    assert (both[14:34] == 100).all()


def test_words_go_on_below_where_they_have_no_room() -> None:
    short, long = words(["one"], 200), words(["one and another and a third and a fourth and a fifth"], 200)
    assert short.shape[1] == long.shape[1] == 200
    assert long.shape[0] > short.shape[0]
    assert (long[:, -6:] == long[-1, -1]).all()  # nothing is written over the edge
    assert long[24:48].max() > 200
