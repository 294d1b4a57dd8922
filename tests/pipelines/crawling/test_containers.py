"""What is a video is told by its content, for every container that can be opened, whatever the file is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.crawling.containers import EXTENSIONS, container_seconds, video_extension
from stableanimator.errors import DecodeError, FetchError
from stableanimator.media.container import CONTAINERS
from stableanimator.media.video import VideoReader


def film(path: Path, form: str, codec: str, frames: int = 24) -> bytes:
    size = (720, 576) if codec == "dvvideo" else (64, 64)
    pixels = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    with av.open(str(path), "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for index in range(frames):
            picture = np.full((size[1], size[0], 3), 10 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
    return path.read_bytes()


def sound(path: Path, form: str, codec: str) -> bytes:
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        for place in range(4):
            kind = stream.format.name
            number = {"flt": np.float32, "s16": np.int16, "s32": np.int32}[kind[:3]]
            silence = np.zeros((1, 1024), number)
            frame = av.AudioFrame.from_ndarray(silence, format=kind, layout="mono")
            frame.sample_rate, frame.pts = 48000, place * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


FILMS = {
    # FFmpeg's writer and codec, and how the file is stored
    "mp4": ("mp4", "libx264", ".mp4"),
    "mov": ("mov", "mjpeg", ".mov"),
    "3gp": ("3gp", "mpeg4", ".mp4"),
    "3g2": ("3g2", "mpeg4", ".mp4"),
    "matroska": ("matroska", "libx264", ".mkv"),
    "webm": ("webm", "libvpx", ".webm"),
    "avi": ("avi", "mpeg4", ".avi"),
    "mpegts": ("mpegts", "mpeg2video", ".ts"),
    "vob": ("vob", "mpeg2video", ".mpg"),
    "flv": ("flv", "flv1", ".flv"),
    "asf": ("asf", "wmv2", ".wmv"),
    "ogg": ("ogg", "libvpx", ".ogv"),
    "gif": ("gif", "gif", ".gif"),
    "h264": ("h264", "libx264", ".h264"),
    "mxf": ("mxf", "mpeg2video", ".mxf"),
    "rm": ("rm", "rv10", ".rm"),
    "dv": ("dv", "dvvideo", ".dv"),
}


@pytest.mark.parametrize("name", ["a.clip", "A.MTS", "noextension", "a.jpg", "a.mp4", "a.txt"])
@pytest.mark.parametrize("kind", FILMS)
def test_the_content_names_the_container(tmp_path: Path, kind: str, name: str):
    form, codec, extension = FILMS[kind]
    data = film(tmp_path / "made", form, codec)
    (tmp_path / name).write_bytes(data)
    assert video_extension(tmp_path / name) == extension


@pytest.mark.parametrize("kind", FILMS)
def test_what_is_stored_under_its_extension_is_read(tmp_path: Path, kind: str):
    form, codec, extension = FILMS[kind]
    film(tmp_path / f"a{extension}", form, codec)
    with VideoReader(tmp_path / f"a{extension}") as video:
        assert video.info.frame_count == 24
        assert len(video.read([0, 23])) == 2


def test_every_ending_belongs_to_one_container():
    assert len(set(EXTENSIONS)) == len(EXTENSIONS)
    assert all(ending.startswith(".") and ending == ending.lower() for ending in EXTENSIONS)
    assert {".mp4", ".mov", ".mts", ".vob", ".gif", ".3g2", ".ts", ".mxf", ".ogv", ".wmv", ".flv"} <= set(EXTENSIONS)
    assert {extension for _, _, extension in FILMS.values()} <= set(EXTENSIONS)
    assert len(CONTAINERS) >= 15


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
@pytest.mark.parametrize("name", ["a", "a.mp4", "a.gif"])
def test_a_still_picture_is_no_video(tmp_path: Path, form: str, name: str):
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / name, format=form)
    reason = "no_video" if form in ("GIF", "AVIF") else "not_a_video"
    with pytest.raises(FetchError, match=f"{reason}: .*{'still picture' if reason == 'no_video' else ''}"):
        video_extension(tmp_path / name)
    with pytest.raises(DecodeError):
        VideoReader(tmp_path / name)


@pytest.mark.parametrize(
    ("form", "codec", "reason"),
    [
        ("mp4", "aac", "no_video"),
        ("ipod", "aac", "no_video"),
        ("mov", "pcm_s16le", "no_video"),
        ("matroska", "flac", "no_video"),
        ("ogg", "flac", "no_video"),
        ("avi", "pcm_s16le", "no_video"),
        ("mpegts", "aac", "no_video"),
        ("mp3", "libmp3lame", "not_a_video"),
        ("wav", "pcm_s16le", "not_a_video"),
    ],
)
def test_sound_alone_is_no_video(tmp_path: Path, form: str, codec: str, reason: str):
    sound(tmp_path / "a.mp4", form, codec)
    with pytest.raises(FetchError) as error:
        video_extension(tmp_path / "a.mp4")
    assert error.value.reason == reason
    assert str(tmp_path) not in str(error.value)
    if reason == "no_video":
        assert "it holds audio" in error.value.detail


@pytest.mark.parametrize(
    ("head", "name", "reason"),
    [
        (b"", "x.mp4", "empty_file"),
        (b" \n<HTML lang=en>", "x.mp4", "html_instead_of_video"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "x.mp4", "html_instead_of_video"),
        (b"\xff\xd8\xff\xe0 a JPEG", "x.mp4", "not_a_video"),
        (b'{"error": "quota"}', "x.mp4", "not_a_video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/hosts\n", "x.ts", "not_a_video"),
        (b"url,licence\nhttps://a.test/1.mp4,CC0\n", "x.csv", "not_a_video"),
        (b"PK\x03\x04" + bytes(99), "x.zip", "not_a_video"),
        (np.random.default_rng(0).bytes(9999), "x.mov", "not_a_video"),
        (bytes(9999), "x.avi", "not_a_video"),
    ],
)
def test_what_is_no_video_has_a_reason(tmp_path: Path, head: bytes, name: str, reason: str):
    (tmp_path / name).write_bytes(head)
    with pytest.raises(FetchError) as error:
        video_extension(tmp_path / name)
    assert error.value.reason == reason


@pytest.mark.parametrize(("form", "codec", "extension"), [("mp4", "libx264", ".mp4"), ("mov", "mjpeg", ".mp4")])
def test_a_video_that_lost_its_index_is_one_whose_decoding_names_what_is_wrong(
    tmp_path: Path, form: str, codec: str, extension: str
):
    data = film(tmp_path / "whole", form, codec)
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert video_extension(tmp_path / "cut") == extension
    with pytest.raises(DecodeError, match="truncated"):
        VideoReader(tmp_path / "cut")


def test_a_container_states_its_duration(tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "clip.mp4", frames=36)  # at 24 frames a second
    assert container_seconds(clip) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x20ftypisom"])
def test_what_cannot_be_read_has_no_duration(tmp_path: Path, content: bytes):
    (tmp_path / "f").write_bytes(content)
    assert container_seconds(tmp_path / "f") is None
