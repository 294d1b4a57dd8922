"""EDM's stochastic sampler (Karras et al. 2022, Algorithm 2) with a hook on the predicted sample.

A denoiser here is any `denoise(x, sigma) -> x_pred` with sigma a 0-dim tensor: conditioning and guidance are
bound before (`stableanimator.models.guidance.guided`), face optimisation is a hook, long video wraps the denoiser
(`stableanimator.diffusion.long_video`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stableanimator.diffusion.settings import Correction, SamplerSettings
from stableanimator.media.frame_store import room

Denoiser = Callable[[Tensor, Tensor], Tensor]


class OverFrames(Protocol):
    """Applies arithmetic that knows no neighbours to latents [B, F, C, h, w] of one shape."""

    def __call__(self, function: Callable[..., Tensor], *latents: Tensor) -> Tensor:
        """`function(*latents)`, of all frames at once or of some at a time."""
        ...


def at_once(function: Callable[..., Tensor], *latents: Tensor) -> Tensor:
    """Over all frames at once."""
    return function(*latents)


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


def empty_latents(shape: Sequence[int]) -> Tensor:
    """Float32 latents [B, F, C, h, w] on the CPU, values not set; in a file where they are many."""
    return torch.from_numpy(room(shape, np.float32))


def initial_noise(
    shape: tuple[int, ...],
    settings: SamplerSettings,
    generator: torch.Generator | None = None,
    frames_at_a_time: int | None = None,
) -> Tensor:
    """Where sampling starts: noise of standard deviation sigma_max, float32 [B, F, C, h, w], on the CPU.

    `frames_at_a_time` bounds the memory of drawing it; null: all.
    """
    result = empty_latents(shape)
    shared = torch.randn(shape[0], 1, *shape[2:], generator=generator) if settings.noise == "shared" else None
    for part in result.split(frames_at_a_time or shape[1], dim=1):
        noise = torch.randn(part.shape, generator=generator) if shared is None else shared
        part.copy_(settings.sigma_max * noise)
    return result


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
    over_frames: OverFrames = at_once,
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
        over_frames: how the arithmetic between evaluations is done; the values are the same.
    """
    levels = sigmas.tolist()
    steps = len(levels) - 1
    indices: Iterator[int] = iter(range(steps))
    for i in progress(indices) if progress else indices:
        t, t_next = levels[i], levels[i + 1]
        gamma = churn_factor(t, steps, settings)
        t_hat, x_hat = t * (1.0 + gamma), x
        if gamma > 0.0:
            deviation = math.sqrt(t_hat**2 - t**2) * settings.s_noise
            x_hat = over_frames(partial(_churned, deviation=deviation, generator=generator), x)
        x_pred = denoise(x_hat, _level(t_hat, x))
        changed = x_pred if hook is None else hook(x_pred, i, steps, t_hat)
        x = over_frames(partial(_euler, t=t_hat, t_next=t_next), x_hat, changed)
        if settings.second_order and t_next > 0.0 and (changed is x_pred or correction != "euler"):
            x_pred_next = denoise(x, _level(t_next, x))
            if correction == "carried" and changed is not x_pred:
                x_pred_next = over_frames(_carried, x_pred_next, changed, x_pred)
            x = over_frames(partial(_heun, t=t_hat, t_next=t_next), x_hat, changed, x, x_pred_next)
        if observe is not None and changed is not x_pred:
            observe(i, over_frames(partial(_first_order, t=t_hat, t_next=t_next), x_hat, x))
    return x


def _churned(x: Tensor, deviation: float, generator: torch.Generator | None) -> Tensor:
    """With fresh noise."""
    return x + deviation * torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)


def _euler(x: Tensor, x_pred: Tensor, t: float, t_next: float) -> Tensor:
    """EDM Algorithm 2, lines 7 and 8."""
    return x + (t_next - t) * ((x - x_pred) / t)


def _heun(x: Tensor, x_pred: Tensor, x_next: Tensor, x_pred_next: Tensor, t: float, t_next: float) -> Tensor:
    """EDM Algorithm 2, lines 10 and 11; `x_next` is Euler's."""
    slope, slope_next = (x - x_pred) / t, (x_next - x_pred_next) / t_next
    return x + (t_next - t) * 0.5 * (slope + slope_next)


def _carried(x_pred_next: Tensor, changed: Tensor, x_pred: Tensor) -> Tensor:
    """The second prediction, moved by as much as the first one was."""
    return x_pred_next + (changed - x_pred)


def _first_order(x: Tensor, x_next: Tensor, t: float, t_next: float) -> Tensor:
    """The prediction by which Euler's step leads from the one to the other."""
    return x - t * (x_next - x) / (t_next - t)


def _level(sigma: float, x: Tensor) -> Tensor:
    """The level as a tensor, float32 at least: latents may be of half precision, levels may not."""
    return torch.tensor(sigma, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
