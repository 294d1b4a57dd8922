"""Batches and results of encoders' pretraining, on pictures whose contents are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.training.encoder_task import EncoderTask
from jobs.training.sample_order import Draw, Pass
from jobs.training.settings import LoopSettings, PretrainSettings
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings
from stableanimator.pretraining_settings import PretrainingSettings

ENCODERS = EncoderSettings(
    vae=VAESettings(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=3, scaling_factor=1.0, norm_groups=8
    ),
    clip=CLIPSettings(
        hidden_size=16, intermediate_size=32, layers=1, heads=2, image_size=16, patch_size=8, projection_dim=8
    ),
)
SETTINGS = PretrainSettings(
    loop=LoopSettings(steps=10, batch_size=8, seed=4), step=PretrainingSettings(crop=8, own_codes_from=0.5)
)


@pytest.fixture
def task(tmp_path: Path) -> EncoderTask:
    """Five pairs of pictures of 16x24; the first of pair n has red n, rows in green and columns in blue; the second is
    white."""
    pictures = np.full((5, 2, 16, 24, 3), 255, np.uint8)
    for number in range(5):
        pictures[number, 0, ..., 0] = number
        pictures[number, 0, ..., 1] = np.arange(16)[:, None]
        pictures[number, 0, ..., 2] = np.arange(24)
    (tmp_path / "train.u8").write_bytes(pictures.tobytes())
    (tmp_path / "train.json").write_text(json.dumps({"pairs": 5, "height": 16, "width": 24}))
    return EncoderTask(SETTINGS, ENCODERS, tmp_path / "train", None)


def _piece(step: int, *indices: int) -> Pass:
    return Pass(step, 8, tuple(Draw(place, index, 0) for place, index in enumerate(indices)))


def _levels(pictures: torch.Tensor) -> np.ndarray:
    return ((pictures + 1) * 127.5).round().to(torch.int).numpy()


def test_a_batch_has_the_pictures_their_partners_and_squares_of_them(task: EncoderTask) -> None:
    batch = task.load(_piece(0, 3, 1))
    assert _levels(batch.pictures)[:, 0, 0, 0].tolist() == [3, 1]
    assert bool((batch.partners == 1).all())
    red, rows, columns = _levels(batch.crops).transpose(1, 0, 2, 3)
    assert red[:, 0, 0].tolist() == [3, 1]
    np.testing.assert_array_equal(np.diff(rows, axis=1), 1)
    np.testing.assert_array_equal(np.diff(columns, axis=2), 1)
    assert rows.shape == (2, 8, 8)
    assert batch.noise.shape == (2, 3, 4, 4)


def test_a_pass_gives_the_same_batch_again_and_another_epoch_another(task: EncoderTask) -> None:
    first, again = task.load(_piece(0, 3)), task.load(_piece(0, 3))
    torch.testing.assert_close(first.crops, again.crops, rtol=0, atol=0)
    torch.testing.assert_close(first.noise, again.noise, rtol=0, atol=0)
    later = task.load(Pass(0, 8, (Draw(0, 3, 1),)))
    assert not torch.equal(first.noise, later.noise)


def test_the_decoder_reads_its_own_latents_in_the_second_half(task: EncoderTask) -> None:
    assert [task.load(_piece(step, 0)).own_codes for step in (0, 4, 5, 9)] == [False, False, True, True]


def test_what_is_exported_encodes_as_the_trained_module(task: EncoderTask, tmp_path: Path) -> None:
    module = task.build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.01)
    task.export(tmp_path / "out", module.state_dict())
    encoders = Encoders(EncoderSettings(svd=str(tmp_path / "out")))
    pictures = task.load(_piece(0, 0, 1)).pictures
    with torch.no_grad():
        wanted = module.vae.encode(pictures).latent_dist.mode()
    torch.testing.assert_close(encoders.encode(pictures), wanted, rtol=0, atol=5e-3)  # 16 bits
