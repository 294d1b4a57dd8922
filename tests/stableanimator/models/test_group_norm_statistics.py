from __future__ import annotations

import pytest
import torch
from torch import nn

from stableanimator.models.group_norm_statistics import GroupNormStatistics

from ...floats import assert_same

pytestmark = pytest.mark.numeric


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.GroupNorm(2, 6), nn.SiLU(), nn.GroupNorm(3, 6, affine=False))
    nn.init.normal_(network[1].weight)
    nn.init.normal_(network[1].bias)
    return network


def test_a_window_becomes_what_it_is_in_the_frame() -> None:
    """Of a network without another reach than its norms'."""
    network, frames = _network(), torch.randn(2, 3, 9, 7)
    statistics = GroupNormStatistics(network)
    with statistics.recording("frames"):
        expected = network(frames)
    assert_same(expected, network(frames))
    window = frames[:, :, 2:5, 1:6]
    with statistics.using("frames"):
        assert_same(network(window), expected[:, :, 2:5, 1:6])
    assert (network(window) - expected[:, :, 2:5, 1:6]).abs().max() > 0.1


def test_means_and_variances_are_those_of_the_groups() -> None:
    norm = nn.GroupNorm(2, 6, eps=0.0, affine=False)
    frames = torch.randn(2, 6, 4, 5, 3)
    statistics = GroupNormStatistics(norm)
    with statistics.recording(0):
        norm(frames)
    groups = frames.double().numpy().reshape(2, 2, -1)
    with statistics.using(0):
        found = norm(torch.zeros(2, 6, 1, 1, 1))[:, ::3, 0, 0, 0]
    assert_same(found, torch.from_numpy(-groups.mean(-1) / groups.std(-1)).float())


def test_norms_that_did_not_run_keep_their_own_and_what_was_not_recorded_is_an_error() -> None:
    network, frames = _network(), torch.randn(1, 3, 4, 4)
    statistics = GroupNormStatistics(network)
    with statistics.recording(0):
        network[:2](frames)
    with statistics.using(0):
        assert "forward" not in vars(network[3])
    with pytest.raises(KeyError), statistics.using(1):
        pass
    assert not any("forward" in vars(module) for module in network)
