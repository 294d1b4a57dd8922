"""The train job refuses a model that does not fit its shards before anything starts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.train import NAMED_OTHERWISE, check_model, start_weights
from jobs.training.settings import TrainSettings, deciding
from pipelines.shards.reader import ShardShapes
from stableanimator.alignment.settings import MisalignmentSettings
from stableanimator.errors import ConfigError, WeightsError
from stableanimator.models.settings import ModelSettings
from stableanimator.training_settings import TrainingSettings

SHAPES = ShardShapes(frames=16, latent_channels=4, factor=8, image_width=1024, face_width=512)


def test_the_released_sizes_fit() -> None:
    check_model(SHAPES, ModelSettings(), TrainSettings())


@pytest.mark.parametrize(
    ("shapes", "settings", "message"),
    [
        (
            replace(SHAPES, latent_channels=8),
            TrainSettings(),
            "model.unet.latent_channels: the model has 4, the shards",
        ),
        (
            replace(SHAPES, face_width=128),
            TrainSettings(),
            r"model.face_encoder.embedding_width: the model has 512, .*128",
        ),
        (replace(SHAPES, factor=4), TrainSettings(), "model.pose_net.widths"),
        (replace(SHAPES, image_width=32), TrainSettings(), "model.unet.cross_attention_dim"),
        (replace(SHAPES, frames=8), TrainSettings(), "train.step.frames: 16 frames, and the shards' rows have 8"),
        (
            SHAPES,
            TrainSettings(aligner=None, step=TrainingSettings(misalignment=MisalignmentSettings())),
            "train.aligner: .* needs an aligner",
        ),
    ],
)
def test_what_does_not_fit_is_named(shapes: ShardShapes, settings: TrainSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_model(shapes, ModelSettings(), settings)


def test_shards_and_aligner_name_the_run_by_their_ids_alone() -> None:
    here, there = TrainSettings(shards="latest"), TrainSettings(shards="abc", aligner=None, name="x")
    assert deciding(here, NAMED_OTHERWISE) == deciding(there, NAMED_OTHERWISE)


def test_a_start_is_named_by_its_weights_and_not_by_its_place(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "unet.safetensors").write_bytes(b"weights")
    here, there = (start_weights(str(tmp_path / name)) for name in ("here", "there"))
    assert here == there == {"unet.safetensors": hashlib.sha256(b"weights").hexdigest()}
    started = TrainSettings(start=str(tmp_path / "here"))
    assert deciding(started, NAMED_OTHERWISE) == deciding(TrainSettings(), NAMED_OTHERWISE)
    (tmp_path / "there" / "unet.safetensors").write_bytes(b"others")
    assert start_weights(str(tmp_path / "there")) != here
    assert start_weights(None) is None
    with pytest.raises(WeightsError, match=r"train.start: .* holds no weights"):
        start_weights(str(tmp_path / "nowhere"))
