"""Picture files as people have them, written by Pillow, pillow-heif, OpenCV or by hand; damaged ones, and others."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from stableanimator.errors import DecodeError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import write_mp4

HEIGHT, WIDTH = 48, 64
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH]
PICTURE = np.stack([40 + 3 * _X, 30 + 4 * _Y, 200 - 2 * _X], -1).astype(np.uint8)

# Which change of the upright picture is stored under each value of EXIF's orientation (TIFF 6.0, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "heic": "HEIF", "avif": "AVIF"}


def _save(path: Path, picture: np.ndarray | Image.Image, **options: Any) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    image.save(path, KINDS.get(path.suffix[1:]), **options)
    return path


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()


def _distance(path: Path | str, expected: np.ndarray = PICTURE) -> float:
    """Mean difference in grey levels; infinite where the shape is another."""
    read = read_image(path)
    assert read.dtype == np.uint8
    return float(np.abs(read.astype(int) - expected).mean()) if read.shape == expected.shape else float("inf")


@pytest.mark.parametrize("orientation", list(STORED))
@pytest.mark.parametrize("suffix", list(KINDS))
def test_pictures_come_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = _save(tmp_path / f"a.{suffix}", STORED[orientation](PICTURE), quality=95, exif=_exif(orientation))
    assert _distance(path) < (0.01 if suffix in ("png", "tif") else 1.5)
    assert _distance(f"file://{path}") == _distance(path)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_phones_picture_of_tiles_is_read_whole_and_upright(tmp_path: Path, orientation: int) -> None:
    picture = cv2.resize(PICTURE, (300, 200), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "a.heic"
    _save(path, STORED[orientation](picture), quality=95, tile_size=128, exif=_exif(orientation))
    assert b"grid" in path.read_bytes()
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 6  # what a reader of videos sees: tiles
    assert _distance(path, picture) < 1.5


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "avif", "heic", "tif"])
def test_of_several_pictures_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    first = Image.new("RGB", (32, 16), (200, 100, 0))
    later = [Image.new("RGB", (32, 16), (0, 0, 250))]
    path = tmp_path / f"a.{suffix}"
    first.save(path, KINDS.get(suffix), save_all=True, append_images=later)
    assert np.abs(read_image(path)[8, 16].astype(int) - (200, 100, 0)).max() <= 3


CUT_OUT = np.dstack([np.full((HEIGHT, WIDTH, 3), (200, 30, 40), np.uint8), np.where(_X < 32, 0, 255).astype(np.uint8)])
"""Red, hidden in the left half, as programs that remove backgrounds leave it."""


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "heic", "avif", "gif", "jp2"])
def test_what_is_transparent_shows_the_background_and_not_what_lies_below(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(CUT_OUT).save(path, **({"lossless": True} if suffix == "webp" else {}))
    for colour in ((255, 255, 255), (0, 120, 10)):
        read = read_image(path, colour).astype(int)
        assert np.abs(read[:, :28] - colour).max() <= 1
        assert np.abs(read[:, 36:] - (200, 30, 40)).max() <= 3


def _half(hidden: Any, shown: Any, kind: type = np.uint8) -> Image.Image:
    """Of one colour in the left half, of another in the right one."""
    return Image.fromarray(np.where(_X[..., None] < 32, np.array(hidden), np.array(shown)).astype(kind).squeeze())


TRANSPARENT = {
    "grey with alpha": (_half((77, 77, 77, 0), (82, 82, 82, 255)).convert("LA"), {}),
    "palette with alpha": (_half((200, 30, 40, 0), (82, 82, 82, 255)).quantize(16), {}),
    "palette": (_half((200, 30, 40), (82, 82, 82)).quantize(16), {"transparency": b"\0\xff"}),
    "one grey level": (_half(77, 82), {"transparency": 77}),
    "one colour": (_half((200, 30, 40), (82, 82, 82)), {"transparency": (200, 30, 40)}),
    "one of two levels": (_half(0, 1, np.bool_), {"transparency": 0}),
    "one of 65536 grey levels": (_half(20_000, 21_100, np.uint16), {"transparency": 20_000}),
}


@pytest.mark.parametrize("name", list(TRANSPARENT))
def test_every_way_of_a_png_to_be_transparent(tmp_path: Path, name: str) -> None:
    image, options = TRANSPARENT[name]
    image.save(tmp_path / "a.png", **options)
    read = read_image(tmp_path / "a.png", (1, 250, 3))
    assert (read[:, :32] == (1, 250, 3)).all()
    assert (read[:, 32:] == (255 if image.mode == "1" else 82)).all()


def test_half_transparent_is_half_of_each(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (100, 0, 200, 51)).save(tmp_path / "a.png")  # 51 / 255 = 0.2
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[4, 4], [224, 204, 244], atol=1)


def test_greys_of_16_bits_become_8(tmp_path: Path) -> None:
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    for name in ("a.png", "a.tif", "a.pgm"):
        Image.fromarray(levels).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 1], np.arange(256).reshape(16, 16))


def test_colours_of_16_bits_become_8(tmp_path: Path) -> None:
    deep = np.zeros((8, 8, 3), np.uint16)
    deep[..., 2], deep[..., 0] = 40_000, 257  # OpenCV writes BGR
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), deep)
        assert read_image(tmp_path / name)[0, 0].tolist() == [156, 0, 1]  # 40,000 / 256


@pytest.mark.parametrize(
    ("name", "mode", "colour", "expected"),
    [
        ("a.jpg", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("a.tif", "CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("a.jpg", "L", 90, (90, 90, 90)),
        ("a.png", "1", 1, (255, 255, 255)),
        ("a.bmp", "P", 0, (0, 0, 0)),
        ("a.ppm", "RGB", (9, 8, 7), (9, 8, 7)),
    ],
)
def test_other_colours_than_rgb(tmp_path: Path, name: str, mode: str, colour: Any, expected: Any) -> None:
    Image.new(mode, (16, 16), colour).save(tmp_path / name)
    np.testing.assert_allclose(read_image(tmp_path / name)[8, 8], expected, atol=1)


def _matrix_profile(columns: list[tuple[float, float, float]], gamma: float) -> bytes:
    """An ICC version 2 profile: XYZ (D50) of red, green and blue, and one exponent."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(83)
    data = {b"desc": text, b"wtpt": xyz((0.9642, 1, 0.8249)), b"cprt": b"text\0\0\0\0-\0\0\0"}
    data |= {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    data |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body = b"", b""
    for name, content in data.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(data) + len(body), len(content))
        body += content
    head = (
        bytes(8)
        + b"\x02\x10\0\0mntrRGB XYZ "
        + bytes(12)
        + b"acsp"
        + bytes(28)
        + xyz((0.9642, 1, 0.8249))[8:]
        + bytes(48)
    )
    whole = head + struct.pack(">I", len(data)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def test_colours_are_what_the_profile_means(tmp_path: Path) -> None:
    """A wide-gamut picture with sRGB's own primaries swapped: red and green change places, grey stays grey."""
    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)  # sRGB at D50
    swapped = _matrix_profile([green, red, blue], 2.2)
    Image.new("RGB", (8, 8), (220, 60, 30)).save(tmp_path / "a.png", icc_profile=swapped)
    np.testing.assert_allclose(read_image(tmp_path / "a.png")[4, 4], [60, 220, 30], atol=6)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all", swapped[:150]):
        Image.fromarray(PICTURE).save(tmp_path / "b.png", icc_profile=profile)
        assert _distance(tmp_path / "b.png") == 0


def test_a_frame_of_a_video_is_a_picture(tmp_path: Path) -> None:
    levels = (20, 90, 160, 230)
    write_mp4(tmp_path / "a.mp4", [np.full((32, 32, 3), level, np.uint8) for level in levels], 5)
    assert np.abs(read_image(f"{tmp_path}/a.mp4#frame=2").astype(int) - 160).max() <= 2
    for wrong in ("4", "-1", "last", "", "²", "9" * 5000):
        with pytest.raises(DecodeError, match=r"no_such_frame: .*the video has 4 frames"):
            read_image(f"{tmp_path}/a.mp4#frame={wrong}")


def _png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG of 8-bit RGB by hand, whatever its header says of its size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


HOSTILE = {
    "empty": (b"", "unreadable"),
    "text": (b"a note\n" * 99, "unreadable"),
    "a web page": (b"<!doctype html><html>", "unreadable"),
    "a drawing of lines": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "unreadable"),
    "a program for a printer": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "unreadable"),
    "a bomb": (_png(30_000, 30_000, b""), "too_large"),
    "a bomb of 2^62 pixels": (_png(2**31 - 1, 2**31 - 1, b""), "too_large"),
    "a bomb of text": (b"P6\n99999999 99999999\n255\n", "too_large"),
    "no pixels": (_png(0, 16, b""), "unreadable"),
    "no rows": (_png(16, 0, b""), "unreadable"),
    "a header alone": (_png(16, 16, b"")[:40], "unreadable"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_what_is_no_picture_is_a_named_error(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DecodeError) as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.reason == reason
    assert str(tmp_path / "a.png") in caught.value.detail
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("suffix", [*KINDS, "tiles.heic", "gif", "bmp", "ppm", "jp2"])
def test_a_picture_that_is_cut_short_is_not_read_as_a_whole_one(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    options = {"tile_size": 128} if suffix == "tiles.heic" else {}
    Image.fromarray(noise).save(path, KINDS.get(suffix.split(".")[-1]), **options)
    whole = path.read_bytes()
    assert read_image(path).shape == (200, 300, 3)
    for length in (len(whole) - 20, len(whole) * 9 // 10, len(whole) // 2, 30):
        path.write_bytes(whole[:length])
        with pytest.raises(DecodeError, match="unreadable"):
            read_image(path)


def test_a_changed_byte_of_a_png_is_noticed(tmp_path: Path) -> None:
    data = bytearray(_save(tmp_path / "a.png", PICTURE).read_bytes())
    data[len(data) // 2] ^= 0x55
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DecodeError, match="unreadable"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "uri",
    ["{}", "{}/gone.png", "{}/" + "a" * 5000, "{}/a\0.png", "", "file://{}/gone.png", "file://elsewhere{}/a.png",
     "http://127.0.0.1:9/a.png", "ftp://127.0.0.1/a.png", "{}/pipe", "/dev/zero"],
)  # fmt: skip
def test_where_no_picture_is_to_be_had_is_said(tmp_path: Path, uri: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    _save(tmp_path / "a.png", PICTURE)
    with pytest.raises(DecodeError) as caught:
        read_image(uri.format(tmp_path))
    assert caught.value.reason == "not_found"


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_levels_whose_white_is_not_known_are_refused(tmp_path: Path, dtype: Any) -> None:
    Image.fromarray(np.full((4, 4), 70_000, dtype)).save(tmp_path / "a.tif")
    with pytest.raises(DecodeError, match=r"unreadable: .*save it as a usual picture"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["dds", "icns", "ico", "pcx", "qoi", "sgi", "tga"])
def test_rarer_kinds_are_read_by_pillow(tmp_path: Path, suffix: str) -> None:
    picture = np.full((64, 64, 3), (200, 30, 90), np.uint8)
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", **({"sizes": [(64, 64)]} if suffix == "ico" else {}))
    assert (read_image(tmp_path / f"a.{suffix}")[8, 8] == (200, 30, 90)).all()


@pytest.mark.parametrize(("suffix", "off"), [("hdr", 2.0), ("pfm", 1.0), ("ras", 0.0)])
def test_what_opencv_alone_reads(tmp_path: Path, suffix: str, off: float) -> None:
    """Light of HDR and PFM is linear: 0.214 is half of sRGB's range, 0.0031308 the end of its straight part (at
    12.92 * 255 * 0.0031308 = 10.3), and what is above white is white."""
    columns = np.repeat([0, 1, 2, 3], 4)
    light = np.array([0.2140, 0.0031308, 1.0, 5.0], np.float32)[columns]
    greys = np.array([127, 10, 255, 255], np.uint8)[columns]
    stored = np.broadcast_to((greys if suffix == "ras" else light)[None, :, None], (16, 16, 3))
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), np.ascontiguousarray(stored))
    np.testing.assert_allclose(read_image(tmp_path / f"a.{suffix}")[8, :, 1], greys, atol=off)
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DecodeError, match="unreadable"):
        read_image(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    "head",
    [
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 99999 +X 99999\n",
        b"PF\n99999 99999\n-1.0\n",
        b"\x59\xa6\x6a\x95" + struct.pack(">II", 99_999, 99_999),
    ],
)
def test_a_bomb_for_opencv_is_refused_by_its_head(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.hdr").write_bytes(head + bytes(99))
    with pytest.raises(DecodeError, match="too_large"):
        read_image(tmp_path / "a.hdr")
