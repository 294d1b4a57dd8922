"""A step from shards and one that encodes on the fly begin with the same sample."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.model.cost import FRAMES, SIZES
from benchmarks.model.step import PROPORTIONAL, Widths, draw, encode, encoded_row, encoding_share, tiny
from pipelines.shards.reader import ShardRows
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, ModelSettings
from stableanimator.training import ShardRow, generator, make_sample


@pytest.mark.parametrize("widths", [PROPORTIONAL, tiny()], ids=["proportional", "tiny"])
def test_both_steps_learn_from_the_same_sample(widths: Widths, tmp_path: Path) -> None:
    drawn, encoders = draw(tmp_path / "clip.mp4", widths), Encoders(widths.encoders)
    stored = ShardRows(encode(tmp_path / "root", drawn, encoders, widths), "train")[0]
    fresh = encoded_row(drawn, encoders, widths)
    for field in fields(ShardRow):
        np.testing.assert_array_equal(getattr(stored, field.name), getattr(fresh, field.name))
    sample = make_sample(stored, widths.step, generator(0))
    factor = encoders.factor
    shape = (1, widths.step.frames, encoders.latent_channels, widths.size[0] // factor, widths.size[1] // factor)
    assert sample.latents.shape == shape
    assert sample.face_mask.any()
    assert (sample.conditioning.pose > -1).any()  # somebody is drawn
    assert torch.isfinite(sample.latents).all()


def test_encoding_has_no_greater_share_than_at_full_size() -> None:
    with FakeTensorMode():
        here = encoding_share(PROPORTIONAL.model, PROPORTIONAL.encoders, PROPORTIONAL.size, FRAMES)
        full = encoding_share(ModelSettings(), EncoderSettings(), SIZES[0], FRAMES)
    assert 0.75 * full < here <= full
