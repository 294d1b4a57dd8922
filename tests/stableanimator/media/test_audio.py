"""Sound of a part of a video: a tone whose pitch says which second it is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stableanimator.errors import DecodeError
from stableanimator.media.audio import add_sound, has_sound
from stableanimator.media.video import VideoReader, write_mp4

FIRST, STEP = 400, 200
"""Hertz of the first second, and more in each."""


def _film(path: Path, seconds: int, layout: str | None = "mono", late: float = 0.0, codec: str = "aac") -> Path:
    """Black at 10 frames a second; sound begins `late`."""
    hertz = 48_000 if codec == "libopus" else 44_100
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        voice = None if layout is None else container.add_stream(codec, rate=hertz, layout=layout)
        for _ in range(10 * seconds):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            time = np.arange(round((seconds - late) * hertz)) / hertz + late
            pitch = FIRST + STEP * np.floor(time)
            tone = (0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / hertz)).astype(np.float32)
            channels = 1 if layout == "mono" else 2
            for start in range(0, len(tone), 1024):
                part = np.repeat(tone[None, start : start + 1024], channels, 0)
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
                frame.sample_rate, frame.pts = hertz, start + round(late * hertz)
                frame.time_base = Fraction(1, hertz)
                container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
    return path


def _heard(path: Path) -> tuple[np.ndarray, int]:
    """Samples of the first channel, and how many a second there are."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        stream, rate = container.streams.audio[0], frames[0].sample_rate
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return samples[: round(float(stream.duration * stream.time_base) * rate)], rate


def _pitch(samples: np.ndarray, rate: int, second: float) -> float:
    """The loudest frequency of the half second around a moment."""
    part = samples[round((second - 0.25) * rate) : round((second + 0.25) * rate)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return float(np.fft.rfftfreq(len(part), 1 / rate)[int(np.argmax(spectrum))])


def _result(path: Path, frames: int = 20) -> Path:
    generator = np.random.default_rng(0)
    write_mp4(path, generator.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8), 8)
    return path


@pytest.mark.parametrize(("name", "layout", "codec"), [("a.mp4", "mono", "aac"), ("a.mkv", "stereo", "libopus")])
def test_the_part_that_drives_is_heard(tmp_path: Path, name: str, layout: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"FFmpeg was built without {codec}")
    film = _film(tmp_path / name, 8, layout, codec=codec)
    result = _result(tmp_path / "result.mp4")
    with VideoReader(result) as video:
        before = video.read(range(20))
    assert add_sound(result, str(film), start=3.5, seconds=2.5)
    samples, rate = _heard(result)
    assert rate == 48_000
    assert len(samples) == pytest.approx(2.5 * rate, abs=2048)  # AAC has frames of 1024
    assert [_pitch(samples, rate, second) for second in (0.25, 1.0, 2.0)] == pytest.approx(
        [FIRST + 3 * STEP, FIRST + 4 * STEP, FIRST + 5 * STEP], abs=4
    )
    with VideoReader(result) as video:
        np.testing.assert_array_equal(video.read(range(20)), before)
        assert video.info.fps == pytest.approx(8)


def test_sound_that_begins_late_is_heard_late(tmp_path: Path) -> None:
    film, result = _film(tmp_path / "a.mkv", 5, late=2.0), _result(tmp_path / "result.mp4", 32)
    assert add_sound(result, str(film), start=1.0, seconds=4.0)
    samples, rate = _heard(result)
    assert np.abs(samples[: round(0.9 * rate)]).max() < 0.02
    assert _pitch(samples, rate, 1.5) == pytest.approx(FIRST + 2 * STEP, abs=4)


def test_a_video_without_sound_there_changes_nothing(tmp_path: Path) -> None:
    result = _result(tmp_path / "result.mp4")
    content = result.read_bytes()
    assert not has_sound(None)
    assert not add_sound(result, str(_film(tmp_path / "mute.mp4", 3, None)), 0.0, 2.0)
    assert not add_sound(result, str(_film(tmp_path / "short.mp4", 3)), 10.0, 2.0)
    with pytest.raises(DecodeError, match="not_found"):
        add_sound(result, str(tmp_path / "none.mp4"), 0.0, 2.0)
    assert [has_sound(str(tmp_path / name)) for name in ("mute.mp4", "short.mp4")] == [False, True]
    assert result.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mute.mp4", "result.mp4", "short.mp4"]
