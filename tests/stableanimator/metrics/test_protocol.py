from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from stableanimator.metrics.protocol import PROTOCOLS, bicubic, matched, stretched
from stableanimator.metrics.settings import ProtocolName


def _lines(every: int) -> np.ndarray:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[::every] = 200
    return frame


def test_every_protocol_is_defined() -> None:
    assert set(PROTOCOLS) == set(get_args(ProtocolName))


@pytest.mark.parametrize(
    ("name", "size"),
    [("disco", (256, 256)), ("standard", (40, 60)), ("one_to_all", (64, 32)), ("steady_dancer", (64, 32))],
)
def test_sizes_at_which_frames_are_compared(name: ProtocolName, size: tuple[int, int]) -> None:
    assert PROTOCOLS[name].common_size(generated=(40, 60), truth=(64, 32)) == size


def test_resizing_is_the_scripts() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    np.testing.assert_array_equal(stretched(noise, (31, 17)), cv2.resize(noise, (17, 31)))
    pillow = np.asarray(Image.fromarray(noise).resize((17, 31), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(bicubic(noise, (31, 17)), pillow)


def test_shrinking_by_area_sees_every_line_and_stretching_does_not() -> None:
    assert (matched(_lines(4), (8, 8)) == 50).all()
    assert stretched(_lines(4), (8, 8)).max() == 0  # reads between lines
    np.testing.assert_array_equal(matched(_lines(4), (64, 64)), stretched(_lines(4), (64, 64)))


def test_the_published_overflow_is_discos_alone() -> None:
    assert [name for name, protocol in PROTOCOLS.items() if protocol.psnr_uint8] == ["disco"]
    assert {name: protocol.lpips_low for name, protocol in PROTOCOLS.items()} == {
        "standard": -1,
        "disco": 0,
        "one_to_all": 0,
        "steady_dancer": -1,
    }
