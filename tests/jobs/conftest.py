"""A release with poses, made through the real store and schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.store import Collection, Store
from pipelines.tables import CLIPS, FRAMES, VERDICTS

HEIGHT = 100


def mover(seed: int, frames: int) -> np.ndarray:
    """One person's poses [F, 133, 3] in pixels: body joints that sway by up to 3 pixels; no hands, feet or face."""
    random = np.random.default_rng(seed)
    poses = np.full((frames, 133, 3), (np.nan, np.nan, 0), np.float32)
    poses[:, :17, :2] = random.uniform(20, 80, (17, 2)) + random.uniform(-3, 3, (frames, 17, 2))
    poses[:, :17, 2] = 0.9
    return poses


@pytest.fixture
def release_with_poses() -> Callable[..., Collection]:
    """Commit a release below a root: `release_with_poses(root, [{"shot_id": "a", "split": "train", "poses": …}])`.

    A clip's `poses` [F, 133, 3] are those of frames 10, 12, 14 …; by default eight of somebody who sways. `start`,
    `end`, `uploader`, `media` and `camera_translation` may be given.
    """

    def commit(root: Path, clips: list[dict[str, Any]]) -> Collection:
        rows, frames, verdicts = [], [], []
        for number, clip in enumerate(clips):
            poses = clip["poses"] if "poses" in clip else mover(number, 8)
            row = {
                "video_id": f"video of {clip['shot_id']}", "media": f"media/{clip['shot_id']}.mp4", "start": 10,
                "end": 10 + 2 * len(poses), "fps": 10.0, "height": HEIGHT, "width": 2 * HEIGHT, **clip,
            }  # fmt: skip
            rows.append({name: row.get(name) for name in CLIPS.names})
            verdicts.append({name: row.get(name) for name in VERDICTS.names})
            frames += [
                {"shot_id": clip["shot_id"], "frame_index": 10 + 2 * place, "keypoints": [pose.ravel()]}
                for place, pose in enumerate(poses)
            ]
        verdicts.append({"shot_id": "rejected", "verdict": "reject"})
        tables = {
            "clips": pa.Table.from_pylist(rows, schema=CLIPS),
            "frames": pa.Table.from_pylist(frames, schema=FRAMES),
            "verdicts": pa.Table.from_pylist(verdicts, schema=VERDICTS),
        }
        return Store(str(root)).commit("releases", content={}, tables=tables, build={})

    return commit
