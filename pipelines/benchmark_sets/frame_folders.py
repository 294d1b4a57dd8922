"""Videos that come as folders of pictures, made into files that hold the same frames, bit by bit."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.storage.store import Store
from stableanimator.errors import InputError
from stableanimator.media.pictures import read_image
from stableanimator.media.video import write_lossless
from stableanimator.paths import local_path

SUFFIX = ".mp4"
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def frame_folders(folders: Sequence[str]) -> list[Path]:
    """Each folder with pictures right below these, or in a subfolder `images` of one, by name.

    Raises:
        InputError: one of them is no folder, or holds no such folder.
    """
    found = []
    for name in folders:
        root = local_path(name)
        if not root.is_dir():
            raise InputError(f"benchmark.frames: {name} is no folder")
        inner = [each / "images" if (each / "images").is_dir() else each for each in sorted(root.iterdir())]
        with_pictures = [each for each in inner if each.is_dir() and pictures_in(each)]
        if not with_pictures:
            raise InputError(f"benchmark.frames: {name} holds no folder with pictures; give the folder above them")
        found += with_pictures
    return found


def pictures_in(folder: Path) -> list[Path]:
    """Its pictures, in the order of the numbers in their names."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in _PICTURES and not path.name.startswith(".")]
    return sorted(files, key=lambda path: ([int(digits) for digits in re.findall(r"\d+", path.stem)], path.name))


def store_frames(store: Store, folder: Path, fps: float) -> str:
    """Store the pictures of a folder as one video; returns its id.

    Raises:
        DecodeError: a picture is damaged.
        ValueError: they are of several sizes.
    """

    def frames() -> Iterator[object]:
        for path in pictures_in(folder):
            yield read_image(path)

    with tempfile.TemporaryDirectory(prefix="sa-frames-") as scratch:
        file = Path(scratch) / f"frames{SUFFIX}"
        write_lossless(file, frames(), fps)  # type: ignore[arg-type]
        return store.put_media(file, SUFFIX)[0]
