"""EDM's stochastic sampler (Karras et al. 2022, Algorithm 2) with a hook on the predicted sample.

A denoiser here is any `denoise(x, sigma) -> x_pred` with sigma a 0-dim tensor: conditioning and guidance are
bound before (`stableanimator.models.guidance.guided`), face optimisation is a hook, long video wraps the denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from stableanimator.diffusion.settings import Correction, SamplerSettings

Denoiser = Callable[[Tensor, Tensor], Tensor]


class Hook(Protocol):
    """Changes the predicted sample of a step; SA++ Algorithm 1 is one."""

    def __call__(self, x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        """Args: x_pred, the predicted clean sample; step, from 0; steps, their number; sigma, t_hat of the step."""
        ...


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """EDM Eq. 5: `steps` levels from sigma_max to sigma_min, then 0; float64 [steps + 1]."""
    ramp = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    first, last = sigma_max ** (1.0 / rho), sigma_min ** (1.0 / rho)
    return torch.cat([(first + ramp * (last - first)) ** rho, torch.zeros(1, dtype=torch.float64)])


def churn_factor(sigma: float, steps: int, settings: SamplerSettings) -> float:
    """gamma_i of EDM Algorithm 2: min(S_churn / N, sqrt(2) - 1) inside [S_tmin, S_tmax], else 0."""
    inside = settings.s_tmin <= sigma <= settings.s_tmax
    return min(settings.s_churn / steps, math.sqrt(2.0) - 1.0) if inside else 0.0


def initial_noise(
    shape: tuple[int, ...], settings: SamplerSettings, generator: torch.Generator | None = None
) -> Tensor:
    """Where sampling starts: noise of standard deviation sigma_max, float32 [B, F, C, h, w], on the CPU."""
    if settings.noise == "shared":
        one = torch.randn(shape[0], 1, *shape[2:], generator=generator)
        return settings.sigma_max * one.expand(shape).clone()
    return settings.sigma_max * torch.randn(shape, generator=generator)


@torch.no_grad()
def sample(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    settings: SamplerSettings,
    hook: Hook | None = None,
    correction: Correction = "plain",
    observe: Callable[[int, Tensor], None] | None = None,
    generator: torch.Generator | None = None,
    progress: Callable[[Iterator[int]], Iterator[int]] | None = None,
) -> Tensor:
    """EDM Algorithm 2, or SA++ Algorithm 1 where `hook` is face optimisation.

    The hook sees the first evaluation of each step.

    Args:
        denoise: the denoiser, conditioning bound.
        x: initial noise at level sigmas[0], [B, F, C, h, w]; its dtype is the sampler's.
        sigmas: falling levels, [steps + 1], the last one 0 (`karras_sigmas`).
        settings: churn and correction; its `steps` is not read.
        hook: changes x_pred; None, or returning the very same tensor, leaves it.
        correction: what the second evaluation of a changed step is; `plain` is Algorithm 1.
        observe: is told, after each changed step, its number and what it amounts to: the prediction with which one
            first-order step would have come to the same place.
        generator: a CPU generator for the churn, so that every device draws the same noise.
        progress: wraps the iterator of steps, for a bar.
    """
    levels = sigmas.tolist()
    steps = len(levels) - 1
    indices: Iterator[int] = iter(range(steps))
    for i in progress(indices) if progress else indices:
        t, t_next = levels[i], levels[i + 1]
        gamma = churn_factor(t, steps, settings)
        t_hat, x_hat = t * (1.0 + gamma), x
        if gamma > 0.0:
            noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
            x_hat = x + math.sqrt(t_hat**2 - t**2) * settings.s_noise * noise
        x_pred = denoise(x_hat, _level(t_hat, x))
        changed = x_pred if hook is None else hook(x_pred, i, steps, t_hat)
        slope = (x_hat - changed) / t_hat
        x = x_hat + (t_next - t_hat) * slope
        if settings.second_order and t_next > 0.0 and (changed is x_pred or correction != "euler"):
            x_pred_next = denoise(x, _level(t_next, x))
            if correction == "carried":
                x_pred_next = x_pred_next + (changed - x_pred)
            slope_next = (x - x_pred_next) / t_next
            x = x_hat + (t_next - t_hat) * 0.5 * (slope + slope_next)
        if observe is not None and changed is not x_pred:
            observe(i, x_hat - t_hat * (x - x_hat) / (t_next - t_hat))
    return x


def _level(sigma: float, x: Tensor) -> Tensor:
    """The level as a tensor, float32 at least: latents may be of half precision, levels may not."""
    return torch.tensor(sigma, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
