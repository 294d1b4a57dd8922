from __future__ import annotations

import pytest
import torch

from stableanimator.distillation import TinyStudent, taught
from stableanimator.models.encoders import Encoders, tiny_autoencoder
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings

from ..floats import assert_same

pytestmark = pytest.mark.numeric

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32), layers_per_block=1, latent_channels=3, scaling_factor=2.0),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=32, layers=1, heads=2, image_size=16, patch_size=8, projection_dim=8
    ),
)


def test_the_vae_teaches_what_it_makes_of_noisy_latents_frame_by_frame() -> None:
    encoders = Encoders(ENCODERS)
    pictures, noise = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, 3, 4, 4)
    latents, shown = taught(encoders, pictures, noise)
    with torch.no_grad():
        mean = encoders.vae.encode(pictures).latent_dist.mode()
        expected = [encoders.vae.decode(mean[i : i + 1] + noise[i : i + 1] / 2, num_frames=1).sample for i in (0, 1)]
    assert_same(latents, 2 * mean + noise)
    assert_same(shown, torch.cat(expected))


def test_the_loss_is_the_mean_square_and_a_student_learns_by_it() -> None:
    torch.manual_seed(0)
    network = tiny_autoencoder(2, 3, 16, 1)
    student = TinyStudent(network)
    latents, pictures = taught(Encoders(ENCODERS), torch.rand(2, 3, 8, 8) * 2 - 1, torch.zeros(2, 3, 4, 4))
    first = student(latents, pictures)
    assert_same(first, (network.decode(latents).sample - pictures).square().mean())
    adam = torch.optim.Adam(student.parameters(), lr=3e-3)
    for _ in range(30):
        adam.zero_grad()
        student(latents, pictures).backward()
        adam.step()
    assert float(student(latents, pictures).detach()) < 0.5 * float(first.detach())
