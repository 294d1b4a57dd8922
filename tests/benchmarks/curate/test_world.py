"""The clips of the curation benchmark: copies show the same frames, endless clips have no cut."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.curate.world import endless_clip, filled_store
from pipelines.measures.shots import ShotSettings, find_cuts
from pipelines.storage.store import media_path
from stableanimator.media.video import VideoReader, write_mp4


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames a second for two seconds; the picture moves by four pixels a frame."""
    noise = np.random.default_rng(0).uniform(0, 255, (8, 30, 3)).astype(np.float32)
    world = cv2.resize(noise, (300, 80), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_mp4(path, [np.ascontiguousarray(world[:, 4 * number : 4 * number + 120]) for number in range(20)], 10.0)
    return path


def test_copies_are_videos_of_their_own_that_show_the_same(clip: Path, tmp_path: Path) -> None:
    store, videos = filled_store(tmp_path / "store", [clip], copies=3)
    assert len({video.video_id for video in videos}) == 3
    with VideoReader(clip) as reader:
        frames = reader.read(range(20))
    for video in videos:
        path = store.local_path(media_path(video.video_id, video.extension))
        assert Path(path).stat().st_size == video.size
        with VideoReader(path) as reader:
            np.testing.assert_array_equal(reader.read(range(20)), frames)
    assert [path for path in (tmp_path / "store").rglob("*.mp4") if "media" not in path.parts] == []


@pytest.mark.parametrize("seconds", [2.0, 12.0])
def test_an_endless_clip_has_its_length_and_no_cut(clip: Path, tmp_path: Path, seconds: float) -> None:
    path = endless_clip(clip, tmp_path / "long.mp4", seconds)
    with VideoReader(path) as reader:
        assert reader.info.frame_count / reader.info.fps == pytest.approx(seconds, abs=0.2)
        assert np.diff(reader.info.times) == pytest.approx(0.1, abs=1e-3)
        frames = reader.read(range(reader.info.frame_count))
    assert find_cuts(iter(frames), 10.0, ShotSettings())[0] == []
    assert list(tmp_path.iterdir()) == [path]
