"""What a plan says of rows and bytes, against what encoding then wrote (see test_encode for the latter's contents)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.shards.encode_plan import (
    Amount,
    EncoderShapes,
    amount_of,
    encoder_shapes,
    planned_bytes,
    require_space,
)
from pipelines.shards.measured import measured_clip
from pipelines.shards.plan import plan_clip
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import VideoRows
from pipelines.storage.store import Store
from pipelines.storage.tables import FRAMES
from stableanimator.errors import StorageError, WeightsError
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import CLIPSettings, EncoderSettings, VAESettings

SHAPES = EncoderShapes(factor=8, latent_channels=4, embedding_width=10)


def _frames(count: int) -> pa.Table:
    pose = np.full(399, 20.0).tolist()
    face = {"face_boxes": [[10, 10, 20, 20]], "face_embedding": [0.0] * 6}
    rows = [
        {"shot_id": "v:0-9", "frame_index": i, "time": i / 8, "keypoints": [pose] * (1 + (i == 3)), **face}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, FRAMES)


CLIP: dict[str, Any] = {"shot_id": "v:0-9", "video_id": "v", "split": "train", "height": 64, "width": 64}
SETTINGS = EncodeSettings(buckets=((32, 64), (64, 64)), frames_per_row=3, reference_count=2, gpus_per_actor=0)


def test_bytes_of_a_row_by_hand() -> None:
    # Six frames, two rows of three; candidates are 0 and 5, of which each row has the one that is not in it.
    plan = plan_clip(measured_clip(CLIP, _frames(6)), SETTINGS)
    texts = 5 + 1 + 5 + 5 + 6 + 64  # shot_id, video_id, "train", "64x64", "centre", a SHA-256
    latents = 3 * 4 * 8 * 8 * 2 + 1 * 4 * 8 * 8 * 2
    embeddings = 10 * 2 + 6 * 2
    texts += 5 + 6  # of the reference: shot_id, "centre"
    numbers = 3 * 4 + 1 * 4 + 4 + 8 + 4  # frame_index, reference_index, stride, fps, people
    mask = 3 * 8 * 8 + 1  # and three bits of face_present
    poses = [(3 * people + 1) * 133 * 3 * 4 for people in (1, 2)]
    expected = sum(texts + latents + embeddings + numbers + mask + each for each in poses)
    assert planned_bytes(plan, SHAPES, SETTINGS) == expected
    clips = pa.Table.from_pylist([CLIP, CLIP | {"shot_id": "other"}])
    amount = amount_of(VideoRows(video_id="v", clips=clips, frames=_frames(6)), SHAPES, SETTINGS)
    assert amount.rows == 2  # the other has no frames


def test_every_stride_counts() -> None:
    both = replace(SETTINGS, strides=(1, 2))
    video = VideoRows(video_id="v", clips=pa.Table.from_pylist([CLIP]), frames=_frames(7))
    assert [amount_of(video, SHAPES, each).rows for each in (SETTINGS, both)] == [3, 5]


@pytest.mark.parametrize("levels", [(32, 32), (32, 32, 32)])
def test_shapes_are_those_of_the_encoders(levels: tuple[int, ...], tmp_path: Path) -> None:
    settings = EncoderSettings(
        vae=VAESettings(block_out_channels=levels, layers_per_block=1, latent_channels=3),
        clip=CLIPSettings(
            hidden_size=32, intermediate_size=32, layers=1, heads=2, image_size=28, patch_size=14, projection_dim=12
        ),
    )
    encoders = Encoders(settings)
    expected = EncoderShapes(
        factor=encoders.factor, latent_channels=encoders.latent_channels, embedding_width=encoders.embedding_width
    )
    assert encoder_shapes(settings) == expected
    encoders.vae.save_config(tmp_path / "vae")
    (tmp_path / "image_encoder").mkdir()
    (tmp_path / "image_encoder" / "config.json").write_text(json.dumps(encoders.clip.config.to_dict()))
    assert encoder_shapes(EncoderSettings(svd=str(tmp_path))) == expected
    with pytest.raises(WeightsError, match=r"encoders\.svd: .* vae/config\.json"):
        encoder_shapes(EncoderSettings(svd=str(tmp_path / "nowhere")))


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    free = store.free_bytes()
    assert free is not None
    require_space(store, Amount(3, free // 2), replace(SETTINGS, free_gib=0.0))
    with pytest.raises(StorageError, match=r"would write .* GiB \(3 rows\) and leave 1e\+06 GiB \(encode\.free_gib\)"):
        require_space(store, Amount(3, free // 2), replace(SETTINGS, free_gib=1e6))
    with pytest.raises(StorageError, match=r"GiB free, and encode would write"):
        require_space(store, Amount(3, 2 * free), replace(SETTINGS, free_gib=0.0))
    require_space(store, Amount(), replace(SETTINGS, free_gib=1e6))  # nothing is to be written
