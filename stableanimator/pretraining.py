"""Pretraining of small encoders: a VAE whose latents are the pictures' principal components, and an image encoder that
knows one clip from another.

    basis = patch_basis(pictures, factor, channels, settings.whitening)
    losses = EncoderPair(vae, clip, basis, settings)(batch)

A small VAE that starts at random spends its few channels on brightness, and people lose their colours. The best linear
code of patches is known beforehand (principal components), keeps colours, and needs no training; encoder and decoder
are drawn towards it and then taught to use it together.

B pictures   H W height, width   f VAE's factor   C latent channels   D image embedding
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from stableanimator.models.encoders import clip_pixels
from stableanimator.pretraining_settings import PretrainingSettings

_LOG_VARIANCE = -30.0  # diffusers' lowest: whoever samples the posterior gets its mean


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchBasis:
    """A linear code of f x f patches of pictures in [-1, 1]: C numbers a patch, all together of spread 1."""

    mean: Tensor
    """[3 f f]"""
    directions: Tensor
    """[C, 3 f f], each scaled so that its product with a patch (less the mean) is a channel of the latent."""
    factor: int

    def codes(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] -> [B, C, H/f, W/f]."""
        patches = functional.pixel_unshuffle(pictures, self.factor)
        return torch.einsum("cp,bphw->bchw", self.directions, patches - self.mean[:, None, None])


def patch_basis(pictures: Tensor, factor: int, channels: int, whitening: float) -> PatchBasis:
    """The `channels` strongest principal components of the patches of pictures [N, 3, H, W] in [-1, 1].

    A component of spread s has the spread s^(1 - whitening), times what makes the mean square of all channels 1.

    Raises:
        ValueError: patches have fewer numbers than the latent channels.
    """
    if channels > 3 * factor**2:
        raise ValueError(f"patches of {factor}x{factor} have {3 * factor**2} numbers, fewer than {channels} channels")
    patches = functional.pixel_unshuffle(pictures, factor).movedim(1, -1).flatten(0, -2).double()
    mean = patches.mean(0)
    variances, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    spread = variances[-channels:].flip(0).clamp_min(1e-12).sqrt()
    directions = vectors[:, -channels:].flip(1).T
    directions = directions * directions.sum(1, keepdim=True).sign()  # the sign of an eigenvector is arbitrary
    wanted = spread ** (1 - whitening)
    wanted = wanted / wanted.square().mean().sqrt()
    directions = directions * (wanted / spread)[:, None]
    return PatchBasis(mean=mean.float(), directions=directions.float(), factor=factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingBatch:
    """Pictures of B clips, drawn by a task."""

    pictures: Tensor
    """[B, 3, H, W] in [-1, 1]."""
    partners: Tensor
    """[B, 3, H, W]: other frames of the same clips."""
    crops: Tensor
    """[B, 3, s, s]: squares of the pictures."""
    noise: Tensor
    """[B, C, s/f, s/f] for the latents of the crops, of the strength that the decoder shall see through."""
    own_codes: bool
    """Whether the decoder reads the encoder's latents."""

    def to(self, device: torch.device | str) -> PretrainingBatch:
        """On another device."""
        tensors = {name: getattr(self, name).to(device) for name in ("pictures", "partners", "crops", "noise")}
        return PretrainingBatch(**tensors, own_codes=self.own_codes)


class EncoderPair(nn.Module):
    """VAE and image encoder with the losses that they are pretrained by.

    Args:
        vae: its scaling factor must be 1: the latents have the spread that the basis gives them.
        clip: the image encoder.
        basis: of the pictures.
        settings: what weighs how much.
    """

    def __init__(
        self,
        vae: AutoencoderKLTemporalDecoder,
        clip: CLIPVisionModelWithProjection,
        basis: PatchBasis,
        settings: PretrainingSettings,
    ) -> None:
        super().__init__()
        self.vae, self.clip, self.settings, self._basis = vae, clip, settings, basis

    def forward(self, batch: PretrainingBatch) -> Tensor:
        """The sum of both losses, float32 []."""
        return self.autoencoder_loss(batch) + self.contrast(batch)

    def autoencoder_loss(self, batch: PretrainingBatch) -> Tensor:
        """Of the crops: distance of the latents to the basis's codes, and of the pictures decoded from them."""
        basis, settings = self._on(batch.crops.device), self.settings
        codes = basis.codes(batch.crops)
        means = self.vae.encode(batch.crops).latent_dist.mode()
        decoded = self.vae.decode((means if batch.own_codes else codes) + batch.noise, num_frames=1).sample
        return (
            reconstruction_loss(decoded, batch.crops, settings.gradient_weight, settings.square_weight)
            + settings.code_weight * (means - codes).square().mean()
        )

    def contrast(self, batch: PretrainingBatch) -> Tensor:
        """InfoNCE (arXiv 1807.03748 Eq. 4) in both directions, as CLIP's: which partner belongs to which picture."""
        side = int(self.clip.config.image_size)
        first, second = (
            functional.normalize(self.clip(clip_pixels(pictures, side)).image_embeds, dim=-1)
            for pictures in (batch.pictures, batch.partners)
        )
        logits = first @ second.T / self.settings.temperature
        places = torch.arange(len(logits), device=logits.device)
        return (functional.cross_entropy(logits, places) + functional.cross_entropy(logits.T, places)) / 2

    def _on(self, device: torch.device) -> PatchBasis:
        basis = self._basis
        if basis.mean.device != device:
            moved = {name: getattr(basis, name).to(device) for name in ("mean", "directions")}
            self._basis = basis = PatchBasis(**moved, factor=basis.factor)
        return basis


def reconstruction_loss(decoded: Tensor, truth: Tensor, gradient_weight: float, square_weight: float) -> Tensor:
    """Mean absolute error of pictures [B, 3, H, W], of their differences from pixel to pixel, and mean square."""
    error = decoded - truth
    gradients = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + gradient_weight * gradients + square_weight * error.square().mean()


@torch.no_grad()
def without_sampling(vae: AutoencoderKLTemporalDecoder) -> None:
    """Let the posterior's spread be nothing, in place: only its mean is trained and used."""
    layer, channels = vae.quant_conv, vae.config.latent_channels
    layer.weight[channels:] = 0
    layer.bias[channels:] = _LOG_VARIANCE
