"""Which files are videos, by their content, and how they are opened."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from stableanimator.errors import DecodeError

CONTAINERS = {
    "mov": (".mp4", ".mov", ".m4v", ".qt", ".3gp", ".3g2", ".f4v"),
    "matroska": (".mkv", ".webm"),
    "avi": (".avi", ".divx"),
    "mpegts": (".ts", ".mts", ".m2ts", ".m2t", ".tod", ".trp"),
    "mpeg": (".mpg", ".mpeg", ".vob", ".m2p", ".mod", ".vro"),
    "flv": (".flv",),
    "asf": (".wmv", ".asf"),
    "ogg": (".ogv", ".ogm"),
    "gif": (".gif",),
    "h264": (".h264", ".264"),
    "hevc": (".hevc", ".h265", ".265"),
    "rm": (".rm", ".rmvb"),
    "mxf": (".mxf",),
    "wtv": (".wtv",),
    "dv": (".dv",),
}
"""Containers that are opened, under FFmpeg's names, each with the endings of its files, the usual one first."""

_OPTIONS = {
    # Files come from strangers: no playlists, image sequences or devices, and nothing but the file itself.
    "format_whitelist": ",".join((*CONTAINERS, "webm")),
    "protocol_whitelist": "file",
}

_STILL_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1")
"""Of ISO base media files that hold pictures (ISO/IEC 23008-12 and the AVIF specification); sequences have others."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""With which an MP4 begins; older QuickTime files have no "ftyp"."""


def open_container(path: str) -> Any:
    """The PyAV container of a local file.

    Raises:
        DecodeError: not_found, empty_file, truncated (the index at the end of an MP4 is missing), unreadable.
    """
    file = Path(path)
    if not file.is_file():
        raise DecodeError("not_found", f"{path} is not a file")
    if file.stat().st_size == 0:
        raise DecodeError("empty_file", f"{path} has no bytes")
    try:
        return _open(path)
    except (av.FFmpegError, ValueError) as error:
        if cut_short(file):
            raise DecodeError("truncated", f"{path} ends before its index; nothing of it can be decoded") from error
        with contextlib.suppress(av.FFmpegError, ValueError):
            return _open_nameless(path)
        raise DecodeError("unreadable", f"{path} is no video that FFmpeg knows") from error


def _open(path: str, form: str | None = None) -> Any:
    return av.open(path, format=form, options=_OPTIONS, metadata_errors="ignore")


def _open_nameless(path: str) -> Any:
    """The same by the content alone; a name such as "film.jpg" makes FFmpeg see a picture."""
    with tempfile.TemporaryDirectory(prefix="stableanimator-") as folder:
        link = os.path.join(folder, "film")
        os.symlink(os.path.abspath(path), link)
        with _open(link) as probed:
            form = container_name(probed)
    return _open(path, form)


def container_name(container: Any) -> str:
    """The name in CONTAINERS; FFmpeg has lists of names, such as "mov,mp4,m4a,3gp,3g2,mj2"."""
    return next(name for name in container.format.name.split(",") if name in CONTAINERS)


def video_stream(container: Any) -> Any:
    """The first video stream that is no cover picture.

    Raises:
        DecodeError: no_video (sound alone, or a still picture: HEIF, AVIF, a GIF with a single one).
    """
    if _is_still(container):
        raise DecodeError("no_video", f"{container.name} holds a still picture")
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise DecodeError("no_video", f"{container.name} holds {kinds} and no film")


def _is_still(container: Any) -> bool:
    if container_name(container) != "gif":
        return container.metadata.get("major_brand", "").strip() in _STILL_BRANDS
    with open_container(container.name) as again:  # packets that were read are gone
        return sum(packet.size > 0 for packet in islice(again.demux(video=0), 2)) == 1


def cut_short(file: Path) -> bool:
    """Whether the outermost boxes of an MP4, or the RIFF chunk of an AVI, reach beyond the end of the file."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        head = handle.read(12)
        if head[:4] == b"RIFF" and len(head) == 12:
            return 8 + struct.unpack("<I", head[4:8])[0] > size
        if head[4:8] not in _BOXES:
            return False
        offset = 0
        while offset + 8 <= size:
            handle.seek(offset)
            header = handle.read(16)
            length = struct.unpack(">I", header[:4])[0]
            if length == 1 and len(header) == 16:
                length = struct.unpack(">Q", header[8:])[0]
            if length == 0:  # to the end of the file
                return False
            if length < 8:  # no box: something was appended
                return False
            offset += length
    return offset > size
