"""The smallest real model: every class of the full size, at widths that run in a tenth of a second."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stableanimator.models.animator import Animator, Conditioning, added_time_ids
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, MicroConditions, ModelSettings, VAESettings


def build_tiny_encoder_settings(**changes: Any) -> EncoderSettings:
    """Random encoders that fit the fixture `tiny_settings`."""
    values: dict[str, Any] = {
        "vae": VAESettings(block_out_channels=(32, 32, 32, 32), layers_per_block=1, scaling_factor=4.0),
        "clip": CLIPSettings(
            hidden_size=32, intermediate_size=64, layers=2, heads=2, image_size=32, patch_size=8, projection_dim=32
        ),
    }
    return EncoderSettings(**(values | changes))


def randomise(module: torch.nn.Module) -> None:
    """Weights away from the zeros and ones that some layers start with."""
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))


@pytest.fixture
def tiny_encoder_settings() -> EncoderSettings:
    return build_tiny_encoder_settings()


@pytest.fixture(scope="session")
def encoders() -> Encoders:
    return Encoders(build_tiny_encoder_settings())


@pytest.fixture
def animator(tiny_settings: ModelSettings) -> Animator:
    """With random weights everywhere, those included that start at zero."""
    torch.manual_seed(0)
    model = Animator(tiny_settings)
    randomise(model)
    return model.eval()


@pytest.fixture
def conditioning() -> Conditioning:
    """Two clips of three frames of 32x16 pixels: latents [2, 3, 4, 4, 2]."""
    generator = torch.Generator().manual_seed(1)
    return Conditioning(
        reference_latent=torch.randn(2, 4, 4, 2, generator=generator),
        clip_embedding=torch.randn(2, 1, 32, generator=generator),
        face_embedding=torch.randn(2, 16, generator=generator),
        pose=torch.rand(2, 3, 3, 32, 16, generator=generator) * 2 - 1,
        added_time_ids=added_time_ids(MicroConditions(), 2),
    )
