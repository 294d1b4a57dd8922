"""Whether a file is a video, told by its content; its container, and how long it lasts."""

from __future__ import annotations

import re
from pathlib import Path

from stableanimator.errors import DecodeError, FetchError
from stableanimator.media.container import CONTAINERS, container_name, open_container, video_stream

EXTENSIONS = tuple(ending for endings in CONTAINERS.values() for ending in endings)
"""Names that promise a video."""

_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.IGNORECASE)
_MICROSECONDS = 1_000_000  # FFmpeg's AV_TIME_BASE, the unit of a container's duration


def video_extension(path: Path) -> str:
    """The extension under which a video is stored, whatever its name is: what can be opened and holds a film.

    A video that was cut off before its index is one too; decoding it says so.

    Raises:
        FetchError: empty_file, html_instead_of_video, not_a_video, no_video (sound alone, a still picture).
    """
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if not head:
        raise FetchError("empty_file", "no bytes")
    if _PAGE.match(head):
        raise FetchError("html_instead_of_video", "its content is a page")
    try:
        with open_container(str(path)) as container:
            video_stream(container)
            name, brand = container_name(container), container.metadata.get("major_brand", "qt")
    except DecodeError as error:
        if error.reason == "truncated":
            return ".avi" if head.startswith(b"RIFF") else ".mp4"
        if error.reason == "no_video":
            raise FetchError("no_video", error.detail.replace(str(path), "it")) from error
        raise FetchError("not_a_video", "its content is no video that FFmpeg knows") from error
    if name == "mov" and brand.strip() == "qt":  # QuickTime files are older than brands
        return ".mov"
    if name == "matroska" and b"webm" in head:
        return ".webm"
    return CONTAINERS[name][0]


def container_seconds(path: Path) -> float | None:
    """Duration in seconds as the container's header states it; None where it states none or cannot be read.

    A file that cannot be read is no reason to refuse it here: decoding it names what is wrong.
    """
    try:
        with open_container(str(path)) as container:
            return container.duration / _MICROSECONDS if container.duration else None
    except DecodeError:
        return None
