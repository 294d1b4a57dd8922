"""The sampler on Gaussian data N(0, s^2), where the denoiser and the solution of the ODE are known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stableanimator.diffusion.sampler import churn_factor, initial_noise, karras_sigmas, sample
from stableanimator.diffusion.settings import Correction, SamplerSettings

pytestmark = pytest.mark.numeric

S = 0.5
EULER = SamplerSettings(second_order=False)
HEUN = SamplerSettings(second_order=True)


def _denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """E[y | y + sigma n = x] for y ~ N(0, s^2)."""
    return x * S**2 / (S**2 + sigma**2)


def _exact(x: Tensor, start: float, end: float) -> Tensor:
    """dx/dsigma = (x - D) / sigma = x sigma / (s^2 + sigma^2), so x is proportional to sqrt(s^2 + sigma^2)."""
    return x * math.sqrt((S**2 + end**2) / (S**2 + start**2))


def _error(steps: int, settings: SamplerSettings) -> float:
    """Against the solution at 0.1; the last step to 0 is left out, since the correction never applies to it."""
    sigmas = torch.linspace(5.0, 0.1, steps + 1, dtype=torch.float64)
    x = torch.tensor([1.0, -3.0], dtype=torch.float64)
    return (sample(_denoise, x, sigmas, settings) - _exact(x, 5.0, 0.1)).abs().max().item()


@pytest.mark.parametrize(("settings", "order"), [(EULER, 1.0), (HEUN, 2.0)])
def test_order_of_convergence(settings: SamplerSettings, order: float) -> None:
    errors = [_error(steps, settings) for steps in (200, 400, 800)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.05)


def test_the_whole_way_to_zero_gives_the_datas_spread() -> None:
    sigmas = karras_sigmas(100, 0.002, 80.0)
    x = 80.0 * torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample(_denoise, x, sigmas, HEUN), _exact(x, 80.0, 0.0), rtol=2e-3, atol=0.0)


def test_churn_keeps_the_distribution() -> None:
    """Fresh noise and its removal: the samples' spread is still s."""
    settings = SamplerSettings(s_churn=40.0, s_tmin=0.05, s_tmax=50.0)
    generator = torch.Generator().manual_seed(0)
    x = 80.0 * torch.randn(40000, generator=generator)
    sigmas = karras_sigmas(160, 0.002, 80.0)
    churned = sample(_denoise, x, sigmas, settings, generator=generator)
    # Standard error of the deviation of 40,000 draws: 0.35 %; the rest is discretisation.
    assert churned.std().item() == pytest.approx(S, rel=0.015)
    plain = sample(_denoise, x, sigmas, HEUN)
    correlation = torch.corrcoef(torch.stack([churned, plain]))[0, 1].item()
    assert correlation < 0.5  # the noise was really replaced


def test_one_step_with_churn_by_hand() -> None:
    settings = SamplerSettings(s_churn=0.3, s_noise=1.5)
    x = torch.tensor([2.0], dtype=torch.float64)
    noise = torch.randn(1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    result = sample(_denoise, x, torch.tensor([4.0, 1.0]), settings, generator=torch.Generator().manual_seed(3))
    t_hat = 4.0 * 1.3  # one step, so gamma is 0.3
    x_hat = 2.0 + math.sqrt(t_hat**2 - 16.0) * 1.5 * noise.item()
    slope = (x_hat - x_hat * S**2 / (S**2 + t_hat**2)) / t_hat
    end = x_hat + (1.0 - t_hat) * slope
    slope_end = (end - end * S**2 / (S**2 + 1.0)) / 1.0
    assert result.item() == pytest.approx(x_hat + (1.0 - t_hat) * (slope + slope_end) / 2)


def test_churn_factor_has_edms_bounds() -> None:
    settings = SamplerSettings(s_churn=40.0, s_tmin=0.05, s_tmax=50.0)
    assert churn_factor(1.0, 256, settings) == pytest.approx(40.0 / 256)
    assert churn_factor(1.0, 18, settings) == pytest.approx(math.sqrt(2.0) - 1.0)
    assert churn_factor(0.04, 256, settings) == 0.0
    assert churn_factor(51.0, 256, settings) == 0.0


@pytest.mark.parametrize(("settings", "calls"), [(EULER, 5), (HEUN, 9)])
def test_the_hook_sees_the_first_evaluation_of_each_step(settings: SamplerSettings, calls: int) -> None:
    evaluated: list[float] = []
    seen: list[tuple[int, int, float]] = []
    sigmas = karras_sigmas(5, 0.1, 10.0)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        evaluated.append(sigma.item())
        return torch.zeros_like(x)

    def hook(x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        seen.append((step, steps, sigma))
        return x_pred + 7.0

    result = sample(denoise, torch.ones(1, dtype=torch.float64), sigmas, settings, hook=hook)
    assert seen == [(step, 5, level) for step, level in enumerate(sigmas[:-1].tolist())]
    assert len(evaluated) == calls
    # The last step has no correction, so what the hook returned is what comes out.
    assert result.item() == pytest.approx(7.0)


def test_the_correction_uses_the_plain_denoiser() -> None:
    """One step from 2 to 1 with D = 0 and a hook that predicts 4: slopes (x - 4) / 2, then x' / 1."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.zeros_like(x)

    x = torch.tensor([6.0], dtype=torch.float64)
    result = sample(denoise, x, torch.tensor([2.0, 1.0]), HEUN, hook=lambda *args: torch.full_like(x, 4.0))
    # slope 1, Euler gives 5, slope there 5, their mean 3.
    assert result.item() == pytest.approx(6.0 - 3.0)


def test_a_carried_correction_moves_both_predictions_alike() -> None:
    """From 2 to 1 with D = 0 and a hook that adds 4: slopes (6 - 4) / 2 and (5 - 4) / 1; Euler has the first alone."""
    x, told = torch.tensor([6.0], dtype=torch.float64), []

    def run(correction: Correction) -> float:
        told.clear()
        result = sample(
            lambda x, sigma: torch.zeros_like(x), x, torch.tensor([2.0, 1.0]), HEUN,
            hook=lambda x_pred, *_: x_pred + 4.0, correction=correction,
            observe=lambda step, prediction: told.append((step, prediction.item())),
        )  # fmt: skip
        return result.item()

    assert run("carried") == pytest.approx(5.0)
    assert told == [(0, pytest.approx(4.0))]
    assert run("euler") == pytest.approx(5.0)
    assert run("plain") == pytest.approx(3.0)
    assert told == [(0, pytest.approx(0.0))]  # 6 - 2 * (6 - 3) / 1: all of it is taken back
    assert sample(
        lambda x, sigma: torch.zeros_like(x), x, torch.tensor([2.0, 1.0]), HEUN, hook=lambda x_pred, *_: x_pred,
        observe=lambda *_: told.append((-1, 0.0)),
    ).item() == pytest.approx(6.0 - 0.5 * (3.0 + 3.0))  # fmt: skip
    assert len(told) == 1


def test_karras_levels_have_edms_closed_form() -> None:
    levels = karras_sigmas(3, 1.0, 128.0, rho=7.0)
    # 128^(1/7) = 2, so the middle is 1.5^7.
    torch.testing.assert_close(levels, torch.tensor([128.0, 1.5**7, 1.0, 0.0], dtype=torch.float64))


def test_initial_noise_is_independent_or_shared() -> None:
    shape = (2, 6, 4, 16, 16)
    independent = initial_noise(shape, SamplerSettings(sigma_max=10.0), torch.Generator().manual_seed(0))
    assert independent.std().item() == pytest.approx(10.0, rel=0.02)
    shared = initial_noise(shape, SamplerSettings(noise="shared"), torch.Generator().manual_seed(0))
    assert torch.equal(shared[:, 0], shared[:, 5])
    assert not torch.equal(shared[0], shared[1])


def test_progress_wraps_the_steps() -> None:
    done: list[int] = []

    def bar(steps: Iterator[int]) -> Iterator[int]:
        for step in steps:
            yield step
            done.append(step)

    sample(_denoise, torch.ones(1), karras_sigmas(3, 0.1, 1.0), EULER, progress=bar)
    assert done == [0, 1, 2]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="steps"):
        SamplerSettings(steps=0)
    with pytest.raises(ValueError, match="sigma_min"):
        SamplerSettings(sigma_min=0.0)
    with pytest.raises(ValueError, match="s_tmax"):
        SamplerSettings(s_tmin=2.0, s_tmax=1.0)
