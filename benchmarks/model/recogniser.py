"""InsightFace's ResNet-100 by its published layers, for counting: the recogniser of antelopev2 without its weights.

arXiv 1801.07698, section 3.1 (embedding network, "E" of the improved residual unit): stages of 3, 13, 30 and 3 units.
"""

from __future__ import annotations

from torch import Tensor, nn


class _Unit(nn.Module):
    def __init__(self, given: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(given),
            nn.Conv2d(given, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        shortcut = nn.Sequential(nn.Conv2d(given, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.shortcut = shortcut if stride > 1 or given != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x) + self.shortcut(x)
        return result


class IResNet100(nn.Sequential):
    """Crops [n, 3, 112, 112] -> embeddings [n, 512]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)]
        given = 64
        for width, units in ((64, 3), (128, 13), (256, 30), (512, 3)):
            for unit in range(units):
                layers.append(_Unit(given, width, 2 if unit == 0 else 1))
                given = width
        head = [nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)]
        super().__init__(*layers, *head)
