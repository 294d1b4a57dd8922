from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.camera_motion import CameraMotionSettings
from pipelines.measuring import video_measures
from pipelines.measuring.measure_cache import measure_keys, missing_of, read_cached
from pipelines.measuring.video_measures import Video, VideoMeasurer, VideoResult
from pipelines.storage.store import Store, media_path
from stableanimator.errors import DecodeError

SETTINGS = CurateSettings(measures=("camera_motion",), sample_fps=8.0)
Make = Callable[..., Path]


def _stored(store: Store, clip: Path) -> Video:
    video_id, _ = store.put_media(clip, clip.suffix)
    return Video(video_id, clip.suffix, clip.stat().st_size)


def _measure(store: Store, video: Video, settings: CurateSettings = SETTINGS) -> VideoResult:
    keys = measure_keys(settings, None)
    missing = missing_of(read_cached(store, keys, [video.video_id]), keys, [video.video_id])
    return VideoMeasurer(store, settings, None, keys, settings.measures).measure(video, missing.get(video.video_id, ()))


def _rows(store: Store, video: Video, settings: CurateSettings = SETTINGS) -> tuple[list[Any], list[Any], list[Any]]:
    cached = read_cached(store, measure_keys(settings, None), [video.video_id])
    return cached.shots.to_pylist(), cached.measures["camera_motion"].to_pylist(), cached.thumbnails.to_pylist()


def test_a_video_becomes_shots_with_measures_and_pictures(tmp_path: Path, make_clip: Make, new_texture: Callable):
    store = Store(str(tmp_path / "root"))
    video = _stored(store, make_clip(tmp_path / "two.mp4", seeds=(1, 2), frames=24, speed=1))
    result = _measure(store, video)
    shots, camera, thumbnails = _rows(store, video)
    assert [(shot["start"], shot["end"]) for shot in shots] == [(0, 24), (24, 48)]
    assert (shots[0]["width"], shots[0]["height"], shots[0]["fps"]) == (320, 200, pytest.approx(24))
    assert shots[0]["seconds"] == pytest.approx(1)
    # one pixel a frame at 24 per second, over a diagonal of 377 pixels
    for row in camera:
        assert row["camera_translation"] == pytest.approx(24 / np.hypot(320, 200), rel=0.03)
    assert camera[1]["frame_index"] == [24, 27, 30, 33, 36, 39, 42, 45]
    picture = cv2.imdecode(np.frombuffer(thumbnails[0]["jpeg"], np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture.shape == (120, 192, 3)
    seen = cv2.resize(new_texture(1, width=344)[:, 12:332], (192, 120), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.astype(int) - seen).mean() < 6  # two lossy codecs
    assert result.shots == 2
    assert result.frames_decoded == 48
    assert result.failures == []


def test_only_what_is_missing_is_computed(tmp_path: Path, make_clip: Make):
    store = Store(str(tmp_path / "root"))
    video = _stored(store, make_clip(tmp_path / "one.mp4"))
    assert _measure(store, video).frames_decoded == 24
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*.parquet")}
    assert len(parts) == 3
    assert _measure(store, video).frames_decoded == 0
    slower = replace(SETTINGS, camera_motion=CameraMotionSettings(motion_fps=4))
    assert _measure(store, video, slower).frames_decoded == 4  # its samples alone: shots and picture are there
    assert len(_rows(store, video, slower)[1][0]["frame_index"]) == 4
    assert {path: path.stat().st_mtime_ns for path in parts} == parts


def _cut(clip: Path, share: float) -> bytes:
    return clip.read_bytes()[: int(clip.stat().st_size * share)]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lambda clip: _cut(clip, 0.05), "short.mp4"),
        (lambda clip: b"", "zero.mp4"),
        (lambda clip: b"<html>", "page.mp4"),
    ],
)
def test_a_file_without_frames_is_one_row_with_a_reason(tmp_path: Path, make_clip: Make, content: Any, name: str):
    store = Store(str(tmp_path / "root"))
    bad = tmp_path / name
    bad.write_bytes(content(make_clip(tmp_path / "good.mp4")))
    video = _stored(store, bad)
    result = _measure(store, video)
    (shot,), camera, _ = _rows(store, video)
    assert (shot["start"], shot["end"], camera) == (0, 0, [])
    assert shot["error"] in ("truncated", "empty_file", "unreadable", "no_video")
    assert result.failures == []
    assert _measure(store, video).frames_decoded == 0  # remembered


def test_a_truncated_file_gives_the_shots_of_what_is_there(tmp_path: Path):
    import av

    whole = tmp_path / "whole.mkv"  # a container that can be read from its beginning
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 200, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(48):
            picture = cv2.resize(rng.integers(0, 255, (20, 32, 3), np.uint8), (320, 200))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(_cut(whole, 0.6))
    store = Store(str(tmp_path / "root"))
    video = _stored(store, cut)
    _measure(store, video)
    shots, _, _ = _rows(store, video)
    assert shots[0]["error"] is None
    assert 10 < shots[-1]["end"] < 48


class _Broken:
    """A measure that fails at the second frame."""

    def __init__(self, error: Exception) -> None:
        self._error, self._seen = error, 0

    def add(self, frame: object) -> None:
        self._seen += 1
        if self._seen == 2:
            raise self._error

    def columns(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("error", [DecodeError("odd_content", "of this shot"), RuntimeError("a defect")])
def test_a_measure_that_fails_takes_nothing_with_it(
    tmp_path: Path, make_clip: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    store = Store(str(tmp_path / "root"))
    video = _stored(store, make_clip(tmp_path / "one.mp4"))
    with monkeypatch.context() as patched:
        patched.setattr(video_measures, "CameraMotion", lambda *arguments: _Broken(error))
        result = _measure(store, video)
    (shot,), camera, thumbnails = _rows(store, video)
    assert shot["error"] is None
    assert len(thumbnails) == 1
    if isinstance(error, DecodeError):  # the content's fault: remembered
        assert [(row["error"], row["camera_translation"]) for row in camera] == [("odd_content", None)]
        assert result.failures == []
    else:  # a defect: handed back, and tried again by the next run
        assert camera == []
        assert [one["reason"] for one in result.failures] == ["measure_failed"]
        assert _measure(store, video).failures == []
        assert _rows(store, video)[1][0]["error"] is None


def test_a_video_that_is_not_there_is_a_failure_and_not_remembered(tmp_path: Path):
    store = Store(str(tmp_path / "root"))
    video = Video("0" * 64, ".mp4", 1)
    result = _measure(store, video)
    assert _rows(store, video) == ([], [], [])
    assert [(one["measure"], one["reason"]) for one in result.failures] == [("decode", "not_found")]


def test_a_video_that_has_changed_is_a_failure_and_not_remembered(tmp_path: Path, make_clip: Make):
    """As long as it was, and a video as before: its frames are not those that were stored under this name."""
    store = Store(str(tmp_path / "root"))
    video = _stored(store, make_clip(tmp_path / "a.mp4", frames=24))
    path = media_path(video.video_id, ".mp4")
    data = bytearray(store.read_bytes(path))
    data[len(data) // 2] ^= 1
    store.write_bytes(path, bytes(data))
    result = _measure(store, video)
    assert _rows(store, video) == ([], [], [])
    assert [(one["measure"], one["reason"]) for one in result.failures] == [("decode", "changed")]
    store.delete(path)
    _stored(store, tmp_path / "a.mp4")
    assert _measure(store, video).failures == []
