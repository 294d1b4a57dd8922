"""Frames to train on: drawn once, kept as JPEG with their truth.

    parts/00017.jpegs    the pictures of 100 clips, one after another
    parts/00017.npz      where each begins, and its truth

A part depends on (seed, its number) alone; drawing goes on where it was interrupted.

    N frames   P people at most
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stableanimator.synthetic.clips import KINDS, write_clip
from stableanimator.synthetic.figure.identity import draw_identity
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import Clip, ClipSettings
from stableanimator.synthetic.truth import Truth

SEEDS = 1_000_000
"""Clips to train on have seeds below this one; whoever measures begins above."""

_PEOPLE = 3  # the most that any kind of clip shows
_CLIPS_OF_PART = 100
_SIZES = ((256, 256), (256, 256), (320, 256), (256, 320), (192, 192), (384, 288), (288, 384))
_KINDS = tuple(kind for kind in KINDS if kind != "empty")
_FACE_KINDS = ("talk", "gesture", "wave", "zoom", "turn_away", "talk", "dance", "spin")


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSet:
    """What is drawn for one purpose."""

    name: str
    clips: int
    """Multiples of 100."""
    frames_per_clip: int = 6
    kinds: tuple[str, ...] = _KINDS
    seed: int = 0
    clips_per_identity: int = 0
    """Above 0 a face is drawn in so many clips, each time with another body, other clothes and another place."""

    @property
    def identities(self) -> int:
        """Faces that are drawn again and again."""
        return self.clips // self.clips_per_identity if self.clips_per_identity else 0


EVERYTHING = FrameSet(name="everything", clips=4000)
"""For whoever finds people, faces and joints."""
NOBODY = FrameSet(name="nobody", clips=400, kinds=("empty",), seed=3)
"""Places in which nobody is to be found."""
FACES = FrameSet(name="faces", clips=6000, frames_per_clip=3, kinds=_FACE_KINDS, seed=1, clips_per_identity=6)
"""1,000 faces, for the recogniser."""
OTHER_FACES = FrameSet(
    name="other_faces", clips=4800, frames_per_clip=3, kinds=_FACE_KINDS, seed=2, clips_per_identity=6
)
"""800 other faces, for the recogniser that nothing ever optimises against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Truth of N frames; who is not there is NaN. Coordinates are pixels as in `Truth`."""

    size: NDArray[np.int32]
    """[N, 2] height, width."""
    person_boxes: NDArray[np.float32]
    """[N, P, 4]"""
    face_boxes: NDArray[np.float32]
    """[N, P, 4]"""
    face_landmarks: NDArray[np.float32]
    """[N, P, 5, 2]"""
    keypoints: NDArray[np.float32]
    """[N, P, 133, 2]"""
    visibility: NDArray[np.uint8]
    """[N, P, 133]"""
    identity: NDArray[np.int32]
    """[N] number of the first person's face, -1 where faces are not repeated."""


class TrainingFrames:
    """Drawn sets: `frames` holds the truth, `picture(number)` reads a picture, uint8 RGB [H, W, 3]."""

    def __init__(self, folder: Path, *wanted: FrameSet) -> None:
        parts = [_part(folder / one.name, number) for one in wanted for number in range(one.clips // _CLIPS_OF_PART)]
        loaded = [dict(np.load(part.with_suffix(".npz"))) for part in parts]
        self._bytes = [np.memmap(part.with_suffix(".jpegs"), np.uint8, "r") for part in parts]
        self._place = np.concatenate([_places(number, part["edges"]) for number, part in enumerate(loaded)])
        names = [field.name for field in fields(Frames)]
        self.frames = Frames(**{name: np.concatenate([part[name] for part in loaded]) for name in names})

    def __len__(self) -> int:
        return len(self._place)

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Frame `number` as it was drawn, after JPEG."""
        part, start, end = self._place[number]
        return np.asarray(cv2.imdecode(self._bytes[part][start:end], cv2.IMREAD_COLOR_RGB), np.uint8)


def _places(part: int, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([np.full(len(edges) - 1, part), edges[:-1], edges[1:]], -1)


def draw_frames(folder: Path, wanted: FrameSet, workers: int) -> None:
    """Draw what is missing of a set."""
    target = folder / wanted.name
    target.mkdir(parents=True, exist_ok=True)
    todo = [n for n in range(wanted.clips // _CLIPS_OF_PART) if not _part(target, n).with_suffix(".npz").exists()]
    # forked copies of a process that has used torch's threads hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_draw_part, [target] * len(todo), [wanted] * len(todo), todo), start=1):
            print(f"{wanted.name}: {done} of {len(todo)} parts drawn", flush=True)


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}"


def _draw_part(folder: Path, wanted: FrameSet, part: int) -> None:
    cv2.setNumThreads(1)
    jpegs: list[bytes] = []
    rows: list[dict[str, Any]] = []
    for number in range(part * _CLIPS_OF_PART, (part + 1) * _CLIPS_OF_PART):
        generator = np.random.default_rng([wanted.seed, number])
        clip, identity = _clip(wanted, number, generator)
        renderer = ClipRenderer(clip, _spread(clip.frame_count, wanted.frames_per_clip, generator))
        for picture in renderer:
            quality = int(generator.integers(55, 98))
            bgr = np.ascontiguousarray(picture[..., ::-1])
            jpegs.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
        rows.extend(_row(renderer.truth, frame, identity) for frame in range(len(renderer)))
    path = _part(folder, part)
    path.with_suffix(".jpegs").write_bytes(b"".join(jpegs))
    edges = np.cumsum([0, *(len(jpeg) for jpeg in jpegs)])
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, edges=edges, **arrays)  # type: ignore[arg-type]
    os.replace(unfinished, path.with_suffix(".npz"))


def _clip(wanted: FrameSet, number: int, generator: np.random.Generator) -> tuple[Clip, int]:
    width, height = _SIZES[generator.integers(len(_SIZES))]
    settings = ClipSettings(width=width, height=height)
    seed = int(generator.integers(SEEDS))
    kind = wanted.kinds[int(generator.integers(len(wanted.kinds)))]
    if not wanted.clips_per_identity:
        return write_clip(kind, seed, settings), -1
    identity = number // wanted.clips_per_identity
    face = draw_identity(identity_seed(wanted, identity))
    return write_clip(kind, seed, settings, [face]), identity


def identity_seed(wanted: FrameSet, identity: int) -> np.random.Generator:
    """What face number `identity` of a set is drawn with."""
    return np.random.default_rng([wanted.seed, SEEDS, identity])


def _spread(count: int, wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Frames all over a clip, one at random in each of its `wanted` parts."""
    edges = np.linspace(0, count, wanted + 1)
    return np.unique(generator.uniform(edges[:-1], edges[1:]).astype(np.int64))


def _row(truth: Truth, frame: int, identity: int) -> dict[str, Any]:
    def of_people(values: NDArray[Any], missing: float) -> NDArray[Any]:
        filled = np.full((_PEOPLE, *values.shape[1:]), missing, values.dtype)
        filled[: len(values)] = values[:_PEOPLE]
        return filled

    return {
        "size": truth.size.astype(np.int32),
        "person_boxes": of_people(truth.person_boxes[frame], np.nan),
        "face_boxes": of_people(truth.face_boxes[frame], np.nan),
        "face_landmarks": of_people(truth.face_landmarks[frame], np.nan),
        "keypoints": of_people(truth.keypoints[frame], np.nan),
        "visibility": of_people(truth.visibility[frame], 0),
        "identity": np.int32(identity),
    }
