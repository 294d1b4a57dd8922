"""Drawn people as references and drives, measured as `animate` measures them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.embedded.judge import Judge, Pictures
from stableanimator.animate import Driving, Reference
from stableanimator.driving import follow_people
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import Clip, ClipSettings

FRAMES = 16
SIDE, FPS = 192, 8.0
_SHORT = ClipSettings(width=SIDE, height=SIDE, fps=FPS, min_seconds=2.5, max_seconds=3.0)
_TWO_SHOTS = ClipSettings(width=SIDE, height=SIDE, fps=FPS, min_seconds=5.0, max_seconds=6.0)


@dataclass(frozen=True)
class Person:
    """A reference, and frames of the same person that are driven towards."""

    reference: Reference
    driving: Driving
    truth: Pictures
    """[F, H, W, 3] what the driving poses were found in."""


def in_one_shot(kind: str, seed: int, judge: Judge, frames: int = FRAMES) -> Person | None:
    """Someone whose first frame is the reference, and whose next ones drive."""
    seconds = (frames + 1) / FPS
    settings = _SHORT if seconds <= _SHORT.min_seconds else replace(_SHORT, min_seconds=seconds, max_seconds=seconds)
    pictures = _drawn(write_clip(kind, seed, settings), range(frames + 1))
    return _person(pictures[0], pictures[1:], judge)


def in_two_framings(seed: int, judge: Judge, frames: int = FRAMES) -> Person | None:
    """Someone whose whole body is the reference, and whose upper half or face drives, in the same place."""
    clip = write_clip("cut_inside", seed, _TWO_SHOTS)
    far, near = clip.shots
    middle = (far.start + far.end) // 2
    pictures = _drawn(clip, [middle, *range(near.start, min(near.end, near.start + frames))])
    return _person(pictures[0], pictures[1:], judge)


def _drawn(clip: Clip, numbers: range | list[int]) -> Pictures:
    wanted = set(numbers)
    frames = enumerate(itertools.islice(ClipRenderer(clip), max(wanted) + 1))
    drawn = {number: picture for number, picture in frames if number in wanted}
    return np.stack([drawn[number] for number in numbers])


def _person(picture: npt.NDArray[np.uint8], truth: Pictures, judge: Judge) -> Person | None:
    """None where the reference shows no face or nobody, or the drive nobody."""
    poses, faces = judge.people(picture), judge.faces(picture)
    if not len(poses) or not faces or faces[0].embedding is None:
        return None
    driving = follow_people([poses, *(judge.people(frame) for frame in truth)], 1, (SIDE, SIDE))[1:]
    reference = Reference(
        picture=picture, keypoints=poses[:1], face_box=faces[0].box, face_embedding=faces[0].embedding
    )
    return Person(reference, Driving(keypoints=driving, height=SIDE, width=SIDE, fps=FPS), truth)
