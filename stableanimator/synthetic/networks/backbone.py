"""What the networks are built of: plain convolutions with batch norm, which fold into each other for inference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvUnit(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
        )


class ResidualUnit(nn.Module):
    """Two convolutions beside the identity (He et al., arXiv 1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            ConvUnit(width, width), nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inner(x))


class Backbone(nn.Module):
    """Features at strides 4, 8, 16, … : one stage for each of `widths`, with `depths` residual units each."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvUnit(before, width, 3, 2) if before else ConvUnit(3, width, 7, 4),
                *(ResidualUnit(width) for _ in range(depth)),
            )
            for before, width, depth in zip([0, *widths[:-1]], widths, depths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Pyramid(nn.Module):
    """Brings the last three features to one width and lets the coarse ones inform the fine ones (FPN)."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.sides = nn.ModuleList(ConvUnit(one, width, 1) for one in widths[-3:])
        self.merges = nn.ModuleList(ConvUnit(width, width) for _ in range(3))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        levels = [side(feature) for side, feature in zip(self.sides, features[-3:], strict=True)]
        for fine in (1, 0):
            levels[fine] = levels[fine] + F.interpolate(levels[fine + 1], scale_factor=2.0, mode="nearest")
        return [merge(level) for merge, level in zip(self.merges, levels, strict=True)]


def rows_of(level: Tensor, columns: int) -> Tensor:
    """[B, A * columns, h, w] -> [B, h * w * A, columns], in the order in which detectors' outputs are read."""
    return level.permute(0, 2, 3, 1).reshape(len(level), -1, columns)


def giou_loss(found: Tensor, truth: Tensor) -> Tensor:
    """1 - generalised IoU (arXiv 1902.09630) of boxes [N, 4] as corners; [N]."""
    inner = (torch.minimum(found[:, 2:], truth[:, 2:]) - torch.maximum(found[:, :2], truth[:, :2])).clamp(min=0).prod(1)
    area = (found[:, 2:] - found[:, :2]).clamp(min=0).prod(1) + (truth[:, 2:] - truth[:, :2]).prod(1) - inner
    hull = (torch.maximum(found[:, 2:], truth[:, 2:]) - torch.minimum(found[:, :2], truth[:, :2])).prod(1)
    return 1 - inner / area.clamp(min=1e-6) + (hull - area) / hull.clamp(min=1e-6)


def focal_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Quality focal loss (arXiv 2006.04388, Eq. 5, beta = 2), elementwise; truth in 0..1."""
    error = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return error * (torch.sigmoid(logits) - truth).square()
