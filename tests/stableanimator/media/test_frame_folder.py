"""Folders of pictures as clips, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stableanimator.errors import DecodeError
from stableanimator.media.frame_folder import FolderReader, open_frames
from stableanimator.media.video import VideoReader, write_mp4


def _folder(path: Path, names: list[str], size: tuple[int, int] = (8, 6)) -> Path:
    """Pictures whose grey level is their place in `names`."""
    path.mkdir()
    for level, name in enumerate(names):
        Image.new("RGB", (size[1], size[0]), (level, level, level)).save(path / name)
    return path


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames", ["f_1.png", "f_2.png", "f_10.png", "f_011.png"])
    (folder / "notes.txt").write_text("no picture")
    with open_frames(str(folder), 8.0) as clip:
        assert (clip.info.frame_count, clip.info.height, clip.info.width, clip.info.fps) == (4, 8, 6, 8.0)
        np.testing.assert_allclose(clip.info.times, [0, 0.125, 0.25, 0.375])
        assert clip.read([3, 0, 3])[:, 0, 0, 0].tolist() == [3, 0, 3]
        windows = [frames[:, 0, 0, 0].tolist() for _, frames in clip.windows(range(4), 3)]
        assert windows == [[0, 1, 2], [3]]
        with pytest.raises(IndexError, match="4 frames"):
            clip.read([4])


def test_what_is_no_folder_is_a_video(tmp_path: Path) -> None:
    write_mp4(tmp_path / "clip", [np.zeros((16, 16, 3), np.uint8)] * 3, 25)
    with open_frames(str(tmp_path / "clip"), 8.0) as clip:
        assert isinstance(clip, VideoReader)
        assert clip.info.fps == pytest.approx(25)  # its own
    with pytest.raises(DecodeError, match="not_found"):
        open_frames(str(tmp_path / "gone"), 8.0)


def test_a_folder_elsewhere_is_fetched_and_given_back(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "frames.of", ["0.png", "1.png"])
    with open_frames(folder.as_uri(), 8.0) as clip:
        assert clip.read([1])[0, 0, 0, 0] == 1


def test_folders_without_usable_frames_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DecodeError, match="holds no picture"):
        open_frames(str(tmp_path / "empty"), 8.0)
    with pytest.raises(DecodeError, match="not_found"):
        FolderReader(tmp_path / "gone", 8.0)
    uneven = _folder(tmp_path / "uneven", ["0.png"])
    Image.new("RGB", (4, 4)).save(uneven / "1.png")
    with (
        open_frames(str(uneven), 8.0) as clip,
        pytest.raises(DecodeError, match=r"1\.png is 4x4, the first picture 8x6"),
    ):
        clip.read([0, 1])
    broken = _folder(tmp_path / "broken", ["0.png"])
    (broken / "1.png").write_bytes(b"no picture")
    with open_frames(str(broken), 8.0) as clip, pytest.raises(DecodeError, match="unreadable"):
        clip.read([1])
