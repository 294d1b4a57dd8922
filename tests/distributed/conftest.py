"""A small shards collection made through the real store and schema."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.shards.settings import VERSION
from pipelines.storage.store import Collection, Store
from pipelines.storage.tables import SHARDS

FRAMES, SIZE, FACTOR = 5, 64, 8
CHANNELS, IMAGE_WIDTH, FACE_WIDTH = 4, 32, 16


def _row(random: np.random.Generator, number: int, split: str) -> dict[str, object]:
    side = SIZE // FACTOR
    keypoints = np.concatenate(
        [random.uniform(8, SIZE - 8, (FRAMES, 1, 133, 2)), random.uniform(0.5, 1, (FRAMES, 1, 133, 1))], -1
    )
    mask = np.zeros((FRAMES, side, side), np.uint8)
    mask[:, 1:3, 2:5] = 1
    return {
        "shot_id": f"{split}{number}:0-{FRAMES}",
        "video_id": f"{split}{number}",
        "split": split,
        "bucket": f"{SIZE}x{SIZE}",
        "fps": 8.0,
        "frame_index": list(range(FRAMES)),
        "latents": random.normal(size=FRAMES * CHANNELS * side * side).astype(np.float16),
        "reference_shot_id": ["a", "b"],
        "reference_crop": ["centre"] * 2,
        "reference_index": [FRAMES, FRAMES + 1],
        "reference_latent": random.normal(size=2 * CHANNELS * side * side).astype(np.float16),
        "clip_embedding": random.normal(size=2 * IMAGE_WIDTH).astype(np.float16),
        "face_embedding": random.normal(size=2 * FACE_WIDTH).astype(np.float16),
        "reference_keypoints": np.concatenate([keypoints[0, 0], keypoints[1, 0]]).astype(np.float32).ravel(),
        "face_present": [True] * FRAMES,
        "face_mask": mask.ravel(),
        "people": 1,
        "keypoints": keypoints.astype(np.float32).ravel(),
        "encoders": "none",
    }


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Six training rows of two videos and two held-out rows of one, with random contents."""
    store = Store(str(tmp_path_factory.mktemp("root")))
    random = np.random.default_rng(7)
    parts = []
    for video, split in enumerate(("train", "train", "heldout")):
        rows = [_row(random, video * 10 + number, split) for number in range(3 if split == "train" else 2)]
        part = store.write_part("shards", "key", f"video{video}", pa.Table.from_pylist(rows, schema=SHARDS))
        parts.append({**part, "split": split, "bucket": f"{SIZE}x{SIZE}"})
    content = {"parts": parts, "settings": {"reference_noise": 0.02}, "encoders": "none", "version": VERSION}
    rates = [{"split": split, "stride": 1, "rows": 2, "fps": 8.0} for split in ("heldout", "train")]
    return store.commit("shards", content=content | {"rates": rates}, tables={}, build={})
