"""One decode gives what two would: first all cuts, then the samples of every shot."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.curation import CurateSettings
from pipelines.measures.camera_motion import CameraMotion, tracker_maker
from pipelines.measures.frames import Frame, sample_indices
from pipelines.measures.picture import Picture
from pipelines.measures.shots import CutFinder, ShotSettings, find_cuts
from pipelines.measures.thumbnail import Thumbnail, middle_sample
from pipelines.measuring.first_pass import FirstPass
from pipelines.measuring.measure_cache import measure_keys, read_cached
from pipelines.measuring.shot_run import Sampler, ShotRun, VideoResult
from pipelines.measuring.video_measures import Video, VideoMeasurer
from pipelines.storage.store import Store
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

SETTINGS = CurateSettings(measures=("camera_motion", "picture"), sample_fps=5.0)
SMALL = ClipSettings(width=160, height=128, fps=15, min_seconds=2, max_seconds=3, supersample=1)


def _two_passes(path: Path) -> tuple[list[tuple[int, int]], dict[str, dict[str, dict[str, Any]]]]:
    """Shots, and by measure and "start-end" the columns: each pass on frames that were all decoded before it."""
    with VideoReader(path) as video:
        frames, info = video.read(range(video.info.frame_count)), video.info
    cuts, _ = find_cuts(frames, info.fps, SETTINGS.shots)
    shots = list(itertools.pairwise([0, *cuts, len(frames)]))
    rows: dict[str, dict[str, dict[str, Any]]] = {"camera_motion": {}, "picture": {}, "thumbnails": {}}
    for start, end in shots:
        sampled = sample_indices(info.times, start, end, SETTINGS.sample_fps)
        moving = sample_indices(info.times, start, end, SETTINGS.camera_motion.motion_fps)
        middle = middle_sample(len(sampled))
        camera = CameraMotion(SETTINGS.camera_motion, tracker_maker(SETTINGS.camera_motion, "cpu"))
        plan = {
            "camera_motion": (camera, moving),
            "picture": (Picture(SETTINGS.picture), sampled),
            "thumbnails": (Thumbnail(), sampled[middle : middle + 1]),
        }
        for name, (session, indices) in plan.items():
            for index in indices.tolist():
                session.add(Frame(index=index, time=float(info.times[index]), image=frames[index]))
            head = {} if name == "thumbnails" else {"frame_index": indices.tolist()}
            rows[name][f"{start}-{end}"] = {**head, **session.columns()}
    return shots, rows


def _one_pass(root: Path, path: Path) -> tuple[list[tuple[int, int]], dict[str, dict[str, dict[str, Any]]], int]:
    store = Store(str(root))
    video_id, _ = store.put_media(path, path.suffix)
    keys = measure_keys(SETTINGS, None)
    measurer = VideoMeasurer(store, SETTINGS, None, keys, SETTINGS.measures)
    result = measurer.measure(Video(video_id, path.suffix, 1), {"shots", *keys.measures, "thumbnails"})
    assert result.failures == []
    cached = read_cached(store, keys, [video_id])
    rows = {
        name: {row["shot_id"].split(":")[1]: row for row in table.to_pylist()}
        for name, table in {**cached.measures, "thumbnails": cached.thumbnails}.items()
    }
    shots = sorted((row["start"], row["end"]) for row in cached.shots.to_pylist())
    return shots, rows, result.frames_decoded


def _uneven(path: Path, frames: list[np.ndarray]) -> Path:
    """The frames at 30 and at 12 per second in turns, with a pause of two seconds."""
    stamps = np.cumsum([0, *(33 if number // 20 % 2 else 83 for number in range(len(frames) - 1))])
    stamps[len(frames) // 3 :] += 2000
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for stamp, image in zip(stamps.tolist(), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", ["cut_sets", "cut_inside", "flash", "textures", "uneven"])
def test_one_decode_gives_what_two_would(tmp_path: Path, kind: str, make_clip: Callable[..., Path]):
    path = tmp_path / "a.mp4"
    if kind == "textures":
        make_clip(path, seeds=(1, 2, 3, 4), frames=13, speed=2)
    elif kind == "uneven":
        _uneven(path, list(ClipRenderer(write_clip("cut_sets", 11, SMALL))))
    else:
        write_mp4(path, ClipRenderer(write_clip(kind, 11, SMALL)), SMALL.fps)
    shots, expected = _two_passes(path)
    found, rows, decoded = _one_pass(tmp_path / "root", path)
    assert found == shots
    assert len(shots) == {"textures": 4, "flash": 1}.get(kind, 2)
    assert decoded == shots[-1][1]
    for name, of_shots in expected.items():
        assert rows[name].keys() == of_shots.keys()
        for shot, columns in of_shots.items():
            for column, value in columns.items():
                if column.startswith("step_"):  # stored as float32; NaN where unknown
                    np.testing.assert_array_equal(np.float32(rows[name][shot][column]), np.float32(value))
                else:
                    assert rows[name][shot][column] == value, (name, shot, column)


@pytest.mark.parametrize("noise", [0, 60])
def test_only_a_window_of_frames_is_held(noise: int):
    """Whether nothing may be a cut or every frame: with noise, each differs from the one before it by 20 levels."""
    times = np.arange(200) / 24
    generator = np.random.default_rng(0)
    alive: set[int] = set()
    held = []
    result = VideoResult("v")
    sampler = Sampler(times, SETTINGS)
    makers = {"picture": lambda: Picture(SETTINGS.picture)}

    def begin(start: int) -> ShotRun:
        return ShotRun(["picture"], {}, makers, sampler.of_shot(start), result)

    passing = FirstPass(CutFinder(24, ShotSettings()), begin, lambda *shot: None, result)
    for index in range(200):
        image = (100 + noise * generator.random((36, 64, 3))).astype(np.uint8)
        alive.add(index)
        weakref.finalize(image, alive.discard, index)
        passing.add(Frame(index=index, time=float(times[index]), image=image))
        del image
        held.append(len(alive))
    assert passing.finish() == []
    assert not alive
    # 0.25 s are 6 frames; of those, every fifth is a sample
    assert max(held) == (6 if noise else 2)
