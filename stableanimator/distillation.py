"""A small decoder learns to show what a VAE's decoder shows: TAESD's idea (github.com/madebyollin/taesd), any VAE.

student = TinyStudent(tiny_autoencoder(encoders.factor, encoders.latent_channels, 64))
loss = student(*taught(encoders, pictures, noise))

What it is for is a gradient, not a picture: face optimisation asks it which way latents shall move.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional

from stableanimator.models.encoders import Encoders


@torch.no_grad()
def taught(encoders: Encoders, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """What a student is shown: latents of pictures [B, 3, H, W] in [-1, 1] with noise [B, C, h, w] on them, and what
    the VAE makes of these latents, each frame alone."""
    latents = encoders.encode(pictures) + noise
    return latents, encoders.decode(latents, 1)


class TinyStudent(nn.Module):
    """The decoder of an `AutoencoderTiny`, with the loss that it is trained by."""

    def __init__(self, network: AutoencoderTiny) -> None:
        super().__init__()
        self.decoder = network.decoder

    def forward(self, latents: Tensor, pictures: Tensor) -> Tensor:
        """Mean squared error of what it makes of latents [B, C, h, w], scaled, to pictures [B, 3, H, W]; float32 []."""
        decoded = self.decoder(latents.to(next(self.decoder.parameters()).dtype))
        return functional.mse_loss(decoded.float(), pictures)
