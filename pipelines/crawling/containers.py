"""What the first bytes of a file say: which container it is, and how long its video lasts."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from stableanimator.errors import DecodeError, FetchError
from stableanimator.media.video_index import open_container

EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".m2ts", ".3gp", ".ogv"),
)
"""Names under which a file counts as a video when a folder is listed."""

_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.IGNORECASE)
_MAGIC = ((b"FLV\x01", ".flv"), (b"OggS", ".ogv"), (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wmv"))
_TS_PACKET = 188  # bytes; each begins with 0x47 (ISO/IEC 13818-1)
_MICROSECONDS = 1_000_000  # FFmpeg's AV_TIME_BASE, the unit of a container's duration


def video_extension(path: Path, name: str) -> str:
    """The extension under which a file is stored: from its first bytes; where these are unknown, from its listed name
    (a path or a URL), provided that FFmpeg can open it.

    Raises:
        FetchError: empty_file, html_instead_of_video, not_a_video.
    """
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if not head:
        raise FetchError("empty_file", "no bytes")
    if head[4:8] == b"ftyp":
        return ".mov" if head[8:10] == b"qt" else ".mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return ".avi"
    if head[:4] == b"\x1aE\xdf\xa3":
        return ".webm" if b"webm" in head else ".mkv"
    if head[::_TS_PACKET] == b"\x47" * len(head[::_TS_PACKET]) and len(head) > _TS_PACKET:
        return ".ts"
    for magic, extension in _MAGIC:
        if head.startswith(magic):
            return extension
    if _PAGE.match(head):
        raise FetchError("html_instead_of_video", "its content is a page")
    extension = Path(urlsplit(name).path).suffix.lower()
    if extension not in EXTENSIONS:
        raise FetchError("not_a_video", f"unknown content, and {extension[:20] or 'no extension'} in its name")
    try:
        open_container(str(path)).close()
    except DecodeError as error:
        raise FetchError("not_a_video", "its name is a video's, its content is none that FFmpeg knows") from error
    return extension


def container_seconds(path: Path) -> float | None:
    """Duration in seconds as the container's header states it; None where it states none or cannot be read.

    A file that cannot be read is no reason to refuse it here: decoding it names what is wrong.
    """
    try:
        with open_container(str(path)) as container:
            return container.duration / _MICROSECONDS if container.duration else None
    except DecodeError:
        return None
