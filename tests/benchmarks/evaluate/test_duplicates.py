from __future__ import annotations

import numpy as np
import pytest

from benchmarks.evaluate.duplicates import _figures, cropped, encoded_again, mirrored, trimmed


def _frames() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (9, 100, 80, 3), np.uint8))


def test_copies_are_what_they_are_called() -> None:
    frames, generator = _frames(), np.random.default_rng(1)
    assert encoded_again(frames, generator) is frames
    np.testing.assert_array_equal(mirrored(frames, generator)[4][:, 0], frames[4][:, -1])
    short = trimmed(frames, generator)
    assert len(short) == 6
    start = next(number for number, frame in enumerate(frames) if frame is short[0])
    assert all(own is frames[start + number] for number, own in enumerate(short))
    (small, *_) = cropped(frames, generator)
    assert small.shape == (96, 76, 3)  # 95 % of each side, to whole pairs of pixels
    places = [
        (top, left)
        for top in range(5)
        for left in range(5)
        if (frames[0][top : top + 96, left : left + 76] == small).all()
    ]
    assert len(places) == 1


def test_recall_and_precision_by_hand() -> None:
    def pair(one: str, other: str) -> frozenset[str]:
        return frozenset((one, other))

    true = {
        pair("a", "b"): "mirrored",
        pair("c", "d"): "mirrored",
        pair("e", "f"): "trimmed",
        pair("g", "h"): "cropped",
    }
    true[pair("i", "j")] = "encoded_again"
    told = {pair("b", "a"), pair("e", "f"), pair("g", "h"), pair("c", "a")}
    found = {figure.name: figure.value for figure in _figures(true, told)}
    assert found["recall of copies that are mirrored"] == 0.5
    assert found["recall of near-duplicates"] == pytest.approx(3 / 5)
    assert found["precision of near-duplicates"] == pytest.approx(3 / 4)
