"""Drawn people as a detector would find them, where the cases of a look take them from: joints are off and now and then
missing, and what looks away scores low. Whether a foot or a crown lies in the picture is told by the true points.

F frames
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from stableanimator.alignment.settings import AlignmentName
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate import Driving, Reference, ReferenceFace
from stableanimator.driving import BODY
from stableanimator.media.framing import Size
from stableanimator.perception.skeleton import FACE
from stableanimator.synthetic.figure.actor import draw_actor, figure_of
from stableanimator.synthetic.figure.body import stand
from stableanimator.synthetic.figure.geometry import View
from stableanimator.synthetic.figure.motions import move
from stableanimator.synthetic.figure.poses import COLUMN, pose

Values = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32]
Random = np.random.Generator

FRAMES, FPS = 32, 8.0
SIZES: tuple[Size, ...] = ((512, 512), (768, 512), (512, 768))
_DRIVES = ("talk", "wave", "dance", "idle", "lean")
_HIDDEN_SCORE = 0.1


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in a picture."""

    true: Values
    """[F, 133, 2] pixels."""
    seen: Points
    """[F, 133, 3] as a detector finds them, also outside the picture."""
    crown: Values
    """[F, 2]"""
    face: Values | None
    """[4] box in the first frame; None: it looks away."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pair before it is aligned."""

    reference: Reference
    driving: Driving
    alignment: AlignmentName = "learned"
    reference_people: int = 1
    frames: Sequence[Points] = field(default_factory=list)
    """[F] of [P_f, 133, 3]: everybody that the detector finds."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How somebody is drawn: a size in pixels, and where the feet are in shares of the picture."""

    size: Size
    stature: float
    x: float = 0.5
    ground: float = 0.93


def full_body(random: Random, size: Size | None = None) -> Scene:
    """A picture that shows all of somebody."""
    size = size or SIZES[random.integers(2)]
    stature = random.uniform(0.7, 0.82) * size[0] * (1 if size[0] == size[1] else 0.85)
    return Scene(size=size, stature=stature, x=random.uniform(0.42, 0.58), ground=random.uniform(0.91, 0.95))


def half_body(random: Random, size: Size | None = None) -> Scene:
    """A picture that ends between the hips and the thighs."""
    size = size or SIZES[random.integers(2)]
    stature = random.uniform(1.35, 1.6) * size[0]
    return Scene(size=size, stature=stature, ground=0.1 + stature / size[0])


def motion(random: Random, frames: int = FRAMES, name: str | None = None, **changes: float) -> Values:
    """[frames, columns] of some motion, with columns of a pose added."""
    times = np.arange(frames) / FPS
    poses = move(name or str(random.choice(_DRIVES)), times, int(random.integers(1 << 30))).poses.copy()
    for column, value in changes.items():
        poses[:, COLUMN[column]] += value
    return poses


def still(random: Random, frames: int = 1, **values: float) -> Values:
    """[frames, columns] of somebody who holds a pose, but for a little sway."""
    breath = 1.5 * np.sin(np.arange(frames) / 4 + random.uniform(0, 6))
    poses = np.repeat(pose(**values)[None], frames, 0)
    poses[:, COLUMN["chest_tilt"]] += breath
    return poses


def seated(random: Random, frames: int = 1, yaw: float = 0.0) -> Values:
    """[frames, columns] of somebody on a chair."""
    return still(random, frames, yaw=yaw, leg_flex=random.uniform(72, 95), knee=random.uniform(65, 105),
                 leg_out=random.uniform(2, 14), arm_flex=random.uniform(0, 40))  # fmt: skip


def person(random: Random, poses: Values, scene: Scene, missed: float = 0.15) -> Person:
    """Somebody new in poses [F, columns]."""
    actor, frames = draw_actor(random), len(poses)
    view = View(np.zeros((frames, 2)), np.ones(frames))
    expression = move("idle", np.arange(frames) / FPS, 0).expression
    figure, skeleton = figure_of(actor, poses, expression, view), stand(actor.body, poses, view)
    scale = scene.stature / actor.body.stature
    place = np.array([scene.x * scene.size[1], scene.ground * scene.size[0]])
    true = figure.keypoints * scale + place
    above = skeleton.at("head", "skull", (0.0, -1.8 * actor.body.head, 0.0))
    corners = figure.face[0] * scale + place
    return Person(
        true=true,
        seen=_detected(random, true, np.asarray(figure.facing), scene.stature, missed),
        crown=view.project(above) * scale + place,
        face=np.concatenate([corners.min(0), corners.max(0)]) if figure.face_seen[0] else None,
    )


def _detected(random: Random, true: Values, facing: npt.NDArray[np.bool_], stature: float, missed: float) -> Points:
    noise = np.full(133, random.uniform(0.002, 0.012) * stature)
    noise[FACE] /= 4
    found = np.concatenate([true + random.normal(size=true.shape) * noise[:, None], np.ones((*true.shape[:2], 1))], -1)
    found[..., 2] = np.where(facing, random.uniform(0.5, 1, true.shape[:2]), _HIDDEN_SCORE)
    lost = random.random((len(true), 17)) < random.uniform(0, missed)
    found[:, BODY][lost] = (np.nan, np.nan, 0)
    return found.astype(np.float32)


def reference_of(people: Sequence[Person], size: Size) -> Reference:
    """Whom a picture shows; its pixels are of no account here."""
    faces = [
        None if each.face is None else ReferenceFace(box=each.face.astype(np.float32), embedding=np.zeros(4, "f4"))
        for each in people
    ]
    return Reference(
        picture=np.zeros((*size, 3), np.uint8),
        keypoints=np.stack([each.seen[0] for each in people]),
        face_box=None if faces[0] is None else faces[0].box,
        face_embedding=None if faces[0] is None else faces[0].embedding,
        other_faces=tuple(faces[1:]),
    )


def driving_of(people: Sequence[Person], size: Size, shift: tuple[float, float] = (0.0, 0.0)) -> Driving:
    """A drive, moved by so many pixels before it is aligned."""
    moved = Similarity(torch.eye(2), torch.ones(()), torch.tensor(shift, dtype=torch.float32) / size[0])
    keypoints = np.stack([each.seen for each in people], 1)
    return Driving(keypoints=keypoints, height=size[0], width=size[1], fps=FPS, misalignment=moved)


def lies_inside(points: Values, size: Size) -> npt.NDArray[np.bool_]:
    """Of points [..., 2]: which lie in a picture of `size`."""
    return np.asarray(((points >= 0) & (points < (size[1], size[0]))).all(-1))
