"""What is done to a frame, uint8 RGB [H, W, 3], before a network sees it: as the published scripts do, to the letter.

Each gives float32 [3, h, w].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

Frame = npt.NDArray[np.uint8]

I3D_SIZE, RESNET3D_SIZE = 224, 112
_RESNET3D_MEANS = (114.7748, 107.7354, 99.4750)


def _squared(frame: Frame, size: int) -> Tensor:
    """Stretched to a square by Pillow's bicubic filter, which averages where it shrinks; in float, not rounded to grey
    levels, each channel by itself (DisCo's tool/metrics/resize.py; clean-fid's way)."""
    channels = [Image.fromarray(np.ascontiguousarray(frame[..., channel], np.float32)) for channel in range(3)]
    return torch.from_numpy(
        np.stack([np.asarray(each.resize((size, size), Image.Resampling.BICUBIC)) for each in channels])
    )


def for_i3d(frame: Frame) -> Tensor:
    """[3, 224, 224], grey levels brought from [0, 255] to [-1, 1]."""
    return _squared(frame, I3D_SIZE) / 127.5 - 1


def for_resnet3d(frame: Frame) -> Tensor:
    """[3, 112, 112], grey levels less the means of ActivityNet's channels."""
    return _squared(frame, RESNET3D_SIZE) - torch.tensor(_RESNET3D_MEANS)[:, None, None]


def for_inception(frame: Frame) -> Tensor:
    """[3, H, W] in [0, 1]; the network scales by itself."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))).float() / 255


def for_lpips(frame: Frame, low: float) -> Tensor:
    """[3, H, W] from `low`, which is -1 or DisCo's 0, to 1."""
    return for_inception(frame) * (1 - low) + low
