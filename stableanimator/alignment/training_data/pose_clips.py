"""Poses of many clips in two files that are mapped, not read: a training on millions of frames holds none in memory.

<stem>.f32     float32 [N, 18, 3], the frames of all clips one after another
<stem>.json    names and lengths of the clips; written last, so without it there is nothing
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stableanimator.alignment.poses import NODES
from stableanimator.errors import InputError
from stableanimator.paths import open_own, own_file, read_json

Poses = NDArray[np.float32]
"""[F, 18, 3] in image heights; a missing joint is NaN with score 0."""

_FRAME_BYTES = NODES * 3 * 4


class PoseClips(Sequence[Poses]):
    """Clips of one or several pairs of files, in the order in which they were written; each is a view of a mapped file.

        clips = PoseClips(write_pose_clips(folder / "train", [("shot", poses), …]))
        clips[0]          # [F, 18, 3]
        clips.names[0]    # "shot"

    It travels between processes as paths.

    Raises:
        InputError: the files are not there or not whole.
    """

    def __init__(self, *stems: str | Path) -> None:
        self.stems = tuple(Path(stem) for stem in stems)
        self.names: list[str] = []
        self._places: list[tuple[int, int, int]] = []  # of each clip: which file, first frame, one past its last
        for number, stem in enumerate(self.stems):
            names, frames = _read_index(stem)
            ends = np.cumsum([0, *frames]).tolist()
            self.names += names
            self._places += [(number, start, end) for start, end in pairwise(ends)]

    @cached_property
    def _frames(self) -> list[Poses]:
        return [_mapped(_file(stem, ".f32")) for stem in self.stems]

    def __reduce__(self) -> tuple[type[PoseClips], tuple[Path, ...]]:
        return PoseClips, self.stems

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Poses: ...
    @overload
    def __getitem__(self, index: slice) -> list[Poses]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number, start, end = self._places[index]
        return self._frames[number][start:end]


def _file(stem: Path, ending: str) -> Path:
    """Not `with_suffix`: a stem may have a dot of its own."""
    return stem.with_name(stem.name + ending)


def _read_index(stem: Path) -> tuple[list[str], list[int]]:
    try:
        index = read_json(_file(stem, ".json"))
        clips = list(zip(index["names"], index["frames"], strict=True))
        names, frames = [str(name) for name, _ in clips], [int(count) for _, count in clips]
        size = _file(stem, ".f32").stat().st_size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{stem}.f32 and .json hold no poses ({error}); write them again") from error
    if size != sum(frames) * _FRAME_BYTES:
        raise InputError(f"{stem}.f32 has {size} bytes, not those of {sum(frames)} poses; write it again")
    return names, frames


def _mapped(path: Path) -> Poses:
    count = path.stat().st_size // _FRAME_BYTES
    if not count:
        return np.empty((0, NODES, 3), np.float32)  # nothing cannot be mapped
    return np.memmap(path, np.float32, "r", shape=(count, NODES, 3))


def write_pose_clips(stem: str | Path, clips: Iterable[tuple[str, Poses]]) -> Path:
    """Write clips (name, poses [F, 18, 3]) one by one; only one is in memory. Returns `stem`."""
    path = Path(stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    _file(path, ".json").unlink(missing_ok=True)  # an interrupted writing leaves no old index to new frames
    names, frames = [], []
    with open_own(_file(path, ".f32")) as stream:
        for name, poses in clips:
            stream.write(np.ascontiguousarray(poses, np.float32).tobytes())
            names.append(name)
            frames.append(len(poses))
    partial = own_file(_file(path, ".json.partial"))
    partial.write_text(json.dumps({"names": names, "frames": frames}))
    os.replace(partial, _file(path, ".json"))
    return path
