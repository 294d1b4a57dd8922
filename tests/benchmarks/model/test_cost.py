"""Counts of operations and memory against arithmetic by hand, hooks on modules, and the ZeRO paper's figures."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.model.cost import state_bytes, train_pass
from benchmarks.model.recogniser import IResNet100
from stableanimator.models.animator import Animator
from stableanimator.models.counting import count_flops, fake_tensors, peak_bytes
from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import ModelSettings, PoseNetSettings
from stableanimator.models.unet import checkpoint_activations


def test_operations_of_the_full_pose_net_by_hand() -> None:
    # (side of the output, its channels, what one value sums over), for a picture of 64x64
    layers = [(64, 3, 3 * 9), (32, 16, 3 * 16), (32, 16, 16 * 9), (16, 32, 16 * 16), (16, 32, 32 * 9)]
    layers += [(8, 64, 32 * 16), (8, 64, 64 * 9), (8, 128, 64 * 9), (8, 320, 128)]
    with FakeTensorMode():
        network = PoseNet(PoseNetSettings(), 320)
        counted = count_flops(lambda: network(torch.empty(1, 3, 64, 64)))
    assert counted == sum(2 * side**2 * channels * terms for side, channels, terms in layers)


def test_checkpointing_costs_operations_and_saves_memory(tiny_settings: ModelSettings) -> None:
    found = []
    with fake_tensors(torch.bfloat16):
        animator = Animator(tiny_settings).train()
        for _ in range(2):
            work = lambda: train_pass(animator, 3, (32, 16))  # noqa: E731
            found.append((count_flops(work), peak_bytes(work)))
            checkpoint_activations(animator.unet)
    (flops, memory), (flops_again, memory_again) = found
    assert flops < flops_again < 4 / 3 * flops  # less than one more forward pass of three
    assert memory_again < memory


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_states_are_those_of_the_zero_paper(stage: int, gigabytes: float) -> None:
    """Figure 1 of arXiv 1910.02054: 7.5 billion parameters on 64 GPUs."""
    assert state_bytes(7_500_000_000, "bf16", stage, 64) / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_states_in_fp32_by_hand() -> None:
    assert state_bytes(10, "fp32", 0, 8) == 10 * (4 + 4 + 4 + 4)
    assert state_bytes(10, "fp32", 2, 8) == 10 * (4 + 12 / 8)


def test_the_recogniser_is_the_published_one() -> None:
    """65.15 million weights and 24.2 G operations of multiply-adds counted twice (InsightFace's model zoo, R100)."""
    with FakeTensorMode(), torch.no_grad():
        network = IResNet100().eval()
        assert sum(each.numel() for each in network.parameters()) / 1e6 == pytest.approx(65.15, abs=0.05)
        assert count_flops(lambda: network(torch.empty(1, 3, 112, 112))) / 1e9 == pytest.approx(24.2, rel=0.01)
