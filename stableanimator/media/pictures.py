"""Still pictures of any usual kind to upright RGB, as a viewer shows them.

Read by Pillow: JPEG (grey and CMYK too), PNG (palettes and 16 bits too), HEIC, AVIF, WebP, TIFF, GIF, BMP, JPEG 2000,
PNM, and rarer ones (PSD, DDS, ICO, ICNS, PCX, QOI, SGI, TGA); by OpenCV: Radiance HDR, PFM in colour and Sun raster,
in which light above white is white. The orientation of EXIF is applied, colours go through an embedded ICC profile to
sRGB, 16 bits become 8, and of several pictures in a file the first (of a HEIC the main one) is read.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from pillow_heif import register_heif_opener

from stableanimator.errors import DecodeError
from stableanimator.media.video import VideoReader, local_file
from stableanimator.paths import frame_of

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

WHITE: Colour = (255, 255, 255)

register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
# Twice the size of which Pillow warns it refuses: 179 million pixels.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_FORMATS = ("JPEG", "PNG", "HEIF", "AVIF", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "PPM",
            "PSD", "DDS", "ICO", "ICNS", "PCX", "QOI", "SGI")  # fmt: skip
"""Pillow's other formats are left out: some start programs, some have no mark by which a file is known."""
_BY_NAME = {".tga": "TGA"}
"""Formats without a mark, which a file's name tells."""
_OPENCV = {
    rb"#\?(?:RADIANCE|RGBE)\n[^\0]{0,900}?\n\n-Y (\d{1,9}) \+X (\d{1,9})\n": lambda found: (
        int(found[2]),
        int(found[1]),
    ),
    rb"PF\s(\d{1,9})\s(\d{1,9})\s": lambda found: (int(found[1]), int(found[2])),
    rb"\x59\xa6\x6a\x95(.{4})(.{4})": lambda found: (int.from_bytes(found[1]), int.from_bytes(found[2])),
}
"""Beginnings of Radiance HDR, PFM in colour and Sun raster, which OpenCV reads; width and height that they state."""

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode for a profile's colour space."""


def read_image(uri: str | Path, background: Colour = WHITE) -> NDArray[np.uint8]:
    """A picture as uint8 RGB [H, W, 3]: a picture file, or `video.mp4#frame=12`.

    Args:
        uri: a local path or a URI of `pyarrow.fs`.
        background: what shows through transparent parts of a picture file. What a program that cuts people out has
            left below them is nobody's to see.

    Raises:
        DecodeError: not_found; unreadable (no picture, or a damaged one); too_large (above 179 million pixels);
            no_such_frame, or as `VideoReader`.
    """
    text = str(uri)
    name, frame = frame_of(text)
    if frame:
        number = frame.rpartition("=")[2]
        with VideoReader(name) as video:
            index = int(number) if re.fullmatch("[0-9]{1,9}", number) else video.info.frame_count
            if index >= video.info.frame_count:
                raise DecodeError("no_such_frame", f"{text}: the video has {video.info.frame_count} frames")
            return video.read([index])[0]
    path, copy = local_file(text)
    try:
        if not os.path.isfile(path):
            raise DecodeError("not_found", f"{text} is not a file")
        return np.array(_decoded(path, background), np.uint8)  # one that may be written to
    except Image.DecompressionBombError as error:
        raise DecodeError("too_large", f"{text}: {error}; make it smaller") from error
    except Image.UnidentifiedImageError as error:
        raise DecodeError(
            "unreadable", f"{text} is no whole picture of a known kind; of a video name a frame, as {text}#frame=0"
        ) from error
    except DecodeError:
        raise
    except Exception as error:  # Pillow's decoders raise of every kind for damaged files
        raise DecodeError("unreadable", f"{text}: {' '.join(str(error).split()) or type(error).__name__}") from error
    finally:
        if copy is not None:
            copy.cleanup()


def _decoded(path: str, background: Colour) -> Image.Image:
    by_opencv = _by_opencv(path)
    if by_opencv is not None:
        return by_opencv
    formats = (*_FORMATS, *(kind for suffix, kind in _BY_NAME.items() if path.lower().endswith(suffix)))
    with Image.open(path, formats=formats) as image:
        image.verify()  # a PNG's checksums, which loading passes over
        if image.format == "HEIF":
            _check_boxes(path)
    with Image.open(path, formats=formats) as image:
        upright = ImageOps.exif_transpose(image)
        profile = upright.info.get("icc_profile")
        if upright.mode.startswith(("I", "F")):
            upright = _eight_bits(upright)
        if not upright.has_transparency_data:
            return _srgb(upright, profile)
        whole = upright.convert("RGBA")
        under = Image.new("RGB", whole.size, background)
        return Image.composite(_srgb(whole.convert("RGB"), profile), under, whole.getchannel("A"))


def _by_opencv(path: str) -> Image.Image | None:
    """A picture of the kinds that only OpenCV reads; None: it is of another kind.

    Raises:
        DecompressionBombError: it states too large a size.
        ValueError: it cannot be decoded.
    """
    with open(path, "rb") as file:
        begin = file.read(1024)
    matches = ((re.match(mark, begin, re.DOTALL), size) for mark, size in _OPENCV.items())
    stated = next((size(found) for found, size in matches if found), None)
    if stated is None:
        return None
    if stated[0] * stated[1] > 2 * (Image.MAX_IMAGE_PIXELS or 0):
        raise Image.DecompressionBombError(f"Image size ({stated[0] * stated[1]} pixels) exceeds the limit")
    picture = cv2.imread(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError("it cannot be decoded; is it whole?")
    return Image.fromarray(_srgb_curve(picture) if picture.dtype == np.float32 else np.asarray(picture, np.uint8))


def _srgb_curve(light: NDArray) -> NDArray[np.uint8]:
    """Linear light, white at 1, to the 8 bits of sRGB (IEC 61966-2-1)."""
    light = np.clip(np.nan_to_num(light), 0, 1)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * curved).astype(np.uint8)


def _check_boxes(path: str) -> None:
    """Raise EOFError where a HEIC is cut short: libheif fills the tiles that are missing with green."""
    place, end = 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while place < end:
            file.seek(place)
            head = file.read(16)
            size = int.from_bytes(head[:4])  # ISO/IEC 14496-12, 4.2: 0 goes to the end, 1 stands for 64 bits further on
            size = {0: end - place, 1: int.from_bytes(head[8:])}.get(size, size)
            place += max(size, 8)
    if place != end:
        raise EOFError(f"the file is cut short: it has {end} of {place} bytes")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels of 16 bits, which Pillow would cut off at 255, to L; with alpha where one level is transparent."""
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 0xFFFF:
        raise ValueError("its grey levels are not those of 8 or 16 bits; save it as a usual picture")
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    hidden = image.info.get("transparency")
    if hidden is not None:
        grey.putalpha(Image.fromarray(np.where(levels == hidden, 0, 255).astype(np.uint8)))
    return grey


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB of a picture without alpha, its colours those that an ICC profile means.

    A profile that is damaged, or of other colours than the picture's, is passed over, as viewers do.
    """
    with contextlib.suppress(ImageCms.PyCMSError, OSError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        mode = _MODES.get(source.profile.xcolor_space.strip())
        same_kind = (mode == "CMYK") == (image.mode == "CMYK")
        if mode and same_kind and "sRGB" not in ImageCms.getProfileDescription(source):
            known, target = image.convert(mode), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(known, source, target, outputMode="RGB") or known
    return image.convert("RGB")
