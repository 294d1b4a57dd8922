"""Inception I3D (Carreira and Zisserman, CVPR 2017): the logits of 400 actions, averaged over time, behind FVD.

Modules are called as in `i3d_pretrained_400.pt` (VideoGPT's conversion of DeepMind's weights, which MCVD and DisCo
use). Layers pad as TensorFlow's SAME does: zeros, the odd one behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# Channels of an inception module: 1x1; 1x1 and 3x3x3; 1x1 and 3x3x3; 1x1 after a pooling.
_MODULES: dict[str, tuple[int, ...]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_STEM = 64
_POOLED_BEFORE = {"Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}


def _same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around [B, C, T, H, W], so that a layer leaves ceil(length / stride)."""
    pads: list[int] = []
    for length, size, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-length // step) - 1) * step + size - length, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def _pool(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    return functional.max_pool3d(_same(x, kernel, stride), kernel, stride)


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, width, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = _same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return self.bn(self.conv3d(x)).relu()


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.b0 = _Unit(channels, widths[0], 1)
        self.b1a, self.b1b = _Unit(channels, widths[1], 1), _Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = _Unit(channels, widths[3], 1), _Unit(widths[3], widths[4], 3)
        self.b3b = _Unit(channels, widths[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = _pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class _Logits(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3d(x)


class I3d(nn.Module):
    """`I3d()(clips)`: [B, 3, T, 224, 224] in [-1, 1] -> [B, 400], logits averaged over places and time.

    Args:
        classes: how many logits.
        width: all channels are so many times the published ones, rounded, and at least 1.
    """

    UNUSED = None

    def __init__(self, classes: int = 400, width: float = 1.0) -> None:
        super().__init__()

        def wide(channels: int) -> int:
            return max(1, round(width * channels))

        stem = wide(_STEM)
        self.Conv3d_1a_7x7 = _Unit(3, stem, 7, 2)
        self.Conv3d_2b_1x1 = _Unit(stem, stem, 1)
        self.Conv3d_2c_3x3 = _Unit(stem, channels := wide(3 * _STEM), 3)
        for name, widths in _MODULES.items():
            own = [wide(each) for each in widths]
            self.add_module(name, _Mixed(channels, own))
            channels = own[0] + own[2] + own[4] + own[5]
        self.logits = _Logits(channels, classes)

    def forward(self, clips: Tensor) -> Tensor:
        x = _pool(self.Conv3d_1a_7x7(clips), (1, 3, 3), (1, 2, 2))
        x = _pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in _MODULES:
            if name in _POOLED_BEFORE:
                x = _pool(x, *_POOLED_BEFORE[name])
            x = self.get_submodule(name)(x)
        return self.logits(x.mean((3, 4), keepdim=True)).mean((2, 3, 4))

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> I3d:
        """One with the channels of a state dict.

        Raises:
            KeyError: it is no I3D's.
        """
        stem = state["Conv3d_1a_7x7.conv3d.weight"].shape[0]
        return cls(state["logits.conv3d.bias"].shape[0], stem / _STEM)
