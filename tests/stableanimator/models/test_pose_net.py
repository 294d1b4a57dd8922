from __future__ import annotations

import math

import pytest
import torch

from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import PoseNetSettings

pytestmark = pytest.mark.numeric


def test_an_untrained_network_gives_zeros_at_latent_size() -> None:
    features = PoseNet(PoseNetSettings(), out_channels=12)(torch.rand(2, 3, 64, 40) * 2 - 1)
    assert torch.equal(features, torch.zeros(2, 12, 8, 5))


def test_the_output_is_the_projection_times_two() -> None:
    network = PoseNet(PoseNetSettings(widths=(4, 8)), out_channels=5)
    torch.nn.init.constant_(network.final_proj.bias, 1.5)
    assert torch.equal(network(torch.zeros(1, 3, 8, 8)), torch.full((1, 5, 2, 2), 3.0))


def test_weights_start_with_he_deviation_and_no_bias() -> None:
    torch.manual_seed(0)
    network = PoseNet(PoseNetSettings(), out_channels=4)
    last = network.conv_layers[14]
    assert last.weight.std().item() == pytest.approx(math.sqrt(2 / (3 * 3 * 64)), rel=0.02)
    assert all(bool((each.bias == 0).all()) for each in network.conv_layers if hasattr(each, "bias"))


def test_factor_follows_the_stages() -> None:
    assert PoseNetSettings().factor == 8
    assert PoseNetSettings(widths=(4, 8)).factor == 4
    with pytest.raises(ValueError, match="at least one stage"):
        PoseNetSettings(widths=())
