from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.curate.world import endless_clip
from benchmarks.model import encode_rate
from pipelines.shards.videos import videos_of
from stableanimator.media.video import write_mp4


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    y, x = np.mgrid[0:256, 0:256]
    frames = [np.stack([(x + 4 * t) % 256, (y + x) // 2, (y - t) % 256], -1).astype(np.uint8) for t in range(12)]
    write_mp4(folder / "short.mp4", frames, 12.0)
    return endless_clip(folder / "short.mp4", folder / "clip.mp4", 4.0)


def test_every_video_of_the_world_gives_rows(clip: Path, tmp_path: Path) -> None:
    release = encode_rate._release(tmp_path / "root", clip, 3)
    settings = encode_rate.SETTINGS
    plans = [plan for video in videos_of(release, settings) for plan in video.plans(settings)]
    assert len(plans) == 3
    for plan in plans:
        (crop,) = plan.crops
        assert plan.lost == []
        assert len(plan.measured) == 24  # every second of 48
        assert (crop.bucket, crop.row_count, len(crop.candidates)) == ("128x128", 3, 4)


def test_the_loop_does_nothing_but_encode(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = dataclasses.replace(encode_rate.SETTINGS, buckets=((32, 32),))
    monkeypatch.setattr(encode_rate, "SETTINGS", narrow)
    monkeypatch.setattr(encode_rate, "ENCODERS", encode_rate.NARROW)
    encode_rate._release(tmp_path / "root", clip, 2)
    before = sorted(tmp_path.rglob("*"))
    assert encode_rate.plain_rate(str(tmp_path / "root"), 1) > 0
    assert sorted(tmp_path.rglob("*")) == before
