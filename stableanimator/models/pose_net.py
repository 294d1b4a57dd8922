"""PoseNet: a small convolutional encoder of the skeleton picture, added after the U-Net's first convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stableanimator.models.settings import PoseNetSettings


class PoseNet(nn.Module):
    """Skeleton pictures [N, 3, H, W] in [-1, 1] -> features [N, C, H / factor, W / factor].

    `final_proj` starts at zero, so that an untrained PoseNet leaves the U-Net as it is; `scale` starts at 2.

    Args:
        settings: widths.
        out_channels: width of the U-Net after its first convolution.
    """

    def __init__(self, settings: PoseNetSettings, out_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for stage in settings.widths:
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()]
            layers += [nn.Conv2d(width, stage, 4, stride=2, padding=1), nn.SiLU()]
            width = stage
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.SiLU()]
        layers += [nn.Conv2d(width, settings.final_width, 3, padding=1), nn.SiLU()]
        self.conv_layers = nn.Sequential(*layers)
        self.final_proj = nn.Conv2d(settings.final_width, out_channels, 1)
        self.scale = nn.Parameter(torch.full((1,), 2.0))
        for layer in self.conv_layers:
            if isinstance(layer, nn.Conv2d):
                # He's initialisation, as released.
                fan_in = math.prod(layer.kernel_size) * layer.in_channels
                nn.init.normal_(layer.weight, std=math.sqrt(2.0 / fan_in))
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.final_proj.weight)
        nn.init.zeros_(self.final_proj.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Skeleton pictures [N, 3, H, W] in [-1, 1], H and W multiples of the factor -> [N, C, h, w]."""
        return self.final_proj(self.conv_layers(pictures)) * self.scale
