from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.measures.frames import Frame
from pipelines.measures.thumbnail import Thumbnail, middle_sample


def _grey(level: int, height: int = 40, width: int = 60) -> Frame:
    return Frame(index=level, time=level / 8, image=np.full((height, width, 3), level, np.uint8))


def _shown(frames: list[Frame]) -> np.ndarray:
    thumbnail = Thumbnail()
    for frame in frames:
        thumbnail.add(frame)
    return cv2.imdecode(np.frombuffer(thumbnail.columns()["jpeg"], np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 100, 200])
def test_a_shot_whose_end_is_unknown_is_shown_as_if_it_were_known(count: int):
    middle = middle_sample(count)
    assert count // 4 <= middle <= count // 2
    frames = [_grey(number) for number in range(count)]
    assert np.abs(_shown(frames).astype(int) - middle).max() <= 1
    assert np.array_equal(_shown(frames), _shown([frames[middle]]))


def test_the_longer_side_is_192_pixels_at_most():
    assert _shown([_grey(0, 300, 600)]).shape == (96, 192, 3)
    assert _shown([_grey(0, 600, 300)]).shape == (192, 96, 3)
    assert _shown([_grey(0, 16, 10_000)]).shape == (1, 192, 3)
    assert _shown([_grey(0, 30, 20)]).shape == (30, 20, 3)
