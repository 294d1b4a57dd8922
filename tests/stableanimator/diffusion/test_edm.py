from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stableanimator.diffusion.edm import (
    add_noise,
    augment_reference,
    diffusion_loss,
    draw_sigmas,
    edm_weight,
    preconditioning,
    sigma_at,
)
from stableanimator.diffusion.settings import EDMSettings, LossSettings

sigmas = st.floats(0.002, 700.0).map(lambda value: torch.tensor(value, dtype=torch.float64))


@given(sigmas)
def test_preconditioning_identities_of_edm(sigma: torch.Tensor) -> None:
    """EDM appendix B.6 at sigma_data 1: unit-variance input and target, and a weight that cancels c_out."""
    c = preconditioning(sigma)
    assert (c.c_in**2 * (sigma**2 + 1)).item() == pytest.approx(1.0)
    assert (c.c_out**2).item() == pytest.approx(((1 - c.c_skip) ** 2 + (c.c_skip * sigma) ** 2).item())
    assert (edm_weight(sigma) * c.c_out**2).item() == pytest.approx(1.0)


def test_preconditioning_at_known_levels() -> None:
    c = preconditioning(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(c.c_skip, torch.tensor([0.5, 0.1]))
    torch.testing.assert_close(c.c_out, torch.tensor([-(0.5**0.5), -3 / 10**0.5]))
    torch.testing.assert_close(c.c_in, torch.tensor([0.5**0.5, 0.1**0.5]))
    torch.testing.assert_close(c.c_noise, torch.tensor([0.0, 0.27465307]))  # ln 3 / 4


def test_noise_schedule_ends_at_its_limits_and_falls() -> None:
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)
    levels = sigma_at(u, EDMSettings())
    assert levels[0].item() == pytest.approx(700.0, rel=1e-9)
    assert levels[-1].item() == pytest.approx(0.002, rel=1e-9)
    assert bool((levels.diff() < 0).all())


def test_lognormal_noise_has_the_mean_and_spread_that_it_is_given() -> None:
    settings = EDMSettings(distribution="lognormal", log_mean=0.7, log_deviation=1.4)
    levels = draw_sigmas(20_000, settings, torch.Generator().manual_seed(0)).log()
    assert levels.mean().item() == pytest.approx(0.7, abs=0.01)
    assert levels.std().item() == pytest.approx(1.4, rel=0.01)
    ends = sigma_at(torch.tensor([0.0, 1.0], dtype=torch.float64), settings)
    assert ends.tolist() == pytest.approx([700.0, 0.002])


def test_draws_are_stratified_and_reproducible() -> None:
    settings = EDMSettings()
    levels = draw_sigmas(8, settings, torch.Generator().manual_seed(0))
    edges = sigma_at(torch.arange(9, dtype=torch.float64) / 8, settings).float()
    assert levels.dtype == torch.float32
    assert bool(((levels <= edges[:-1]) & (levels >= edges[1:])).all())
    assert torch.equal(levels, draw_sigmas(8, settings, torch.Generator().manual_seed(0)))


def test_noise_is_added_at_each_clips_level() -> None:
    x = torch.randn(2, 3, 4, 2, 2)
    noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(7))
    noisy = add_noise(x, torch.tensor([0.0, 3.0]), torch.Generator().manual_seed(7))
    assert torch.equal(noisy[0], x[0])
    torch.testing.assert_close(noisy[1], x[1] + 3.0 * noise[1])


def test_the_reference_is_augmented_in_the_picture() -> None:
    augmented = augment_reference(torch.full((1, 3, 64, 64), 0.5), 0.02, torch.Generator().manual_seed(0))
    assert augmented.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert augmented.std().item() == pytest.approx(0.02, rel=0.03)


def _loss_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """One clip, one frame, two channels, 1x2 latents; errors 1 and 3; the second place is a face."""
    predicted = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).reshape(1, 1, 2, 1, 2)
    return predicted, torch.zeros_like(predicted), torch.tensor([2.0]), torch.tensor([0, 1]).reshape(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (LossSettings(sigma_weight="none"), (1 + 4 * 9) / 2),  # Eq. 25: the error times (1 + M), squared
        (LossSettings(sigma_weight="none", mask_power=1), (1 + 2 * 9) / 2),  # released
        (LossSettings(sigma_weight="none", face_mask=False), (1 + 9) / 2),
        (LossSettings(), 1.25 * (1 + 4 * 9) / 2),  # (1 + 2^2) / 2^2 = 1.25
    ],
)
def test_equation_25_by_hand(settings: LossSettings, expected: float) -> None:
    predicted, truth, sigma, mask = _loss_inputs()
    loss = diffusion_loss(predicted, truth, sigma, mask.to(torch.uint8), settings)
    assert loss.tolist() == pytest.approx([expected])


def test_hands_weigh_by_themselves() -> None:
    predicted, truth, sigma, mask = _loss_inputs()
    settings = LossSettings(sigma_weight="none", hand_weight=10.0)
    for hands, expected in ((mask, (1 + 10 * 4 * 9) / 2), (1 - mask, (10 * 1 + 4 * 9) / 2)):
        assert diffusion_loss(predicted, truth, sigma, mask, settings, hands).tolist() == pytest.approx([expected])
    with pytest.raises(ValueError, match="hand_weight must be above 0"):
        LossSettings(hand_weight=0.0)


def test_a_missing_mask_reads_as_no_face() -> None:
    predicted, truth, sigma, mask = _loss_inputs()
    without = diffusion_loss(predicted, truth, sigma, None, LossSettings())
    torch.testing.assert_close(without, diffusion_loss(predicted, truth, sigma, torch.zeros_like(mask), LossSettings()))


def test_each_clip_has_its_own_loss() -> None:
    predicted = torch.stack([torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0)])
    loss = diffusion_loss(predicted, torch.zeros_like(predicted), torch.tensor([1.0, 0.5]), None, LossSettings())
    np.testing.assert_allclose(loss, [1 * 2, 4 * 5], rtol=1e-6)


def test_levels_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_min"):
        EDMSettings(sigma_min=1.0, sigma_max=0.5)
