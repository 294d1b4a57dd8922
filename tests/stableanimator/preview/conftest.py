"""Stick people by hand: heights over the ground and widths of Drillis and Contini, in whole-body keypoints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

# COCO's joints of somebody one stature tall who stands and faces the camera: across, and above the ground.
_STANDING = {
    0: (0.0, 0.91), 1: (0.018, 0.936), 2: (-0.018, 0.936), 3: (0.04, 0.93), 4: (-0.04, 0.93),
    5: (0.115, 0.818), 6: (-0.115, 0.818), 7: (0.14, 0.63), 8: (-0.14, 0.63), 9: (0.15, 0.485), 10: (-0.15, 0.485),
    11: (0.05, 0.53), 12: (-0.05, 0.53), 13: (0.05, 0.285), 14: (-0.05, 0.285), 15: (0.05, 0.039), 16: (-0.05, 0.039),
    31: (0.0, 0.87),  # the chin
}  # fmt: skip

Person = Callable[..., np.ndarray]


@pytest.fixture
def person() -> Person:
    """`person(200, x=100, ground=250)`: [1, 133, 3] of somebody 200 pixels tall; `turn` in degrees, `seated`, `missing`
    joints of COCO."""

    def draw(
        tall: float,
        x: float = 0.0,
        ground: float = 0.0,
        turn: float = 0.0,
        seated: bool = False,
        missing: tuple[int, ...] = (),
    ) -> np.ndarray:
        joints = dict(_STANDING)
        if seated:  # seen from the front: the thighs come towards the camera
            joints |= {number: (joints[number][0], 0.53) for number in (13, 14)}
            joints |= {number: (joints[number][0], 0.53 - 0.246) for number in (15, 16)}
        pose = np.full((1, 133, 3), (np.nan, np.nan, 0), np.float32)
        for number, (across, above) in joints.items():
            if number not in missing:
                pose[0, number] = x + np.cos(np.radians(turn)) * across * tall, ground - above * tall, 0.9
        return pose

    return draw
