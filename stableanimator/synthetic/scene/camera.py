"""Cameras that move by known amounts, as similarities from the plane of a set to pixels.

F frames
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure.geometry import Array
from stableanimator.synthetic.figure.motions import wander

CAMERAS = ("static", "pan", "zoom", "roll", "shake", "follow")


@dataclass(frozen=True, slots=True)
class Framing:
    """What a camera at rest shows of the plane: its centre, and the height of the view in body heights."""

    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Course:
    """A camera's course; view heights and centres in the plane of the set, angles in degrees."""

    centre: Array
    """[F, 2]"""
    height: Array
    """[F]"""
    roll: Array
    """[F] the picture's content turns clockwise by this."""

    def matrices(self, height: int, width: int) -> Array:
        """[F, 2, 3] from the plane to pixels of a picture."""
        scale = height / self.height
        angle = np.radians(self.roll)
        linear = scale[:, None, None] * np.stack(
            [np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1
        )
        middle = np.array([width / 2, height / 2])
        shift = middle - (linear @ self.centre[..., None])[..., 0]
        return np.concatenate([linear, shift[..., None]], -1)


def course(kind: str, framing: Framing, times: Array, aspect: float, duration: float, seed: int) -> Course:
    """The course of a camera of a kind (of `CAMERAS`; "follow" stays until its owner adds what it follows).

    Args:
        times: [F] seconds from the beginning of the shot.
        aspect: width over height of the picture.
        duration: of the shot in seconds. Moving cameras have moved by a known share of the picture at its end.

    Raises:
        ValueError: no such kind.
    """
    if kind not in CAMERAS:
        raise ValueError(f"{kind} is no camera; choose one of {', '.join(CAMERAS)}")
    generator = np.random.default_rng([seed, 4])
    count, sign = len(times), generator.choice([-1.0, 1.0])
    centre = np.repeat([[framing.x, framing.y]], count, 0)
    height, roll = np.full(count, framing.height), np.zeros(count)
    share = times / duration - 0.5
    if kind == "pan":
        reach = generator.uniform(0.34, 0.5) * framing.height * min(aspect, 1.3)
        direction = np.array([sign, generator.uniform(-0.25, 0.25)])
        centre = centre + share[:, None] * reach * direction
    if kind == "zoom":
        height = framing.height * np.exp(sign * generator.uniform(0.30, 0.45) * share)
    if kind == "roll":
        roll = sign * generator.uniform(16, 26) * share
    if kind == "shake":
        amount = generator.uniform(0.012, 0.02) * framing.height
        shakes = [wander(times, generator, 1.8, 5.5, 6) for _ in range(3)]
        centre = centre + amount * np.stack(shakes[:2], -1)
        roll = 0.9 * shakes[2]
    return Course(centre, height, roll)


def step_similarities(matrices: Array, height: int, width: int) -> Array:
    """[F - 1, 4] what the camera did between consecutive frames: dx, dy of the picture's centre in pixels, rotation in
    degrees (clockwise on a screen), scale (above 1 the picture grows).
    """
    linear, shift = matrices[..., :2], matrices[..., 2]
    between = linear[1:] @ np.linalg.inv(linear[:-1])
    moved = shift[1:] - (between @ shift[:-1, :, None])[..., 0]
    middle = np.array([width / 2, height / 2])
    centre = between @ middle + moved - middle
    scale = np.sqrt(np.linalg.det(between))
    rotation = np.degrees(np.arctan2(between[:, 1, 0], between[:, 0, 0]))
    return np.concatenate([centre, rotation[:, None], scale[:, None]], -1)
