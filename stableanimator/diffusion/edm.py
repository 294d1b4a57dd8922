"""EDM at sigma_data 1, as Stable Video Diffusion uses it: preconditioning, training noise, and the loss of Eq. 25.

Shapes: B clips, F frames, C latent channels, h w latent height and width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stableanimator.diffusion.settings import EDMSettings, LossSettings


class Preconditioning(NamedTuple):
    """The four functions of sigma in EDM's Eq. 7, each of sigma's shape."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def preconditioning(sigma: Tensor) -> Preconditioning:
    """EDM (Karras et al. 2022) Eq. 7 at sigma_data 1, with the v-prediction sign of Stable Video Diffusion.

    Args:
        sigma: noise levels above 0, any shape.
    """
    root = torch.sqrt(sigma**2 + 1.0)
    return Preconditioning(c_skip=1.0 / root**2, c_out=-sigma / root, c_in=1.0 / root, c_noise=0.25 * torch.log(sigma))


def edm_weight(sigma: Tensor) -> Tensor:
    """EDM's loss weight at sigma_data 1: (1 + sigma^2) / sigma^2 = 1 / c_out^2."""
    return (1.0 + sigma**2) / sigma**2


def shifted_cosine_sigma(u: Tensor, noise_d: float, settings: EDMSettings) -> Tensor:
    """Simple diffusion (Hoogeboom et al. 2023), shifted cosine schedule, as a noise level.

    Their log-SNR, -2 log tan(angle) + 2 log(noise_d / image_d), is sigma = s * tan(angle) with
    s = sigma_data * image_d / noise_d. The angle runs so that u = 0 gives sigma_max and u = 1 gives sigma_min.
    """
    spread = settings.schedule_sigma_data * settings.image_d / noise_d
    first, last = math.atan(settings.sigma_max / spread), math.atan(settings.sigma_min / spread)
    return spread * torch.tan(first + u * (last - first))


def sigma_at(u: Tensor, settings: EDMSettings) -> Tensor:
    """The quantile function of the training noise: simple diffusion's interpolated cosine schedule, or a log-normal cut
    at sigma_min and sigma_max.

    Args:
        u: numbers in [0, 1], float64 for accuracy near sigma_max; 0 gives sigma_max, 1 gives sigma_min.
    """
    if settings.distribution == "lognormal":
        log_sigma = settings.log_mean - settings.log_deviation * torch.special.ndtri(u)
        return log_sigma.exp().clamp(settings.sigma_min, settings.sigma_max)
    low = shifted_cosine_sigma(u, settings.noise_d_low, settings)
    high = shifted_cosine_sigma(u, settings.noise_d_high, settings)
    return torch.exp(torch.lerp(torch.log(low), torch.log(high), u))


def draw_sigmas(count: int, settings: EDMSettings, generator: torch.Generator | None = None) -> Tensor:
    """Noise levels for `count` clips, float32 [count], on the CPU.

    The unit interval is cut into `count` equal strata with one draw in each, as in the released code, so that every
    batch covers the whole range; the strata come in order, the noisiest clip first.
    """
    strata = torch.arange(count, dtype=torch.float64)
    u = (strata + torch.rand(count, dtype=torch.float64, generator=generator)) / count
    return sigma_at(u, settings).float()


def add_noise(x: Tensor, sigma: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The forward process x + sigma * n with n ~ N(0, 1): latents [B, F, C, h, w], levels [B]."""
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    return x + _per_clip(sigma, x) * noise


def augment_reference(picture: Tensor, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Stable Video Diffusion's noise augmentation: the reference picture in [-1, 1] plus noise, before the VAE."""
    return picture + strength * torch.randn(picture.shape, generator=generator, dtype=picture.dtype).to(picture.device)


def diffusion_loss(
    x_pred: Tensor,
    x_gt: Tensor,
    sigma: Tensor,
    face_mask: Tensor | None,
    settings: LossSettings,
    hand_mask: Tensor | None = None,
) -> Tensor:
    """SA++ Eq. 25: the mean squared error of the predicted latents, with faces weighted by (1 + M).

    Where `settings.hand_weight` is not 1, what lies around the hands has that weight as well.

    Args:
        x_pred: predicted clean latents [B, F, C, h, w].
        x_gt: true latents, same shape.
        sigma: noise level of each clip [B].
        face_mask: M at latent size [B, F, h, w], 1 inside a face and 0 elsewhere; None reads as no face.
        settings: power of the mask and weight over sigma.
        hand_mask: like `face_mask`, 1 around a hand; None reads as no hand.

    Returns:
        The loss of each clip, float32 [B].
    """
    error = (x_pred.float() - x_gt.float()) ** 2
    if settings.face_mask and face_mask is not None:
        error = error * (1.0 + face_mask.float().unsqueeze(2)) ** settings.mask_power
    if hand_mask is not None:
        error = error * (1.0 + (settings.hand_weight - 1.0) * hand_mask.float().unsqueeze(2))
    loss = error.flatten(1).mean(1)
    return loss * edm_weight(sigma.float()) if settings.sigma_weight == "edm" else loss


def _per_clip(sigma: Tensor, x: Tensor) -> Tensor:
    """Levels [B] in a shape that broadcasts over x [B, ...]."""
    return sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
