"""Batches and results of distillation, on pictures whose contents are known."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.training.distill_task import DistillTask
from jobs.training.sample_order import Draw, Pass
from jobs.training.settings import DistillSettings, LoopSettings
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings

ENCODERS = EncoderSettings(
    vae=VAESettings(block_out_channels=(32, 32), layers_per_block=1, latent_channels=3, scaling_factor=1.0),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=32, layers=1, heads=2, image_size=16, patch_size=8, projection_dim=8
    ),
)
SETTINGS = DistillSettings(
    width=8, blocks=1, crop=8, latent_noise=0.5, loop=LoopSettings(steps=10, batch_size=8, seed=4)
)


@pytest.fixture
def task(tmp_path: Path) -> DistillTask:
    """Five pairs of pictures of 16x24: pair n has red n, rows in green, columns in blue; the second is bluer by 100."""
    pictures = np.zeros((5, 2, 16, 24, 3), np.uint8)
    pictures[..., 0] = np.arange(5)[:, None, None, None]
    pictures[..., 1] = np.arange(16)[:, None]
    pictures[..., 2] = np.arange(24) + np.array([0, 100])[:, None, None]
    (tmp_path / "train.u8").write_bytes(pictures.tobytes())
    (tmp_path / "train.json").write_text(json.dumps({"pairs": 5, "height": 16, "width": 24}))
    return DistillTask(SETTINGS, ENCODERS, 2, 3, tmp_path / "train", None)


def _piece(*indices: int) -> Pass:
    return Pass(0, 8, tuple(Draw(place, index, 0) for place, index in enumerate(indices)))


def test_a_batch_has_squares_of_both_pictures_and_noise_of_their_latents(task: DistillTask) -> None:
    squares, noise = task.load(_piece(*[3, 1] * 20))
    red, rows, columns = ((squares + 1) * 127.5).round().int().numpy().transpose(1, 0, 2, 3)
    assert red[:, 0, 0].tolist() == [3, 1] * 20
    np.testing.assert_array_equal(np.diff(rows, axis=1), 1)
    np.testing.assert_array_equal(np.diff(columns, axis=2), 1)
    assert rows.shape == (40, 8, 8)
    assert noise.shape == (40, 3, 4, 4)
    assert 0.02 < float(noise.std(dim=(1, 2, 3)).min()) < float(noise.std(dim=(1, 2, 3)).max()) < 0.75
    again = [task.load(Pass(0, 8, (Draw(0, 3, epoch),))) for epoch in range(8)]
    torch.testing.assert_close(task.load(_piece(3))[0], again[0][0], rtol=0, atol=0)
    bluest = [float((batch[0][0, 2].min() + 1) * 127.5) for batch in again]
    assert min(bluest) < 99 < max(bluest)


def test_batches_are_prepared_without_the_vae(task: DistillTask) -> None:
    task.load(_piece(0))
    assert "teacher" not in vars(task)
    assert "pictures" not in vars(pickle.loads(pickle.dumps(task)))


def test_the_loss_is_that_of_what_the_vae_shows_and_trains_the_student_alone(task: DistillTask) -> None:
    module, batch = task.build(), task.load(_piece(0, 1))
    loss = task.loss(module, batch, _piece(0, 1), torch.device("cpu"))
    encoders = Encoders(ENCODERS)
    latents = encoders.encode(batch[0]) + batch[1]
    with torch.no_grad():
        wanted = (module.decoder(latents) - encoders.decode(latents, 1)).square().mean()
    assert float(loss.detach()) == pytest.approx(float(wanted), rel=1e-5)
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert all(parameter.grad is None for parameter in task.teacher.parameters())


def test_what_is_exported_decodes_as_the_trained_module(task: DistillTask, tmp_path: Path) -> None:
    module = task.build()
    torch.testing.assert_close(module.state_dict(), task.build().state_dict(), rtol=0, atol=0)
    task.export(tmp_path / "out", module.state_dict())
    settings = EncoderSettings(vae=ENCODERS.vae, clip=ENCODERS.clip, tiny_decoder=str(tmp_path / "out"))
    latents = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        wanted = module.decoder(latents)
    torch.testing.assert_close(Encoders(settings).decode_tiny(latents), wanted, rtol=0, atol=5e-3)  # 16 bits
