"""What `benchmarks.curate` measures on: clips and networks, the real ones where they are, and stores of such clips."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import jobs
from benchmarks.drawn import clips as drawn_clips
from jobs.running.config import load
from pipelines.measuring.video_measures import Video
from pipelines.storage.store import Store
from stableanimator.errors import WeightsError
from stableanimator.media.video import VideoReader, write_mp4
from stableanimator.perception.settings import PerceptionSettings

_CONFIGS = Path(jobs.__file__).parent / "configs"
_REAL = Path(__file__).resolve().parents[3] / "shared"
_SECONDS = (3.0, 12.0)  # of a real clip: long enough for training, short enough that no worker is left with one


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Clips, and the networks that look at them."""

    what: str
    """For the printed page."""
    clips: tuple[Path, ...]
    perception: PerceptionSettings


def choose_world(work: Path) -> World:
    """Real clips and small real networks of SA_REAL_DATA (default `../shared` beside the repository) where they are,
    else drawn clips, made in `work`, and the networks trained on the drawn world. One ONNX thread a process.

    Raises:
        WeightsError: neither networks are there.
    """
    real = Path(os.environ.get("SA_REAL_DATA") or _REAL)
    if (real / "media" / "videos").is_dir() and (real / "weights").is_dir():
        os.environ["SA_REAL_DATA"] = str(real)
        clips = [path for path in sorted((real / "media" / "videos").glob("*.mp4")) if _fits(path)]
        return World(
            what="real clips and small real networks", clips=tuple(clips), perception=_perception("real_clips")
        )
    if not any(drawn_clips.WEIGHTS.rglob("*.onnx")):
        raise WeightsError(f"no networks in {drawn_clips.WEIGHTS} and no {real}; name a folder in SA_REAL_DATA")
    clips = drawn_clips.draw(drawn_clips.unseen_clips(12), work / "drawn", workers=2)
    return World(what="drawn clips and networks trained on such", clips=tuple(clips), perception=_perception("tiny"))


def _fits(path: Path) -> bool:
    with VideoReader(path) as video:
        return _SECONDS[0] <= video.info.frame_count / video.info.fps <= _SECONDS[1]


def _perception(config: str) -> PerceptionSettings:
    perception = load(str(_CONFIGS / f"{config}.yaml")).perception
    assert perception is not None
    return perception


def filled_store(root: Path, clips: Sequence[Path], copies: int = 1) -> tuple[Store, list[Video]]:
    """A new store that holds the media of the clips `copies` times, each copy a video of its own, and nothing else.

    A copy differs from its clip by an MP4 box that says nothing, so that it decodes to the same frames.
    """
    store = Store(str(root))
    videos = []
    copy = root / "copy.mp4"
    copy.parent.mkdir(parents=True)
    for number in range(copies):
        for clip in clips:
            note = f"copy {number}".encode()
            copy.write_bytes(clip.read_bytes() + struct.pack(">I4s", 8 + len(note), b"free") + note)
            video_id, _ = store.put_media(copy, ".mp4")
            videos.append(Video(video_id, ".mp4", copy.stat().st_size))
    copy.unlink()
    return store, videos


def endless_clip(source: Path, target: Path, seconds: float) -> Path:
    """`source` forwards and backwards again and again, without a cut, `seconds` long; encoded once, then repeated."""
    with VideoReader(source) as video:
        fps = video.info.fps
        frames = video.read(np.arange(min(video.info.frame_count, round(seconds * fps / 2))))
    once = target.with_suffix(".once.mp4")
    write_mp4(once, [*frames, *frames[::-1]], fps)
    length = Fraction(2 * len(frames)) / Fraction(fps).limit_denominator(1001)
    with av.open(str(once)) as opened, av.open(str(target), "w") as written:
        stream = opened.streams.video[0]
        assert stream.time_base is not None  # MP4 states it
        copied = written.add_stream_from_template(stream)
        for turn in range(max(1, round(seconds / float(length)))):
            later = round(turn * length / stream.time_base)
            opened.seek(0)
            for packet in opened.demux(stream):
                if packet.dts is not None and packet.pts is not None:  # the last packet is empty
                    packet.dts, packet.pts, packet.stream = packet.dts + later, packet.pts + later, copied
                    written.mux(packet)
    once.unlink()
    return target
