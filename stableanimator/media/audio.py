"""The sound of a part of a video, put into another one."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from stableanimator.media.container import open_container, video_stream
from stableanimator.media.video import local_file, written_whole

log = logging.getLogger(__name__)

RATE = 48_000
"""Samples a second."""
_JITTER = RATE // 20
"""Samples by which a stamp may be off without meaning a hole: containers round stamps to milliseconds."""
_EARLIER = 1.0
"""Seconds before a part at which decoding begins: codecs carry over what they know."""


def has_sound(source: str | None) -> bool:
    """Whether there is a video, by path or URI, and sound in it.

    Raises:
        DecodeError: it cannot be read.
    """
    if source is None:
        return False
    local, copy = local_file(source)
    try:
        with open_container(local) as container:
            return bool(container.streams.audio)
    finally:
        if copy is not None:
            copy.cleanup()


def add_sound(path: str | Path, source: str, start: float, seconds: float) -> bool:
    """Give an mp4 the sound of `seconds` of another video, as AAC; its pictures are copied as they are.

    Args:
        path: the mp4; it is replaced as a whole.
        source: path or URI of the video that is heard.
        start: seconds from the first frame of that video.
        seconds: how long.

    Returns:
        False where the other video has no sound, or none there: nothing is changed then.

    Raises:
        DecodeError: the other video cannot be read.
    """
    local, copy = local_file(source)
    try:
        with open_container(local) as heard:
            sound = _samples(heard, start, seconds)
            first = next(sound, None)
            if first is None:
                return False
            with written_whole(path) as target, av.open(str(path)) as seen:
                _mux(seen, first, sound, target)
            return True
    finally:
        if copy is not None:
            copy.cleanup()


def _mux(seen: Any, first: Any, sound: Iterator[Any], target: str) -> None:
    with av.open(target, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        pictures = container.add_stream_from_template(seen.streams.video[0])
        voice = container.add_stream("aac", rate=RATE, layout=first.layout.name)

        def copied() -> Iterator[Any]:
            for packet in seen.demux(video=0):
                if packet.size:  # the last one is empty
                    packet.stream = pictures
                    yield packet

        def encoded() -> Iterator[Any]:
            for frame in (first, *sound, None):
                yield from voice.encode(frame)

        for packet in heapq.merge(copied(), encoded(), key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def _samples(container: Any, start: float, seconds: float) -> Iterator[Any]:
    """Audio frames of a part, one after the other from stamp 0; where there is a hole there is silence. What cannot be
    decoded ends them."""
    if not container.streams.audio:
        return
    stream, film = container.streams.audio[0], video_stream(container)
    begin = start + (float(film.start_time * film.time_base) if film.start_time is not None else 0.0)
    if begin > _EARLIER:
        container.seek(int((begin - _EARLIER) * 1_000_000))
    resampler = av.AudioResampler(format="fltp", layout="mono" if stream.channels == 1 else "stereo", rate=RATE)
    given, wanted = 0, round(seconds * RATE)
    for piece in _decoded(container, stream, resampler):
        place, samples = round((float(piece.pts * piece.time_base) - begin) * RATE), piece.to_ndarray()
        if given and abs(place - given) < _JITTER:
            place = given
        samples = samples[:, max(given - place, 0) : max(wanted - place, 0)]
        if samples.shape[1]:
            silence = np.zeros((len(samples), max(place - given, 0)), np.float32)
            both = np.concatenate([silence, samples], 1)
            yield _frame(both, piece.layout.name, given)
            given += both.shape[1]
        if given >= wanted or place >= wanted:
            return


def _decoded(container: Any, stream: Any, resampler: Any) -> Iterator[Any]:
    try:
        for frame in container.decode(stream):
            yield from resampler.resample(frame)
        yield from resampler.resample(None)
    except av.FFmpegError as error:
        log.warning("the sound of %s ends where it cannot be decoded: %s", container.name, error)


def _frame(samples: NDArray[np.float32], layout: str, stamp: int) -> Any:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, stamp, Fraction(1, RATE)
    return frame
