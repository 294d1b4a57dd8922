"""Churn 0 and no correction against diffusers' EulerDiscreteScheduler, set up as Stable Video Diffusion's."""

from __future__ import annotations

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from stableanimator.diffusion.edm import preconditioning
from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.diffusion.settings import SamplerSettings

from ..floats import assert_same

pytestmark = pytest.mark.numeric

STEPS = 25


def _scheduler() -> EulerDiscreteScheduler:
    """The scheduler configuration of img2vid-xt."""
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )
    scheduler.set_timesteps(STEPS)
    return scheduler


def _network() -> torch.nn.Module:
    """Any network of the scaled latents and the noise condition; convolution mixes channels and places."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(5, 16, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(16, 4, 3, padding=1)
    )


def _apply(network: torch.nn.Module, scaled: Tensor, c_noise: Tensor) -> Tensor:
    frames = scaled.flatten(0, 1)
    condition = c_noise.reshape(1, 1, 1, 1).expand(len(frames), 1, *frames.shape[-2:])
    return network(torch.cat([frames, condition], 1)).reshape(scaled.shape)


@torch.no_grad()
def test_the_sampler_equals_the_euler_scheduler() -> None:
    scheduler, network = _scheduler(), _network()
    noise = 700.0 * torch.randn(1, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    expected = noise
    for timestep in scheduler.timesteps:
        output = _apply(network, scheduler.scale_model_input(expected, timestep), timestep)
        expected = scheduler.step(output, timestep, expected, return_dict=False)[0]

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        c = preconditioning(sigma)
        return c.c_skip * x + c.c_out * _apply(network, c.c_in * x, c.c_noise)

    settings = SamplerSettings(steps=STEPS, s_churn=0.0, second_order=False)
    sigmas = karras_sigmas(STEPS, settings.sigma_min, settings.sigma_max, settings.rho)
    torch.testing.assert_close(sigmas.float(), scheduler.sigmas, rtol=1e-5, atol=0.0)
    ours = sample(denoise, noise, sigmas, settings)
    # Values fall from thousands to about 1 in 25 float32 steps: what the first steps round is left in the last.
    assert_same(ours, expected, largest=float(noise.abs().max()))
