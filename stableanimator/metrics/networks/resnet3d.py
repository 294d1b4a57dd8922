"""3D ResNet-50 with projection shortcuts (Hara et al., CVPR 2018): pooled features of 16 frames, behind FID-VID.

Modules are called as in `resnet-50-kinetics.pth` without the `module.` that DataParallel put in front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

_EXPANSION = 4


class _Bottleneck(nn.Module):
    """1x1x1, 3x3x3, 1x1x1 beside a shortcut, which is a convolution where shapes differ (type B)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * _EXPANSION
        self.conv1, self.bn1 = nn.Conv3d(channels, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, out, 1, bias=False), nn.BatchNorm3d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv3d(channels, out, 1, stride, bias=False), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return (self.bn3(self.conv3(x)) + shortcut).relu()


class ResNet3d(nn.Module):
    """`ResNet3d()(clips)`: [B, 3, 16, 112, 112], grey levels without the channels' means -> [B, 2048].

    Args:
        stem: channels of the first layer; 64 are published, of which all others are multiples.
        blocks: bottlenecks of the four stages.
    """

    UNUSED = "fc."

    def __init__(self, stem: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(3, stem, 7, (1, 2, 2), 3, bias=False), nn.BatchNorm3d(stem)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        channels = stem
        self.stages: list[str] = []
        for number, depth in enumerate(blocks):
            width = stem * 2**number
            stage = nn.Sequential()
            for block in range(depth):
                stage.append(_Bottleneck(channels, width, 2 if block == 0 and number else 1))
                channels = width * _EXPANSION
            self.stages.append(f"layer{number + 1}")
            self.add_module(self.stages[-1], stage)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(clips)).relu())
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return x.mean((2, 3, 4))  # of 1x4x4 places at the published size

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> ResNet3d:
        """One with the channels and the depths of a state dict.

        Raises:
            KeyError: it is no 3D ResNet's.
        """
        stem = state["conv1.weight"].shape[0]
        depths = [len({name.split(".")[1] for name in state if name.startswith(f"layer{n}.")}) for n in range(1, 5)]
        return cls(stem, depths)
