"""Each network beside a literal restatement of it, and its state dict beside that of the public code.

Digests are of the lines "name shape", sorted, without the batches' counters and the classifiers, of DisCo's
InceptionI3d and resnet50, torchvision's VGG16, AlexNet and SqueezeNet 1.1, and pytorch-fid's Inception. These ran
beside ours when they were taken, with the same drawn weights: the largest difference of features, in parts of the
largest, was 3e-7 (I3D, of 9, 16 and 21 frames), 2e-7 (3D ResNet-50) and 0 (Inception), that of LPIPS 1e-7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.evaluate import restated
from benchmarks.evaluate.agreement import drawn
from stableanimator.metrics.networks.i3d import I3d
from stableanimator.metrics.networks.inception import Inception
from stableanimator.metrics.networks.lpips import CHANNELS, Heads, Lpips, Trunk, TrunkName, trunk_channels, trunk_name
from stableanimator.metrics.networks.resnet3d import ResNet3d

PUBLIC: list[tuple[Callable[[], nn.Module], int, int, str]] = [
    (I3d, 287, 12_711_824, "a8c1201808a09152"),
    (ResNet3d, 265, 46_252_096, "f38cf80468e3ef52"),
    (Inception, 470, 21_820_000, "e22ffc91a09f7caa"),
    (lambda: Trunk("vgg"), 26, 14_714_688, "4c3222feef6e051f"),
    (lambda: Trunk("alex"), 10, 2_469_696, "b1e207d270dfe02f"),
    (lambda: Trunk("squeeze"), 50, 722_496, "3f95e4f5a09c2875"),
]


@pytest.mark.parametrize(("make", "tensors", "numbers", "digest"), PUBLIC)
def test_names_and_shapes_are_the_public_files(
    make: Callable[[], nn.Module], tensors: int, numbers: int, digest: str
) -> None:
    with torch.device("meta"):
        state = {name: value for name, value in make().state_dict().items() if "num_batches_tracked" not in name}
    lines = "\n".join(sorted(f"{name} {tuple(value.shape)}" for name, value in state.items()))
    assert (len(state), sum(value.numel() for value in state.values())) == (tensors, numbers)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


def _apart(value: Tensor, wanted: Tensor) -> float:
    assert value.shape == wanted.shape
    assert wanted.std() > 1e-3 * wanted.abs().max()  # features that tell something
    return float((value - wanted).abs().max() / wanted.abs().max())


NETWORKS: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "i3d": (lambda: I3d(12, 0.125), restated.i3d, (1, 3, 16, 224, 224)),
    "resnet3d": (lambda: ResNet3d(8), restated.resnet3d, (1, 3, 16, 112, 112)),
    "inception": (lambda: Inception(0.125), restated.inception, (1, 3, 60, 90)),
}


@pytest.mark.numeric
@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_the_restated_network(name: str) -> None:
    make, wanted, shape = NETWORKS[name]
    torch.manual_seed(3)
    network = drawn(make())
    batch = torch.rand(shape)
    with torch.inference_mode():
        assert _apart(network(batch), wanted(network.state_dict(), batch)) < 1e-5


def test_i3d_takes_clips_of_any_length() -> None:
    torch.manual_seed(4)
    network = drawn(I3d(6, 0.0625))
    with torch.inference_mode():
        for frames in (1, 9, 21):
            assert network(torch.rand(1, 3, frames, 64, 64)).shape == (1, 6)


@pytest.mark.parametrize("name", ["vgg", "alex", "squeeze"])
def test_lpips_is_the_restated_one(name: TrunkName) -> None:
    torch.manual_seed(5)
    channels = {"vgg": (8, 8, 16, 8, 8), "alex": (8, 16, 8, 8, 8), "squeeze": (8, 16, 16, 24, 24, 32, 32)}[name]
    trunk, heads = drawn(Trunk(name, channels)), drawn(Heads(channels))
    network, first = Lpips(trunk, heads), torch.rand(2, 3, 64, 72) * 2 - 1
    second = 0.5 * first + 0.5 * torch.rand_like(first)
    value = network.distance(network.layers(first), network.layers(second))
    assert _apart(value, restated.lpips(trunk.state_dict(), heads.state_dict(), name, first, second)) < 1e-5
    assert network.distance(network.layers(first), network.layers(first)).tolist() == [0, 0]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_trunk_is_known_by_its_state_dict(name: TrunkName) -> None:
    with torch.device("meta"):
        state = Trunk(name).state_dict()
    assert (trunk_name(state), trunk_channels(state, name)) == (name, CHANNELS[name])
