"""SA++ Eq. 15-24, which say why Algorithm 1 may change the predicted sample: the control problem solved by other means,
its limit, and the sampler's slope beside that.

The problem (Eq. 16): dX = c dt from X_0; what it costs is half the integral of |c|^2 over t from 0 to 1, and
r / 2 |X_1 - x_1|^2. The paper's answer (Eq. 20) is `control`. Time t is 1 - sigma.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad, solve_ivp
from scipy.optimize import minimize
from torch import Tensor

from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.diffusion.settings import Correction, SamplerSettings

pytestmark = pytest.mark.numeric

Values = NDArray[np.float64]

START, TARGET = np.array([2.0, -1.0, 0.5]), np.array([-1.0, 0.3, 0.0])
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def control(x: Values, t: float, target: Values, r: float) -> Values:
    """Eq. 20: r (x_1 - X_t) / (1 + r (1 - t))."""
    return r * (target - x) / (1 + r * (1 - t))


@pytest.mark.parametrize("r", [0.3, 1.0, 20.0, 1e4])
def test_it_is_the_feedback_of_the_hjb_equation(r: float) -> None:
    """With V = P(t) / 2 |x - x_1|^2, Eq. 15 (as a cost: V_t + min_c [|c|^2 / 2 + V_x c] = 0) is Riccati's P' = P^2 with
    P(1) = r, and the minimum is at c = -P (x - x_1)."""
    solution = solve_ivp(lambda t, p: p**2, (1.0, 0.0), [r], method="Radau", dense_output=True, **TIGHT)
    for t in np.linspace(0, 1, 11):
        expected = -solution.sol(t)[0] * (START - TARGET)
        np.testing.assert_allclose(control(START, t, TARGET, r), expected, rtol=1e-6)


@pytest.mark.parametrize("r", [0.3, 2.0, 50.0])
def test_no_other_control_costs_less(r: float) -> None:
    """200 free values of the control, found by a general minimiser that knows the cost alone, against Eq. 20 along a
    fine integration of its own path."""
    pieces = 200

    def cost(flat: Values) -> tuple[float, Values]:
        c = flat.reshape(pieces, -1)
        end = START + c.mean(0)
        gradient = c / pieces + r * (end - TARGET) / pieces
        return float(0.5 * np.square(c).sum() / pieces + 0.5 * r * np.square(end - TARGET).sum()), gradient.ravel()

    found = minimize(cost, np.zeros(pieces * 3), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
    path = solve_ivp(lambda t, x: control(x, t, TARGET, r), (0, 1), START, dense_output=True, **TIGHT)
    middles = (np.arange(pieces) + 0.5) / pieces
    ours = np.stack([control(path.sol(t), t, TARGET, r) for t in middles])
    np.testing.assert_allclose(ours, found.x.reshape(pieces, 3), atol=1e-4)
    assert cost(ours.ravel())[0] == pytest.approx(found.fun, rel=1e-8)
    np.testing.assert_allclose(ours, np.broadcast_to(ours[0], ours.shape), rtol=1e-7)  # Eq. 19: gamma is constant
    generator = np.random.default_rng(0)
    for size in (0.01, 0.1, 1.0):
        other = ours + size * generator.normal(size=ours.shape)
        assert cost(other.ravel())[0] > cost(ours.ravel())[0]


def test_noise_leaves_the_best_feedback_as_it_is() -> None:
    """Certainty equivalence (before Eq. 21): of all multiples of Eq. 20, that itself costs least when dw is added."""
    r, steps, runs = 5.0, 200, 4000
    noise = np.random.default_rng(1).normal(size=(steps, runs)) / steps**0.5

    def cost(scale: float) -> float:
        x, total = np.full(runs, 1.0), np.zeros(runs)
        for step in range(steps):
            c = scale * control(x, step / steps, np.zeros(runs), r)
            total += 0.5 * c**2 / steps
            x = x + c / steps + noise[step]
        return float((total + 0.5 * r * x**2).mean())

    costs = {scale: cost(scale) for scale in (0.5, 0.8, 1.0, 1.25, 2.0)}
    assert min(costs, key=lambda scale: costs[scale]) == 1.0


def test_the_larger_r_the_nearer_to_the_wish_and_the_limit_hits_it() -> None:
    """X_1 misses x_1 by (X_0 - x_1) / (1 + r), and the control differs from (x_1 - X) / (1 - t) by 1 / (r (1 - t))."""
    for r in (1.0, 10.0, 1000.0):
        end = solve_ivp(lambda t, x, r=r: control(x, t, TARGET, r), (0, 1), START, **TIGHT).y[:, -1]
        np.testing.assert_allclose(end - TARGET, (START - TARGET) / (1 + r), rtol=1e-5)
    limit = (TARGET - START) / (1 - 0.4)
    for r in (1e3, 1e6):
        np.testing.assert_allclose(control(START, 0.4, TARGET, r) / limit, 1 - 1 / (1 + 0.6 * r), rtol=1e-12)


def test_the_limit_with_noise_is_the_bridge() -> None:
    """Eq. 21: from X_0 to x_1, with the mean on the straight line and the variance t (1 - t) of a Brownian bridge."""
    steps, runs = 1000, 20_000
    generator, x = np.random.default_rng(2), np.full(20_000, 2.0)
    for step in range(steps // 2):
        x += control(x, step / steps, np.full(runs, -1.0), 1e12) / steps + generator.normal(size=runs) / steps**0.5
    assert x.mean() == pytest.approx(0.5, abs=5 * 0.5 / runs**0.5)
    assert x.var() == pytest.approx(0.25, rel=0.05)


WEIGHTS, CENTRES, SPREADS = np.array([0.3, 0.7]), np.array([-1.0, 0.8]), np.array([0.2, 0.4])


def _density(x: float, sigma: float) -> float:
    """Of two normal lumps seen through noise of level sigma."""
    width = np.hypot(SPREADS, sigma)
    return float((WEIGHTS * np.exp(-0.5 * ((x - CENTRES) / width) ** 2) / (width * np.sqrt(2 * np.pi))).sum())


def _posterior_mean(x: float, sigma: float) -> float:
    """E[X_1 | X_t = x] by quadrature over X_1."""

    def joint(clean: float) -> float:
        return _density(clean, 0.0) * float(np.exp(-0.5 * ((x - clean) / sigma) ** 2))

    points = {"points": [-1.0, 0.8, float(np.clip(x, -4, 4))], "limit": 200}
    return float(quad(lambda clean: clean * joint(clean), -5, 5, **points)[0] / quad(joint, -5, 5, **points)[0])


def _score(x: float, sigma: float) -> float:
    """Of the noisy density, by a central difference."""
    step = 1e-5
    return (np.log(_density(x + step, sigma)) - np.log(_density(x - step, sigma))) / (2 * step)


@pytest.mark.parametrize("t", [0.2, 0.6, 0.9])
def test_the_limit_towards_the_expected_sample_is_the_score_of_the_noisy_data(t: float) -> None:
    """Eq. 22-24: x_1 = E[X_1 | X_t] = X + (1 - t)^2 score, so the limit's drift is (1 - t) score."""
    for x in (-1.5, -0.2, 0.5, 2.0):
        expected = _posterior_mean(x, 1 - t)
        assert x + (1 - t) ** 2 * _score(x, 1 - t) == pytest.approx(expected, abs=1e-6)
        drift = control(np.array([x]), t, np.array([expected]), 1e12)[0]
        assert drift == pytest.approx((1 - t) * _score(x, 1 - t), abs=1e-5)


@pytest.mark.parametrize("correction", ["euler", "carried", "plain"])
def test_the_samplers_slope_is_the_limit_towards_what_the_hook_wants(correction: Correction) -> None:
    """With t = 1 - sigma the step goes by (sigma - sigma') times (x_op - x) / sigma: Eq. 20 with r without end. The
    second-order correction takes the mean of this at both ends of the step."""
    wish = torch.tensor([0.7, -0.4], dtype=torch.float64)
    mean, x = torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([1.5, -2.0], dtype=torch.float64)
    high, low, r = 0.8, 0.5, 1e12
    ends: list[Tensor] = []

    def denoise(at: Tensor, sigma: Tensor) -> Tensor:
        ends.append(at)
        return mean + 0.3 * (at - mean)

    def hook(x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        return wish if sigma == high else x_pred

    sigmas = torch.tensor([high, low], dtype=torch.float64)
    result = sample(denoise, x, sigmas, SamplerSettings(), hook=hook, correction=correction)
    first = control(x.numpy(), 1 - high, wish.numpy(), r)
    euler = x.numpy() + (high - low) * first
    if correction == "euler":
        np.testing.assert_allclose(result.numpy(), euler, rtol=1e-9)
        return
    plain = mean.numpy() + 0.3 * (euler - mean.numpy())
    moved = wish.numpy() - (mean.numpy() + 0.3 * (x.numpy() - mean.numpy()))
    second = control(euler, 1 - low, plain + (moved if correction == "carried" else 0), r)
    np.testing.assert_allclose(ends[-1].numpy(), euler, rtol=1e-9)
    np.testing.assert_allclose(result.numpy(), x.numpy() + (high - low) * (first + second) / 2, rtol=1e-9)


def test_the_sampler_integrates_eq_24_without_its_noise() -> None:
    """From sigma 1 to 0.02, by a solver that takes the score by differences of the density."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.tensor([_posterior_mean(float(x), float(sigma))], dtype=torch.float64)

    for start in (-1.2, 0.4):
        sigmas = karras_sigmas(40, 0.02, 1.0)[:-1]
        ours = sample(denoise, torch.tensor([start], dtype=torch.float64), sigmas, SamplerSettings())
        flow = solve_ivp(lambda t, x: [(1 - t) * _score(x[0], 1 - t)], (0.0, 0.98), [start], rtol=1e-7, atol=1e-9)
        assert float(ours) == pytest.approx(flow.y[0, -1], abs=2e-3)


def test_the_noise_of_eq_24_is_not_that_of_the_reverse_process() -> None:
    """The paper calls both "structurally the same". For normal data of deviation S, the variances say what that means:
    the drift alone ends at S^2, as does the reverse process (twice the drift, noise of sqrt(2 sigma)); Eq. 24 as
    printed, with unit noise, does not."""
    spread = 0.3

    def variance(drift: float, noise: float | None) -> float:
        def change(t: float, v: Values) -> Values:
            sigma = 1 - t
            added = 2 * sigma if noise is None else noise
            return -2 * drift * sigma / (spread**2 + sigma**2) * v + added

        return float(solve_ivp(change, (0, 1), [spread**2 + 1], **TIGHT).y[0, -1])

    assert variance(drift=1, noise=0.0) == pytest.approx(spread**2, rel=1e-6)
    assert variance(drift=2, noise=None) == pytest.approx(spread**2, rel=1e-6)
    assert variance(drift=1, noise=1.0) > 2 * spread**2
