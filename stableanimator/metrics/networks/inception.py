"""FID's Inception V3 (Szegedy et al., CVPR 2016) as TensorFlow ran it: pooled features of a frame.

Modules are called as in pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`. Averages leave the padding out, and the
last module takes a maximum where the paper has an average: both are TensorFlow's graph, which FID's numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_SIZE = 299
_STEM = 32

Kernel = int | tuple[int, int]
Stage = str | tuple[str, ...]
"""A convolution's name, or several that read the same and whose outputs are put side by side."""


class _Conv(nn.Module):
    """Convolution, batch norm, ReLU; padded to the same size where `stride` is 1 and `padded`."""

    def __init__(self, channels: int, width: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if stride == 1 and padded else (0, 0)
        self.conv = nn.Conv2d(channels, width, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class _Block(nn.Module):
    """Branches of convolutions side by side, and one behind a pooling.

    Args:
        channels: of the input.
        convolutions: width, kernel and stride of each by name.
        branches: the convolutions that each branch passes in turn.
        pool: of the last branch; `stride` halves the size as a maximum, and then no convolution follows.
    """

    def __init__(
        self,
        channels: int,
        convolutions: Mapping[str, tuple[int, Kernel, int]],
        branches: Sequence[Sequence[Stage]],
        pool: Literal["average", "maximum", "stride"],
    ) -> None:
        super().__init__()
        self.branches, self.pool = branches, pool
        self.channels = channels if pool == "stride" else 0
        for stages in branches:
            width = channels
            for stage in stages:
                names = (stage,) if isinstance(stage, str) else stage
                for name in names:
                    self.add_module(name, _Conv(width, *convolutions[name]))
                width = sum(convolutions[name][0] for name in names)
            self.channels += width

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for stages in self.branches:
            y = self._pooled(x) if "branch_pool" in stages else x
            for stage in stages:
                names = (stage,) if isinstance(stage, str) else stage
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            outputs.append(y)
        if self.pool == "stride":
            outputs.append(functional.max_pool2d(x, 3, 2))
        return torch.cat(outputs, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "maximum":
            return functional.max_pool2d(x, 3, 1, 1)
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


_POOL = ["branch_pool"]


def _block_a(channels: int, pooled: int, w: _Width) -> _Block:
    convolutions = {
        "branch1x1": (w(64), 1, 1),
        "branch5x5_1": (w(48), 1, 1),
        "branch5x5_2": (w(64), 5, 1),
        "branch3x3dbl_1": (w(64), 1, 1),
        "branch3x3dbl_2": (w(96), 3, 1),
        "branch3x3dbl_3": (w(96), 3, 1),
        "branch_pool": (w(pooled), 1, 1),
    }
    branches = [["branch1x1"], ["branch5x5_1", "branch5x5_2"], _numbered("branch3x3dbl", 3), _POOL]
    return _Block(channels, convolutions, branches, "average")


def _block_b(channels: int, w: _Width) -> _Block:
    convolutions = {
        "branch3x3": (w(384), 3, 2),
        "branch3x3dbl_1": (w(64), 1, 1),
        "branch3x3dbl_2": (w(96), 3, 1),
        "branch3x3dbl_3": (w(96), 3, 2),
    }
    return _Block(channels, convolutions, [["branch3x3"], _numbered("branch3x3dbl", 3)], "stride")


def _block_c(channels: int, middle: int, w: _Width) -> _Block:
    own, out = w(middle), w(192)
    convolutions: dict[str, tuple[int, Kernel, int]] = {
        "branch1x1": (out, 1, 1),
        "branch7x7_1": (own, 1, 1),
        "branch7x7_2": (own, (1, 7), 1),
        "branch7x7_3": (out, (7, 1), 1),
        "branch7x7dbl_1": (own, 1, 1),
        "branch7x7dbl_2": (own, (7, 1), 1),
        "branch7x7dbl_3": (own, (1, 7), 1),
        "branch7x7dbl_4": (own, (7, 1), 1),
        "branch7x7dbl_5": (out, (1, 7), 1),
        "branch_pool": (out, 1, 1),
    }
    branches = [["branch1x1"], _numbered("branch7x7", 3), _numbered("branch7x7dbl", 5), _POOL]
    return _Block(channels, convolutions, branches, "average")


def _block_d(channels: int, w: _Width) -> _Block:
    convolutions: dict[str, tuple[int, Kernel, int]] = {
        "branch3x3_1": (w(192), 1, 1),
        "branch3x3_2": (w(320), 3, 2),
        "branch7x7x3_1": (w(192), 1, 1),
        "branch7x7x3_2": (w(192), (1, 7), 1),
        "branch7x7x3_3": (w(192), (7, 1), 1),
        "branch7x7x3_4": (w(192), 3, 2),
    }
    return _Block(channels, convolutions, [_numbered("branch3x3", 2), _numbered("branch7x7x3", 4)], "stride")


def _block_e(channels: int, pool: Literal["average", "maximum"], w: _Width) -> _Block:
    side = w(384)
    convolutions: dict[str, tuple[int, Kernel, int]] = {
        "branch1x1": (w(320), 1, 1),
        "branch3x3_1": (side, 1, 1),
        "branch3x3_2a": (side, (1, 3), 1),
        "branch3x3_2b": (side, (3, 1), 1),
        "branch3x3dbl_1": (w(448), 1, 1),
        "branch3x3dbl_2": (side, 3, 1),
        "branch3x3dbl_3a": (side, (1, 3), 1),
        "branch3x3dbl_3b": (side, (3, 1), 1),
        "branch_pool": (w(192), 1, 1),
    }
    single: list[Stage] = ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]
    double: list[Stage] = ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]
    return _Block(channels, convolutions, [["branch1x1"], single, double, _POOL], pool)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{number}" for number in range(1, count + 1)]


class _Width:
    """Channels of a network of another width, at least 1."""

    def __init__(self, times: float) -> None:
        self._times = times

    def __call__(self, channels: int) -> int:
        return max(1, round(self._times * channels))


class Inception(nn.Module):
    """`Inception()(frames)`: [B, 3, H, W] in [0, 1] -> [B, 2048].

    Args:
        width: all channels are so many times the published ones, rounded, and at least 1.
    """

    UNUSED = "fc."

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        w = _Width(width)
        self.Conv2d_1a_3x3 = _Conv(3, w(32), 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(w(32), w(32), 3, padded=False)
        self.Conv2d_2b_3x3 = _Conv(w(32), w(64), 3)
        self.Conv2d_3b_1x1 = _Conv(w(64), w(80), 1)
        self.Conv2d_4a_3x3 = _Conv(w(80), channels := w(192), 3, padded=False)
        self.mixed: list[str] = []

        def add(name: str, block: _Block) -> int:
            self.mixed.append(name)
            self.add_module(name, block)
            return block.channels

        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            channels = add(name, _block_a(channels, pooled, w))
        channels = add("Mixed_6a", _block_b(channels, w))
        for name, middle in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            channels = add(name, _block_c(channels, middle, w))
        channels = add("Mixed_7a", _block_d(channels, w))
        channels = add("Mixed_7b", _block_e(channels, "average", w))
        add("Mixed_7c", _block_e(channels, "maximum", w))

    def forward(self, frames: Tensor) -> Tensor:
        x = functional.interpolate(frames, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * x - 1)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> Inception:
        """One with the channels of a state dict.

        Raises:
            KeyError: it is no Inception's.
        """
        return cls(state["Conv2d_1a_3x3.conv.weight"].shape[0] / _STEM)
