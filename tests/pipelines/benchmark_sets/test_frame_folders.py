from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.benchmark_sets.frame_folders import frame_folders, pictures_in, store_frames
from pipelines.storage.store import Store
from stableanimator.errors import DecodeError


def _frames(folder: Path, *names: str, side: int = 16) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((side, side, 3), 20 * number, np.uint8))
    return folder


def test_folders_with_pictures_are_videos_and_those_named_images_belong_to_the_one_above(tmp_path: Path) -> None:
    plain, inner = _frames(tmp_path / "2", "1.png"), _frames(tmp_path / "10" / "images", "1.png")
    _frames(tmp_path / "10" / "masks", "1.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("")
    assert frame_folders([str(tmp_path)]) == [inner, plain]


def test_pictures_follow_the_numbers_in_their_names(tmp_path: Path) -> None:
    folder = _frames(tmp_path / "a", "frame_10.png", "frame_9.png", "frame_100.jpg")
    (folder / "notes.txt").write_text("")
    assert [path.name for path in pictures_in(folder)] == ["frame_9.png", "frame_10.png", "frame_100.jpg"]


def test_equal_frames_are_one_video(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    one, two = (_frames(tmp_path / name, "1.png", "2.png") for name in ("one", "two"))
    assert store_frames(store, one, 30) == store_frames(store, two, 30)
    assert store_frames(store, one, 25) != store_frames(store, two, 30)


def test_damaged_pictures_and_several_sizes_are_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    sizes = _frames(_frames(tmp_path / "sizes", "1.png"), "2.png", side=8)
    _frames(tmp_path / "sizes", "3.png")
    with pytest.raises(ValueError, match=r"\[8, 8, 3\]"):
        store_frames(store, sizes, 30)
    (_frames(tmp_path / "damaged", "1.png") / "2.png").write_bytes(b"no picture")
    with pytest.raises(DecodeError, match="unreadable"):
        store_frames(store, tmp_path / "damaged", 30)
