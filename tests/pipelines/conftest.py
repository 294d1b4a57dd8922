"""Pictures and clips for the tests of the pipelines: what is in them is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stableanimator.video import write_mp4

Picture = np.ndarray


def texture(seed: int, height: int = 200, width: int = 320) -> Picture:
    """A smooth random picture, uint8 [H, W, 3]: trackable everywhere, and unlike that of any other seed."""
    coarse = np.random.default_rng(seed).uniform(20, 235, (height // 10, width // 10, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def new_texture() -> Callable[..., Picture]:
    return texture


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """Write a clip: `make_clip(path, seeds=(1, 2), frames=24, speed=0)`.

    One shot of `frames` frames for each seed, at 24 per second, in front of which the camera moves right by `speed`
    pixels a frame; pictures of 320x200.
    """

    def make(path: Path, seeds: Iterable[int] = (1,), frames: int = 24, speed: int = 0) -> Path:
        pictures = []
        for seed in seeds:
            world = texture(seed, width=320 + speed * frames)
            pictures += [world[:, speed * number : speed * number + 320] for number in range(frames)]
        write_mp4(path, [np.ascontiguousarray(picture) for picture in pictures], 24.0)
        return path

    return make
