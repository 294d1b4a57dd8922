"""Drawn people who cross: poses as a detector gives them, in which one is hidden for a while behind another.

    B wrong, of F frames: `follow_people` gives somebody else's pose, misses somebody who is there, or finds who is not

Poses are those of drawn people with a detector's error (places off, joints and now and then whole people missing,
people in any order), at 8 to 30 frames a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stableanimator.driving import BODY, follow_people
from stableanimator.synthetic.figure.actor import draw_actor, figure_of
from stableanimator.synthetic.figure.geometry import View
from stableanimator.synthetic.figure.motions import move
from stableanimator.synthetic.figure.poses import mirrored

Array = npt.NDArray[np.float32]

_RATES = (8, 10, 12, 15, 24, 25, 30)
_HIDDEN = (0.2, 1.0)
"""Seconds."""
_NEAR = 0.3
"""Body heights between two people below which one may hide the other."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a detector saw."""

    frames: list[Array]
    """[P_f, 133, 3] of each frame."""
    owners: list[list[int]]
    """Whose each pose is; those of the first frame are in order."""


def draw_crossing(seed: int, count: int) -> Scene:
    """A scene of `count` people by seed."""
    random = np.random.default_rng([1_000_003, seed, count])
    fps, seconds = float(random.choice(_RATES)), float(random.uniform(3, 5))
    times = np.arange(int(seconds * fps)) / fps
    style = str(random.choice(["walk", "walk", "walk", "dance", "pass"]))
    pixels = float(np.exp(random.uniform(np.log(40), np.log(500))))  # a body height
    meet = seconds / 2 + random.uniform(-0.4, 0.4, count)
    places, points = [], []
    for person in range(count):
        right = person % 2 == 0 if person < 2 else bool(random.random() < 0.5)
        stays = style == "pass" and person == 0
        speed = 0.0 if stays else random.uniform(0.3, 1.2) * (1 if right else -1)
        motion = str(random.choice(["idle", "talk", "dance"])) if stays or style == "dance" else "stroll"
        x = random.uniform(-0.1, 0.1) + speed * (times - meet[person])
        places.append(x)
        points.append(_walker(random, motion, times, x, right) * pixels)
    seen = _seen(random, np.stack(places, 1), times)
    return _detected(random, np.stack(points, 1), seen, pixels)


def wrong_frames(scene: Scene, count: int) -> int:
    """Frames in which anybody is wrong."""
    followed = follow_people(scene.frames, count)
    wrong = 0
    for found, poses, owners in zip(followed, scene.frames, scene.owners, strict=True):
        right = True
        for person in range(count):
            if person in owners:
                right &= np.array_equal(found[person], poses[owners.index(person)], equal_nan=True)
            else:
                right &= not found[person, BODY, 2].any()
        wrong += not right
    return wrong


def share_wrong(count: int, scenes: int) -> tuple[float, int]:
    """Share of the frames of `scenes` crossings of `count` people that are wrong, and how many frames there are."""
    drawn = [draw_crossing(seed, count) for seed in range(scenes)]
    frames = sum(len(scene.frames) for scene in drawn)
    return sum(wrong_frames(scene, count) for scene in drawn) / frames, frames


def _walker(
    random: np.random.Generator, motion: str, times: npt.NDArray[np.float64], x: npt.NDArray[np.float64], right: bool
) -> npt.NDArray[np.float64]:
    """[F, 133, 2] body heights."""
    moved = move(motion, times, int(random.integers(1 << 30)))
    poses = moved.poses if right else np.stack([mirrored(pose) for pose in moved.poses])
    ground = np.stack([x, np.full(len(times), random.uniform(-0.1, 0.1))], -1)
    view = View(ground, np.full(len(times), random.uniform(0.85, 1.15)))
    return np.asarray(figure_of(draw_actor(random), poses, moved.expression, view).keypoints, np.float64)


def _seen(
    random: np.random.Generator, places: npt.NDArray[np.float64], times: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """[F, P] who is detected: of two who pass each other the one behind is hidden; a few are missed by chance."""
    frames, count = places.shape
    seen, depth = random.random((frames, count)) >= random.choice([0, 0.03]), random.permutation(count)
    middle = (times > 0.6) & (times < times[-1] - 0.6)
    for one in range(count):
        for other in range(one + 1, count):
            apart = np.where(middle, np.abs(places[:, one] - places[:, other]), np.inf)
            closest = int(np.argmin(apart))
            if apart[closest] <= _NEAR:
                back = one if depth[one] < depth[other] else other
                off = np.abs(times - times[closest] - random.uniform(-0.1, 0.1))
                seen[off <= random.uniform(*_HIDDEN) / 2, back] = False
    seen[0] = True
    return seen


def _detected(
    random: np.random.Generator, points: npt.NDArray[np.float64], seen: npt.NDArray[np.bool_], pixels: float
) -> Scene:
    """Poses with a detector's error, of points [F, P, 133, 2]."""
    noise, missed = random.uniform(0.004, 0.02) * pixels, random.uniform(0, 0.25)
    frames, owners = [], []
    for frame, there in enumerate(seen):
        order = np.flatnonzero(there) if frame == 0 else random.permutation(np.flatnonzero(there))
        poses = np.full((len(order), 133, 3), (np.nan, np.nan, 0), np.float32)
        poses[:, BODY, :2] = points[frame, order, BODY] + random.normal(0, noise, (len(order), 17, 2))
        poses[:, BODY, 2] = random.uniform(0.4, 0.95, (len(order), 17))
        poses[:, BODY][random.random((len(order), 17)) < missed] = (np.nan, np.nan, 0)
        frames.append(poses)
        owners.append([int(person) for person in order])
    return Scene(frames, owners)
