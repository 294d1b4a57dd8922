"""Layers over time: as nothing at the start, left out on pictures; groups of norms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from stableanimator.models.encoders import random_encoders
from stableanimator.models.settings import EncoderSettings, UNetSettings, VAESettings
from stableanimator.models.spatio_temporal import begin_without_time, leave_time_out, temporal_layers
from stableanimator.models.unet import build_unet, run_unet

UNET = UNetSettings(
    latent_channels=2,
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    layers_per_block=1,
    num_attention_heads=(2, 2),
    cross_attention_dim=16,
    addition_time_embed_dim=8,
    norm_groups=8,
)


def _outputs(unet: nn.Module, frames: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 3, 4, 8, 8, generator=random)
    context = torch.randn(1, 5, 16, generator=random)
    ids = torch.ones(1, 3)
    clips = sample.split(frames, dim=1)
    with torch.no_grad():
        return torch.cat([run_unet(unet, clip, torch.ones(1), context, ids, None) for clip in clips], dim=1)


@pytest.fixture
def unet() -> nn.Module:
    torch.manual_seed(3)
    return build_unet(UNET, 4, "distribution").eval()


def test_a_clip_begins_as_what_its_frames_are_alone(unet: nn.Module) -> None:
    torch.testing.assert_close(_outputs(unet, 3), _outputs(unet, 1), rtol=1e-5, atol=1e-5)


def test_once_they_learnt_layers_over_time_mix_frames(unet: nn.Module) -> None:
    with torch.no_grad():
        for layer in temporal_layers(unet):
            for parameter in layer.parameters():
                parameter.add_(0.1)
    assert (_outputs(unet, 3) - _outputs(unet, 1)).abs().max() > 1e-3
    begin_without_time(unet)
    torch.testing.assert_close(_outputs(unet, 3), _outputs(unet, 1), rtol=1e-5, atol=1e-5)


def test_left_out_they_neither_count_nor_learn(unet: nn.Module) -> None:
    before = _outputs(unet, 1)
    names = set(unet.state_dict())
    leave_time_out(unet)
    with torch.no_grad():
        for layer in temporal_layers(unet):
            for parameter in layer.parameters():
                parameter.add_(0.1)
    torch.testing.assert_close(_outputs(unet, 3), before, rtol=1e-5, atol=1e-5)
    assert set(unet.state_dict()) == names
    learning = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    assert not any("temporal" in name or "time_pos" in name or "time_mixer" in name for name in learning)
    assert any("transformer_blocks.0.attn1" in name for name in learning)


def test_groups_change_the_result_and_no_shape() -> None:
    outputs = []
    for groups in (8, 32):
        torch.manual_seed(3)
        unet = build_unet(replace(UNET, norm_groups=groups), 4, "distribution").eval()
        assert {each.num_groups for each in unet.modules() if isinstance(each, nn.GroupNorm)} == {groups}
        outputs.append(_outputs(unet, 1))
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3
    with pytest.raises(ValueError, match="norm_groups must divide 32"):
        replace(UNET, norm_groups=5)


def test_a_decoder_without_time_decodes_every_frame_alone() -> None:
    vae, _ = random_encoders(EncoderSettings(vae=VAESettings(block_out_channels=(32, 32), layers_per_block=1)))
    latents = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mixed = vae.decode(latents, num_frames=3).sample
        begin_without_time(vae)
        together = vae.decode(latents, num_frames=3).sample
        alone = torch.cat([vae.decode(each[None], num_frames=1).sample for each in latents])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert (mixed - together).abs().max() > 1e-3
