"""Films whose every frame says its number, made without FFmpeg's program, and what that program shows of a file."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

FRAMES, RATE = 48, 25
Picture = np.ndarray


def numbered(index: int, width: int = 64, height: int = 48) -> Picture:
    """A frame that shows its own number in binary, as bright and dark columns."""
    bits = np.repeat([(index >> bit & 1) for bit in range(8)], width // 8)
    return np.broadcast_to(np.where(bits, 230, 30).astype(np.uint8)[None, :, None], (height, width, 3)).copy()


def number_of(frame: Picture) -> int:
    columns = np.array_split(frame.mean((0, 2)), 8)
    return sum(
        1 << bit for bit, column in enumerate(columns) if column[len(column) // 3 : -len(column) // 3].mean() > 128
    )


GROUPS = {
    "forward": "keyint=12:min-keyint=12:scenecut=0:bframes=0",
    "both ways": "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0",
    "open": "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0:open-gop=1",
}
"""How frames of libx264 are made from each other: a keyframe each twelve."""


class Films:
    """Makes files."""

    def encode(
        self,
        path: Path,
        frames: Iterable[int] = range(FRAMES),
        *,
        codec: str = "libx264",
        groups: str = "both ways",
        pixels: str = "yuv420p",
        size: tuple[int, int] = (64, 48),
        rate: Fraction | int = RATE,
        seconds: Callable[[int], float] | None = None,
        picture: Callable[..., Picture] = numbered,
        options: dict[str, str] | None = None,
        muxing: dict[str, str] | None = None,
        pixel_shape: Fraction | None = None,
        turn: tuple[int, bool, bool] | None = None,
        sound: float | None = None,
        form: str | None = None,
    ) -> Path:
        """`seconds`: when a frame is shown. `turn`: degrees anticlockwise, then mirrored left to right, upside down.
        `sound`: from when on there is silence, one second of it."""
        quality = {"x264-params": GROUPS[groups], "crf": "12"} if codec == "libx264" else {}
        with av.open(str(path), "w", format=form, options=muxing or {}) as container:
            stream: Any = container.add_stream(codec, rate=rate, options={**quality, **(options or {})})
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            stream.codec_context.thread_count = 1
            if seconds is not None:
                stream.codec_context.time_base = Fraction(1, 90_000)
            if pixel_shape is not None:
                stream.codec_context.sample_aspect_ratio = pixel_shape
            if turn is not None:
                stream.set_display_rotation(*turn)
            packets = [] if sound is None else _silence(container, sound)
            for index in frames:
                frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
                frame.time_base = stream.codec_context.time_base or 1 / Fraction(rate)
                frame.pts = round((seconds(index) if seconds else index / Fraction(rate)) / frame.time_base)
                packets += stream.encode(frame.reformat(format=pixels))
            for packet in sorted([*packets, *stream.encode(None)], key=lambda one: one.dts * one.time_base):
                container.mux(packet)
        return path

    def copy(
        self,
        source: Path,
        path: Path,
        start: Fraction = Fraction(0),
        shift: Fraction = Fraction(0),
        muxing: dict[str, str] | None = None,
    ) -> Path:
        """Packets from the last keyframe up to `start` on, so that `start` is shown at `shift` seconds: what
        `ffmpeg -ss START -i SOURCE -c copy PATH` does."""
        with av.open(str(source)) as old, av.open(str(path), "w", options=muxing or {}) as new:
            stream = old.streams.video[0]
            packets = [packet for packet in old.demux(stream) if packet.size]
            tick = stream.time_base
            keys = [place for place, packet in enumerate(packets) if packet.is_keyframe and packet.pts * tick <= start]
            target = new.add_stream_from_template(stream)
            for packet in packets[keys[-1] :]:
                packet.pts += round((shift - start) / tick)
                packet.dts += round((shift - start) / tick)
                packet.stream = target
                new.mux(packet)
        return path

    def edit(self, source: Path, path: Path, edits: Sequence[tuple[float, float | None]]) -> Path:
        """An MP4 with another edit list: (seconds, from which second of the media on, None for nothing)."""
        data = bytearray(source.read_bytes())
        movie = struct.unpack_from(">I", data, _box(data, b"moov", b"mvhd")[0] + 20)[0]
        media = struct.unpack_from(">I", data, _box(data, b"moov", b"trak", b"mdia", b"mdhd")[0] + 20)[0]
        entries = [
            struct.pack(">IiI", round(length * movie), -1 if begin is None else round(begin * media), 1 << 16)
            for length, begin in edits
        ]
        body = struct.pack(">II", 0, len(edits)) + b"".join(entries)
        new = struct.pack(">I4sI4s", 16 + len(body), b"edts", 8 + len(body), b"elst") + body
        start, end = _box(data, b"moov", b"trak", b"edts")
        data[start:end] = new
        for names in ((b"moov",), (b"moov", b"trak")):  # the pictures lie before them
            place = _box(data, *names)[0]
            size = struct.unpack_from(">I", data, place)[0]
            struct.pack_into(">I", data, place, size + len(new) - (end - start))
        path.write_bytes(data)
        return path


def _silence(container: Any, start: float) -> list[Any]:
    stream = container.add_stream("aac", rate=44100, layout="mono")
    packets = []
    for place in range(43):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = 44100, Fraction(1, 44100)
        frame.pts = round(start * 44100) + place * 1024
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _box(data: bytes, *names: bytes) -> tuple[int, int]:
    """Where a box of an MP4 begins and ends."""
    place, end = 0, len(data)
    for depth, name in enumerate(names):
        while data[place + 4 : place + 8] != name:
            place += struct.unpack_from(">I", data, place)[0]
            assert place < end, name
        end = place + struct.unpack_from(">I", data, place)[0]
        place += 8 if depth < len(names) - 1 else 0
    return place, end


@pytest.fixture(scope="session")
def films() -> Films:
    return Films()


Shown = tuple[Picture, np.ndarray]


@pytest.fixture(scope="session")
def ffmpeg_shows() -> Iterator[Callable[..., Shown]]:
    """Frames [F, H, W, 3] and their seconds [F] as FFmpeg's program shows them.

    `size` is an expression of its filter "scale": whole pictures come from the program, turned and mirrored, but
    pixels that are not square are the player's to stretch.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no program ffmpeg to compare with (Debian: apt-get install ffmpeg)")

    def show(path: Path, size: str = "iw:ih") -> Shown:
        filters = f"scale={size}:flags=bicubic,showinfo"
        output = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-")
        # V: no cover pictures
        command = (program, "-nostdin", "-loglevel", "info", "-i", str(path), "-map", "0:V:0", "-vf", filters, *output)
        ran = subprocess.run(command, capture_output=True, check=True, timeout=60)
        lines = re.findall(rb"n: *\d+ pts:.*? pts_time:(\S+).*? s:(\d+)x(\d+)", ran.stderr)
        width, height = map(int, lines[0][1:])
        pictures = np.frombuffer(ran.stdout, np.uint8).reshape(len(lines), height, width, 3)
        return pictures, np.array([float(line[0]) for line in lines])

    return show
