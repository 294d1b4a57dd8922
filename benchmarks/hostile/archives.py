"""Hostile zips of weights, each put where `jobs.weights fetch` unpacks it, and archives of PyTorch's kind."""

from __future__ import annotations

import functools
import hashlib
import io
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.hostile.addresses import Listener
from benchmarks.hostile.answers import Answer, by_command, with_canary, with_requests
from jobs.weights.__main__ import main
from jobs.weights.catalogue import Entry, WeightsFile

_NAME = "w.onnx"
_SIZE = 1000
_RIGHT = bytes(_SIZE)


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def _special(mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(_NAME)
    info.external_attr = (mode | 0o777) << 16
    return info


@functools.cache
def _bomb(packing: int, name: str = _NAME) -> bytes:
    """A quarter of a gigabyte of zeros; by LZMA, which is slow, an eighth of that."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive, archive.open(name, "w", force_zip64=True) as file:
        for _ in range(1 if packing == zipfile.ZIP_LZMA else 8):
            file.write(bytes(32 << 20))
    return buffer.getvalue()


def _lies(archive: bytes) -> bytes:
    """A zip whose lists say that each file has as many bytes as is wanted."""
    data, place = bytearray(archive), 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        data[place + 24 : place + 28] = struct.pack("<I", _SIZE)
        place += 4
    return bytes(data)


def _changed(archive: bytes, old: bytes, new: bytes) -> bytes:
    return archive.replace(old, new)


def _patched(archive: bytes, offset: int, value: bytes) -> bytes:
    """Both heads of a member, the local one and that of the list (two bytes later)."""
    data = bytearray(archive)
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = data.find(mark) + offset + shift
        data[place : place + len(value)] = value
    return bytes(data)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(f"../{_NAME}")
        info.size = _SIZE
        archive.addfile(info, io.BytesIO(_RIGHT))
    return buffer.getvalue()


_WHOLE = _zip((_NAME, b"x" * _SIZE), packing=zipfile.ZIP_STORED)

ARCHIVES: dict[str, Callable[[Path], bytes]] = {
    "a way out": lambda out: _zip((f"../../{out.name}", b"x"), (f"../{_NAME}", _RIGHT)),
    "a way out from a folder": lambda out: _zip((f"a/../../../{out.name}", b"x"), (f"a/../{_NAME}", _RIGHT)),
    "an absolute name": lambda out: _zip((str(out), b"x"), (f"/{_NAME}", _RIGHT)),
    "a way out with backslashes": lambda out: _zip((f"..\\..\\{out.name}", b"x"), (f"..\\{_NAME}", _RIGHT)),
    "a name of a drive": lambda out: _zip((f"C:\\{_NAME}", _RIGHT)),
    "a link": lambda out: _zip((_special(stat.S_IFLNK), str(out).encode())),
    "a link that a file goes through": lambda out: _zip(
        (_special(stat.S_IFLNK), b"/tmp"), (f"{_NAME}/{out.name}", b"x")
    ),
    "a pipe": lambda out: _zip((_special(stat.S_IFIFO), b"")),
    "a name twice": lambda out: _zip((_NAME, _RIGHT), (_NAME, b"other")),
    "a name in two folders": lambda out: _zip((f"a/{_NAME}", _RIGHT), (f"b/{_NAME}", _RIGHT)),
    "a folder of the name": lambda out: _zip((f"{_NAME}/", b"")),
    "a quarter of a gigabyte": lambda out: _bomb(zipfile.ZIP_DEFLATED),
    "a quarter of a gigabyte at a ratio of a million": lambda out: _bomb(zipfile.ZIP_BZIP2),
    "32 megabytes by LZMA": lambda out: _bomb(zipfile.ZIP_LZMA),
    "a quarter of a gigabyte that says it is a thousand bytes": lambda out: _lies(_bomb(zipfile.ZIP_DEFLATED)),
    "a quarter of a gigabyte beside it": lambda out: _bomb(zipfile.ZIP_BZIP2, "other.bin"),
    "a bomb in a zip in a zip": lambda out: _zip(("a.zip", _zip(("b.zip", _bomb(zipfile.ZIP_BZIP2))))),
    "encrypted": lambda out: _patched(_WHOLE, 6, b"\x01\x00"),
    "an unknown packing": lambda out: _patched(_WHOLE, 8, b"\x63\x00"),
    "a wrong checksum": lambda out: _changed(_WHOLE, b"x" * 20, b"y" * 20),
    "a version of the future": lambda out: _patched(_WHOLE, 4, b"\xff\x00"),
    "half a list of members": lambda out: _WHOLE[:-40],
    "no list of members": lambda out: _WHOLE[: _WHOLE.index(b"PK\x01\x02")],
    "a list of members elsewhere": lambda out: _WHOLE[:-6] + b"\xff\xff\xff\x7f\0\0",
    "damaged numbers": lambda out: _zip((_NAME, bytes(range(256)) * 4)).replace(b"\x01\x02\x03", b"\xff\xff\xff", 1),
    "a name with NUL": lambda out: _changed(_WHOLE, b"w.onnx", b"w\0onnx"),
    "a name of 65,000 characters": lambda out: _zip(("x" * 65_000, _RIGHT)),
    "a name that is no text": lambda out: _patched(_changed(_WHOLE, b"w.onnx", b"w\xff\xfe\xffnx"), 6, b"\x00\x08"),
    "60,000 members": lambda out: _zip(*((f"m{number}", b"") for number in range(60_000))),
    "other contents": lambda out: _zip((_NAME, b"x" * _SIZE)),
    "too little": lambda out: _zip((_NAME, b"x")),
    "a tar": lambda out: _tar(),
    "zeros": lambda out: bytes(1000),
    "no member": lambda out: _zip(),
    "text": lambda out: b"not a zip",
}


def answers(folder: Path) -> Iterator[Answer]:
    """Of every zip, put there by hand; nobody need be asked for it."""
    listener = Listener()
    try:
        for number, (name, make) in enumerate(ARCHIVES.items()):
            root, canary = folder / f"root{number}", folder / f"out{number}"
            archive = make(canary)
            (root / "models").mkdir(parents=True)
            (root / "models/p.zip").write_bytes(archive)
            came = listener.came
            argv = ["fetch", "p", "--root", str(root), "--mirror", f"http://127.0.0.1:{listener.port}"]
            answer = by_command(name, functools.partial(main, catalogue=[_entry(archive)]), argv)
            yield with_requests(with_canary(answer, canary), listener.came - came)
            (root / "models/p.zip").unlink(missing_ok=True)
    finally:
        listener.close()


def _entry(archive: bytes) -> Entry:
    wanted = WeightsFile(path=f"models/p/{_NAME}", size=_SIZE, sha256=hashlib.sha256(_RIGHT).hexdigest())
    sha256 = hashlib.sha256(archive).hexdigest()
    packed = WeightsFile(path="models/p.zip", size=len(archive), sha256=sha256, url="https://publisher.test/p.zip")
    return Entry(
        name="p",
        what="a pack",
        licence="none",
        home="https://publisher.test",
        path="models/p",
        files=(wanted,),
        archive=packed,
    )
