"""Pretraining of encoders: the linear code against scikit-learn-free algebra, the losses against hand-made values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stableanimator.models.encoders import Encoders, random_encoders, save_encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings
from stableanimator.models.spatio_temporal import begin_without_time, leave_time_out
from stableanimator.pretraining import (
    EncoderPair,
    PretrainingBatch,
    patch_basis,
    reconstruction_loss,
    without_sampling,
)
from stableanimator.pretraining_settings import PretrainingSettings

SIZES = EncoderSettings(
    vae=VAESettings(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=3, scaling_factor=1.0, norm_groups=8
    ),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=32, layers=1, heads=2, image_size=16, patch_size=8, projection_dim=8
    ),
)


def _pictures(count: int = 12) -> torch.Tensor:
    """Smooth, so that few components hold most of a patch."""
    coarse = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear").clamp(-1, 1)


def _patches(pictures: torch.Tensor) -> np.ndarray:
    """Every 2x2 patch as 12 numbers, by loops: channel, row, column."""
    array = pictures.numpy().astype(np.float64)
    return np.array(
        [
            picture[:, y : y + 2, x : x + 2].reshape(-1)
            for picture in array
            for y in range(0, 16, 2)
            for x in range(0, 16, 2)
        ]
    )


def test_the_codes_hold_what_the_strongest_singular_vectors_hold() -> None:
    pictures = _pictures()
    basis = patch_basis(pictures, 2, 3, whitening=1.0)
    codes = basis.codes(pictures).permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    np.testing.assert_allclose(codes.T @ codes / len(codes), np.eye(3), atol=1e-4)  # whitened
    patches = _patches(pictures)
    centred = patches - patches.mean(0)
    _, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    unexplained = centred - codes @ np.linalg.lstsq(codes, centred, rcond=None)[0]
    assert (unexplained**2).sum() == pytest.approx((spreads[3:] ** 2).sum(), rel=1e-3)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_whitening_brings_the_channels_together(whitening: float) -> None:
    pictures = _pictures()
    spread = patch_basis(pictures, 2, 3, whitening).codes(pictures).std((0, 2, 3), correction=0)
    patches = _patches(pictures)
    singular = np.linalg.svd(patches - patches.mean(0), compute_uv=False)[:3]
    wanted = singular ** (1 - whitening)
    np.testing.assert_allclose(spread / spread[0], wanted / wanted[0], rtol=1e-3)
    assert float(spread.square().mean()) == pytest.approx(1, rel=1e-3)


def test_more_channels_than_a_patch_has_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="2x2 have 12 numbers, fewer than 13"):
        patch_basis(_pictures(), 2, 13, 1.0)


def test_the_reconstruction_loss_of_a_step() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    decoded = torch.zeros(1, 3, 2, 2)
    decoded[..., 1] = 0.5  # the right column: mean |e| 0.25, mean e^2 0.125, one of two directions differs by 0.5
    assert float(reconstruction_loss(decoded, truth, 2.0, 4.0)) == pytest.approx(0.25 + 2 * 0.5 + 4 * 0.125)


def _pair(settings: PretrainingSettings) -> EncoderPair:
    vae, clip = random_encoders(SIZES)
    begin_without_time(vae)
    leave_time_out(vae)
    without_sampling(vae)
    return EncoderPair(vae, clip, patch_basis(_pictures(), 2, 3, settings.whitening), settings)


def _batch(own_codes: bool = False) -> PretrainingBatch:
    pictures = _pictures()
    noise = torch.zeros(12, 3, 8, 8)
    return PretrainingBatch(
        pictures=pictures, partners=pictures.flip(-1), crops=pictures, noise=noise, own_codes=own_codes
    )


def test_pictures_that_all_look_alike_are_told_by_chance() -> None:
    batch = _batch()
    same = PretrainingBatch(
        pictures=batch.pictures[:1].expand(12, -1, -1, -1),
        partners=batch.pictures[:1].expand(12, -1, -1, -1),
        crops=batch.crops,
        noise=batch.noise,
        own_codes=False,
    )
    assert float(_pair(PretrainingSettings(crop=16)).contrast(same)) == pytest.approx(math.log(12), rel=1e-4)


def test_training_brings_the_latents_to_the_codes_and_decodes_them(tmp_path: object) -> None:
    pair = _pair(PretrainingSettings(crop=16, latent_noise=0.0))
    optimiser = torch.optim.Adam(pair.parameters(), 3e-3)
    first = None
    for step in range(150):
        loss = pair(_batch(own_codes=step > 75))
        first = float(loss) if first is None else first
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert first is not None
    assert float(loss) < 0.5 * first
    save_encoders(str(tmp_path), pair.vae, pair.clip, half=False)
    encoders = Encoders(EncoderSettings(svd=str(tmp_path)))
    pictures = _pictures()
    codes = patch_basis(pictures, 2, 3, 0.5).codes(pictures)
    error = (encoders.encode(pictures) - codes).square().mean() / codes.var()
    assert float(error) < 0.2
    decoded = encoders.decode(encoders.encode(pictures)).detach()
    assert float((decoded - pictures).square().mean() / pictures.var()) < 0.3


def test_saved_encoders_have_their_own_number_of_groups(tmp_path: object) -> None:
    vae, clip = random_encoders(SIZES)
    pictures = _pictures()[:2]
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist.mode()
    save_encoders(str(tmp_path), vae, clip, half=False)
    torch.testing.assert_close(Encoders(EncoderSettings(svd=str(tmp_path))).encode(pictures), before)
