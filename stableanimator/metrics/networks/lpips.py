"""LPIPS (Zhang et al., CVPR 2018), version 0.1: distance of two pictures in the features of a classifier.

    d(x, y) = sum over layers of the mean over places of w · (f(x) - f(y))²      features scaled to length 1, Eq. 1

The trunk's modules are called as in torchvision's files, the heads' as in the package's. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

TrunkName = Literal["vgg", "alex", "squeeze"]

# Pictures of [-1, 1] to what torchvision's classifiers were trained on.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10

Layers = list[Tensor]
"""Features of a picture, [B, C, h, w] of each layer that counts, of length 1 at each place."""


class _Fire(nn.Module):
    """SqueezeNet's module: few channels, then half of the new ones by 1x1 and half by 3x3."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def _vgg(c: Sequence[int]) -> tuple[list[nn.Module], tuple[int, ...]]:
    """VGG16: 13 convolutions of 3x3, of which those before a pooling count; c: channels of the five stages."""
    layers: list[nn.Module] = []
    counted, channels = [], 3
    for width, depth in zip(c, (2, 2, 3, 3, 3), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        counted.append(len(layers) - 1)
        layers.append(nn.MaxPool2d(2, 2))
    return layers[:-1], tuple(counted)


def _alex(c: Sequence[int]) -> tuple[list[nn.Module], tuple[int, ...]]:
    """AlexNet of "One weird trick" (2014), each of its five convolutions counted."""
    layers = [
        *(nn.Conv2d(3, c[0], 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(c[0], c[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(c[1], c[2], 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c[3], c[4], 3, padding=1), nn.ReLU()),
    ]
    return layers, (1, 4, 7, 9, 11)


def _squeeze(c: Sequence[int]) -> tuple[list[nn.Module], tuple[int, ...]]:
    """SqueezeNet 1.1; c: channels of the seven layers that count."""
    fire = [  # (channels, squeezed, expanded) of the eight modules
        *((c[0], c[1] // 8, c[1] // 2), (c[1], c[1] // 8, c[1] // 2)),
        *((c[1], c[2] // 8, c[2] // 2), (c[2], c[2] // 8, c[2] // 2)),
        *((c[2], c[3] // 8, c[3] // 2), (c[3], c[4] // 8, c[4] // 2)),
        *((c[4], c[5] // 8, c[5] // 2), (c[5], c[6] // 8, c[6] // 2)),
    ]

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    modules = [_Fire(*each) for each in fire]
    layers = [nn.Conv2d(3, c[0], 3, stride=2), nn.ReLU(), pool(), *modules[:2], pool(), *modules[2:4], pool()]
    return [*layers, *modules[4:]], (1, 4, 7, 9, 10, 11, 12)


_TRUNKS = {"vgg": _vgg, "alex": _alex, "squeeze": _squeeze}
CHANNELS: dict[TrunkName, tuple[int, ...]] = {
    "vgg": (64, 128, 256, 512, 512),
    "alex": (64, 192, 384, 256, 256),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}
"""Of the published trunks, for each layer that counts."""


class Trunk(nn.Module):
    """The convolutions of a classifier; `features` as in torchvision's state dict.

        Trunk("vgg")(pictures)      # [B, 3, H, W] in [-1, 1] -> Layers

    Args:
        name: which classifier.
        channels: of each layer that counts; the published ones by default.
    """

    UNUSED = "classifier."
    """Names in the public files that nothing here reads."""

    def __init__(self, name: TrunkName, channels: Sequence[int] | None = None) -> None:
        super().__init__()
        layers, self.counted = _TRUNKS[name](channels or CHANNELS[name])
        self.features = nn.Sequential(*layers)
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Layers:
        x = (pictures - self.shift) / self.scale
        found: Layers = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.counted:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + _EPS))
        return found


class Heads(nn.Module):
    """The non-negative weight of each channel, learnt from people's judgements; `lin0.model.1.weight` [1, C, 1, 1]."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for number, width in enumerate(channels):
            # The package has a dropout in front, which is switched off when it measures.
            head = nn.ModuleDict({"model": nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))})
            self.add_module(f"lin{number}", head)

    def weights(self) -> list[Tensor]:
        """[C] of each layer, in order."""
        return [parameter.flatten() for parameter in self.parameters()]


class Lpips(nn.Module):
    """LPIPS of pictures by their features: `lpips.distance(lpips.layers(x), lpips.layers(y))`."""

    def __init__(self, trunk: Trunk, heads: Heads) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, heads

    @torch.inference_mode()
    def layers(self, pictures: Tensor) -> Layers:
        """Features of pictures [B, 3, H, W], in [-1, 1] (or what stands for it in a protocol)."""
        return self.trunk(pictures)

    @torch.inference_mode()
    def distance(self, first: Layers, second: Layers) -> Tensor:
        """LPIPS [B], from 0 for equal pictures; about 1 for unlike ones."""
        layers = zip(self.heads.weights(), first, second, strict=True)
        return torch.stack([torch.einsum("c,bchw->bhw", w, (a - b).square()).mean((1, 2)) for w, a, b in layers]).sum(0)


def trunk_name(state: Mapping[str, Tensor]) -> TrunkName:
    """Which trunk a state dict is of."""
    if any(".squeeze." in name for name in state):
        return "squeeze"
    return "alex" if "features.2.weight" not in state else "vgg"


def trunk_channels(state: Mapping[str, Tensor], name: TrunkName) -> tuple[int, ...]:
    """Channels of the layers that count, read off a state dict's shapes.

    Raises:
        KeyError: it is of no such trunk.
    """
    if name == "squeeze":
        fires = [2 * len(state[f"features.{number}.expand1x1.bias"]) for number in (4, 7, 9, 10, 11, 12)]
        return (len(state["features.0.bias"]), *fires)
    last = {"vgg": (2, 7, 14, 21, 28), "alex": (0, 3, 6, 8, 10)}[name]
    return tuple(len(state[f"features.{number}.bias"]) for number in last)
