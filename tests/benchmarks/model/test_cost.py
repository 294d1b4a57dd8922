"""Counts of operations and memory against arithmetic by hand, hooks on modules, and the ZeRO paper's figures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from benchmarks.model.cost import blank_clip, count_flops, denoise, fake_bf16, peak_bytes, state_bytes, train_pass
from stableanimator.models.animator import Animator
from stableanimator.models.face_encoder import TokenAttention
from stableanimator.models.id_adapter import ImageTokenAttention
from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import ModelSettings, PoseNetSettings
from stableanimator.models.unet import checkpoint_activations


def test_operations_of_single_layers_by_hand() -> None:
    with FakeTensorMode():
        x, picture = torch.empty(5, 7, requires_grad=True), torch.empty(2, 3, 10, 12)
        linear, convolution = nn.Linear(7, 11), nn.Conv2d(3, 4, 5, padding=2)
        query, key = torch.empty(2, 3, 6, 8), torch.empty(2, 3, 9, 8)
        assert count_flops(lambda: linear(x)) == 2 * 5 * 7 * 11
        # Backward: once more for the gradient of the input, and once for that of the weights.
        assert count_flops(lambda: linear(x).sum().backward()) == 3 * 2 * 5 * 7 * 11
        assert count_flops(lambda: convolution(picture)) == 2 * (2 * 4 * 10 * 12) * (3 * 5 * 5)
        # Scores, then their product with the values.
        assert count_flops(lambda: functional.scaled_dot_product_attention(query, key, key)) == 2 * 2 * (
            2 * 3 * 6 * 9 * 8
        )


def test_operations_of_the_full_pose_net_by_hand() -> None:
    # (side of the output, its channels, what one value sums over), for a picture of 64x64
    layers = [(64, 3, 3 * 9), (32, 16, 3 * 16), (32, 16, 16 * 9), (16, 32, 16 * 16), (16, 32, 32 * 9)]
    layers += [(8, 64, 32 * 16), (8, 64, 64 * 9), (8, 128, 64 * 9), (8, 320, 128)]
    with FakeTensorMode():
        network = PoseNet(PoseNetSettings(), 320)
        counted = count_flops(lambda: network(torch.empty(1, 3, 64, 64)))
    assert counted == sum(2 * side**2 * channels * terms for side, channels, terms in layers)


def _hooked_operations(animator: Animator, frames: int, size: tuple[int, int]) -> int:
    """Operations of one forward pass with data, added up by hooks on modules: another way to count."""
    total = 0

    def weighted(module: Any, _: Any, output: Tensor) -> None:
        nonlocal total
        terms = math.prod(module.weight.shape[1:])
        total += 2 * output.numel() * terms

    def attended(module: Any, args: Any, kwargs: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, TokenAttention):
            image, tokens = args
            total += 4 * len(tokens) * tokens.shape[1] * (image.shape[1] + tokens.shape[1]) * module.to_q.out_features
            return
        hidden = args[0] if args else kwargs["hidden_states"]
        context = kwargs.get("encoder_hidden_states")
        keys = hidden.shape[1] if context is None else context.shape[1]
        if isinstance(module.processor, ImageTokenAttention):
            keys -= module.processor.face_tokens
        total += 4 * len(hidden) * hidden.shape[1] * keys * module.inner_dim

    for module in animator.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            module.register_forward_hook(weighted)
        elif isinstance(module, Attention | TokenAttention):
            module.register_forward_hook(attended, with_kwargs=True)
    with torch.no_grad():
        denoise(animator, frames, size)
    return total


def test_operations_of_the_whole_denoiser_are_those_of_its_modules(tiny_settings: ModelSettings) -> None:
    frames, size = 3, (32, 16)
    with FakeTensorMode(), torch.no_grad():
        animator = Animator(tiny_settings)
        counted = count_flops(lambda: denoise(animator, frames, size))
    assert counted == _hooked_operations(Animator(tiny_settings), frames, size)


def test_checkpointing_costs_operations_and_saves_memory(tiny_settings: ModelSettings) -> None:
    found = []
    with fake_bf16():
        animator = Animator(tiny_settings).train()
        for _ in range(2):
            work = lambda: train_pass(animator, 3, (32, 16))  # noqa: E731
            found.append((count_flops(work), peak_bytes(work)))
            checkpoint_activations(animator.unet)
    (flops, memory), (flops_again, memory_again) = found
    assert flops < flops_again < 4 / 3 * flops  # less than one more forward pass of three
    assert memory_again < memory


def test_memory_of_a_chain_by_hand() -> None:
    values = 100 * 50 * 4  # bytes of one activation
    with FakeTensorMode():
        chain = nn.Sequential(*(nn.Linear(50, 50, bias=False) for _ in range(4)))
        x = torch.empty(100, 50)
        with torch.no_grad():
            assert peak_bytes(lambda: chain(x)) == 2 * values  # an input and an output
        assert peak_bytes(lambda: chain(x)) == 4 * values  # inputs of three layers, and the output
        in_place = nn.Sequential(nn.Linear(50, 50), nn.ReLU(inplace=True))
        with torch.no_grad():
            assert peak_bytes(lambda: in_place(x)) == values


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_states_are_those_of_the_zero_paper(stage: int, gigabytes: float) -> None:
    """Figure 1 of arXiv 1910.02054: 7.5 billion parameters on 64 GPUs."""
    assert state_bytes(7_500_000_000, "bf16", stage, 64) / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_states_in_fp32_by_hand() -> None:
    assert state_bytes(10, "fp32", 0, 8) == 10 * (4 + 4 + 4 + 4)
    assert state_bytes(10, "fp32", 2, 8) == 10 * (4 + 12 / 8)


def test_a_blank_clip_fits_the_denoiser(tiny_settings: ModelSettings) -> None:
    x, sigma, conditioning = blank_clip(tiny_settings, 3, (32, 16))
    assert x.shape == (1, 3, 4, 4, 2)
    assert sigma.shape == (1,)
    assert conditioning.pose.shape == (1, 3, 3, 32, 16)
