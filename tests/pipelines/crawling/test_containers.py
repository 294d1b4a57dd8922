from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from pipelines.crawling.containers import container_seconds, video_extension
from stableanimator.errors import FetchError


@pytest.mark.parametrize(
    ("head", "name", "extension"),
    [
        (b"\0\0\0\x20ftypisom", "x", ".mp4"),
        (b"\0\0\0\x14ftypqt  ", "x", ".mov"),
        (b"RIFF\0\0\0\0AVI LIST", "x.mp4", ".avi"),
        (b"\x1aE\xdf\xa3....B\x82\x84webm", "x", ".webm"),
        (b"\x1aE\xdf\xa3....B\x82\x88matroska", "x", ".mkv"),
        (b"FLV\x01\x05", "x", ".flv"),
        (b"OggS\0", "x", ".ogv"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "x", ".wmv"),
        ((b"G" + bytes(187)) * 3, "x", ".ts"),
    ],
)
def test_the_first_bytes_name_the_container(tmp_path: Path, head: bytes, name: str, extension: str):
    (tmp_path / "f").write_bytes(head)
    assert video_extension(tmp_path / "f", name) == extension


@pytest.mark.parametrize(
    ("head", "name", "reason"),
    [
        (b"", "x.mp4", "empty_file"),
        (b" \n<HTML lang=en>", "x.mp4", "html_instead_of_video"),
        (b"\xef\xbb\xbf<!DOCTYPE html>", "x.mp4", "html_instead_of_video"),
        (b"\xff\xd8\xff\xe0 a JPEG", "x.jpg", "not_a_video"),
        (b"\xff\xd8\xff\xe0 a JPEG", "x.mp4", "not_a_video"),
        (b'{"error": "quota"}', "https://host/a.mp4", "not_a_video"),
        (b"unknown", "https://host/..%2f..%2fetc/passwd", "not_a_video"),
    ],
)
def test_what_is_no_video_has_a_reason(tmp_path: Path, head: bytes, name: str, reason: str):
    (tmp_path / "f").write_bytes(head)
    with pytest.raises(FetchError) as error:
        video_extension(tmp_path / "f", name)
    assert error.value.reason == reason


def test_a_container_without_a_mark_is_named_by_its_listed_name(tmp_path: Path):
    path = tmp_path / "f"
    with av.open(str(path), "w", format="mpeg") as container:  # a program stream
        stream = container.add_stream("mpeg2video", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    assert video_extension(path, "https://host/a/b.MPG?x=1.txt") == ".mpg"
    with pytest.raises(FetchError, match="not_a_video"):
        video_extension(path, "https://host/a/b.bin")


def test_a_container_states_its_duration(tmp_path: Path, make_clip: Callable[..., Path]):
    clip = make_clip(tmp_path / "clip.mp4", frames=36)  # at 24 frames a second
    assert container_seconds(clip) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x20ftypisom"])
def test_what_cannot_be_read_has_no_duration(tmp_path: Path, content: bytes):
    (tmp_path / "f").write_bytes(content)
    assert container_seconds(tmp_path / "f") is None
