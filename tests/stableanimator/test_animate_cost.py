"""What an animation costs against modules that are hooked, arithmetic by hand, and what runs with data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from stableanimator.animate import at_rest
from stableanimator.animate_cost import AnimateCost, animate_costs, blank_clip, denoise
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.models.animator import Animator
from stableanimator.models.counting import count_flops
from stableanimator.models.encoders import Encoders, tiny_autoencoder
from stableanimator.models.face_encoder import TokenAttention
from stableanimator.models.id_adapter import ImageTokenAttention
from stableanimator.models.settings import CLIPSettings, EncoderSettings, ModelSettings, VAESettings


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


def test_a_blank_clip_fits_the_denoiser(tiny_settings: ModelSettings) -> None:
    x, sigma, conditioning = blank_clip(tiny_settings, 3, (32, 16), 2)
    assert x.shape == (2, 3, 4, 4, 2)
    assert sigma.shape == (2,)
    assert conditioning.pose.shape == (2, 3, 3, 32, 16)


ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32, 32, 32), layers_per_block=1),
    clip=CLIPSettings(
        hidden_size=32, intermediate_size=64, layers=1, heads=2, image_size=32, patch_size=8, projection_dim=32
    ),
    decode_chunk=2,
)
SETTINGS = AnimateSettings(
    max_frames=3,
    sampler=SamplerSettings(steps=3, sigma_min=0.1, sigma_max=10.0),  # levels 10, 1.4 and 0.1
    hjb=FaceOptimisationSettings(sigma_max=2.0, optimisation_steps=4, region_margin=1),
)
SIZE = (128, 64)


def _costs(model: ModelSettings, **changes: Any) -> dict[tuple[str, str], AnimateCost]:
    costs = animate_costs(
        model, ENCODERS, replace(SETTINGS, **changes), SIZE, torch.bfloat16, face_share=1 / 8, tiny=(8, 1)
    )
    return {(cost.region, cost.decoder): cost for cost in costs}


def test_operations_of_the_steps_are_added_up(tiny_settings: ModelSettings) -> None:
    """Three steps, two corrected, by two branches; with Euler in optimised steps the second one is not."""
    with FakeTensorMode(), torch.no_grad():
        one = count_flops(lambda: denoise(Animator(tiny_settings), 3, SIZE))
    assert {cost.sampling_flops for cost in _costs(tiny_settings).values()} == {2 * 5 * one}
    euler = _costs(tiny_settings, hjb=replace(SETTINGS.hjb, correction="euler"), guidance=(1.0, 1.0))
    assert {cost.sampling_flops for cost in euler.values()} == {4 * one}


def test_operations_of_the_small_decoder_are_those_of_its_convolutions_with_data(tiny_settings: ModelSettings) -> None:
    """Two steps are optimised. Each has four iterations, forward and as much again backward, and two losses; frames are
    decoded by two, so the third counts as a chunk of two. The face's box is one latent of 8, what the recogniser sees
    1.6, so the window 4 latents of 16x8."""
    decoder, operations = tiny_autoencoder(8, 4, 8, 1).decoder, 0

    def counted(module: nn.Conv2d, _: Any, output: Tensor) -> None:
        nonlocal operations
        operations += 2 * output.numel() * math.prod(module.weight.shape[1:])

    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(counted)
    costs, found = _costs(tiny_settings), {}
    for region, window in (("frame", (16, 8)), ("face", (4, 4))):
        operations = 0
        decoder(torch.zeros(2, 4, *window))
        found[region] = 2 * 2 * (4 * 2 + 2) * operations
    assert {region: costs[region, "tiny"].optimising_flops for region in found} == found


def test_statistics_of_whole_frames_cost_a_decoding_a_step(tiny_settings: ModelSettings) -> None:
    without = _costs(tiny_settings)["face", "exact"]
    with_them = _costs(tiny_settings, hjb=replace(SETTINGS.hjb, region_statistics=True))["face", "exact"]
    assert with_them.optimising_flops - without.optimising_flops == 2 * without.decoding_flops


def test_a_frame_more_costs_its_windows_its_chunks_and_no_memory_of_the_gpu(tiny_settings: ModelSettings) -> None:
    """By hand: windows of 3 that share one are half again as many frames, and a frame is decoded by two chunks of the
    three frames' two; the optimiser looks at each once. A frame's latents are 4 x 16 x 8 of 4 bytes, six times, and its
    pictures 3 bytes a pixel, twice."""
    settings = {"max_frames": None, "window": 3, "overlap": 1}
    for cost in _costs(tiny_settings, **settings).values():
        more = cost.sampling_flops / 2 + (2 * cost.decoding_flops + cost.optimising_flops) / 3
        assert cost.frame_flops == pytest.approx(more)
        assert cost.frame_bytes == 6 * 4 * 4 * 16 * 8 + 2 * 3 * 128 * 64
    assert _costs(tiny_settings, **settings | {"max_frames": 500}) == _costs(tiny_settings, **settings)


def test_memory_is_less_by_what_rests(tiny_settings: ModelSettings) -> None:
    def size(*networks: nn.Module, value: int = 4) -> int:
        return sum(value * each.numel() for network in networks for each in network.parameters())

    encoders = Encoders(ENCODERS)
    all_there, offloaded = _costs(tiny_settings), _costs(tiny_settings, offload=True)
    vae = encoders.vae
    # Positions of CLIP's patches are a buffer of 64-bit integers: 16 and the class.
    unused = size(encoders.clip, vae.encoder, vae.quant_conv) + 8 * 17
    for mode, cost in offloaded.items():
        rests = unused + (size(vae.decoder) if mode[1] == "tiny" else 0)
        assert all_there[mode].optimising_bytes - cost.optimising_bytes == rests
        rests = unused + size(Animator(tiny_settings), value=2)
        assert all_there[mode].decoding_bytes - cost.decoding_bytes == rests
        assert cost.peak_bytes == max(cost.sampling_bytes, cost.optimising_bytes, cost.decoding_bytes)
    ordered = [all_there[mode].optimising_bytes for mode in (("face", "tiny"), ("face", "exact"), ("frame", "exact"))]
    assert ordered == sorted(ordered)


def test_networks_come_back_after_their_rest() -> None:
    network = nn.Linear(2, 2, device="cpu")
    with pytest.raises(RuntimeError), at_rest([network]):
        raise RuntimeError
    assert next(network.parameters()).device.type == "cpu"
    with at_rest([nn.Linear(2, 2, device="meta")], on=False):  # whose weights could not be moved
        pass
