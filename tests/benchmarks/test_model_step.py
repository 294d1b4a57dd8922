"""A step from shards and one that encodes on the fly begin with the same sample."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.model_cost import SIZES
from benchmarks.model_step import _ENCODERS, _MODEL, _SIZE, _STEP, draw, encode, encoded_row, encoding_share
from pipelines.shard_reader import ShardRows
from stableanimator.models.animator import ModelSettings
from stableanimator.models.encoders import Encoders, EncoderSettings
from stableanimator.training import ShardRow, generator, make_sample


def test_both_steps_learn_from_the_same_sample(tmp_path: Path) -> None:
    drawn, encoders = draw(tmp_path / "clip.mp4"), Encoders(_ENCODERS)
    stored = ShardRows(encode(tmp_path / "root", drawn, encoders), "train")[0]
    fresh = encoded_row(drawn, encoders)
    for field in fields(ShardRow):
        np.testing.assert_array_equal(getattr(stored, field.name), getattr(fresh, field.name))
    sample = make_sample(stored, _STEP, generator(0))
    assert sample.latents.shape == (1, 16, 4, 16, 16)
    assert sample.face_mask.any()
    assert (sample.conditioning.pose > -1).any()  # somebody is drawn
    assert torch.isfinite(sample.latents).all()


@pytest.mark.slow
def test_encoding_has_no_greater_share_than_at_full_size() -> None:
    with FakeTensorMode():
        here = encoding_share(_MODEL, _ENCODERS, _SIZE)
        full = encoding_share(ModelSettings(), EncoderSettings(), SIZES[0])
    assert 0.75 * full < here <= full
