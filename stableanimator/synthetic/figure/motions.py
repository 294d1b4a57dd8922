"""Motions: poses and expressions over time, and how people move over the ground.

F frames
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stableanimator.synthetic.figure.geometry import Array
from stableanimator.synthetic.figure.landmarks import Expression
from stableanimator.synthetic.figure.poses import (
    COLUMN,
    DANCE,
    FINGERS,
    POSE,
    SIDES,
    STATUES,
    WAVE,
    mirrored,
    pose,
    with_hands,
)


@dataclass(frozen=True, slots=True)
class Motion:
    """A motion at the times asked for."""

    poses: Array
    """[F, len(POSE)]"""
    expression: Expression
    travel: Array
    """[F, 2] over the ground from where the person started, body heights: to the picture's right, to the camera."""


def move(name: str, times: Array, seed: int) -> Motion:
    """The motion `name` (of `MOTIONS`) at `times` [F] in seconds; any time can be asked for by itself.

    Raises:
        KeyError: no such motion.
    """
    poses, travel = MOTIONS[name](np.asarray(times, np.float64), np.random.default_rng([seed, 1]))
    still = name == "statue"
    if not still:
        poses = poses + _breath(times, np.random.default_rng([seed, 2]))
    return Motion(poses, _expression(name, times, np.random.default_rng([seed, 3])), travel)


def wander(times: Array, generator: np.random.Generator, low: float, high: float, waves: int = 4) -> Array:
    """[F] a smooth random course, about -1 to 1, made of `waves` waves between `low` and `high` hertz."""
    rates = generator.uniform(low, high, waves)
    phases = generator.uniform(0, 2 * np.pi, waves)
    weights = generator.uniform(0.5, 1, waves)
    return np.asarray((np.sin(2 * np.pi * np.outer(times, rates) + phases) * weights).sum(-1) / weights.sum() * 1.4)


def _set(poses: Array, **values: Array | float) -> None:
    """Add to columns."""
    for name, value in values.items():
        poses[:, COLUMN[name]] += value


def _breath(times: Array, generator: np.random.Generator) -> Array:
    """What a living body does all the time: breathe, sway, look about."""
    extra = np.zeros((len(times), len(POSE)))
    breath = np.sin(2 * np.pi * generator.uniform(0.25, 0.4) * times + generator.uniform(0, 6))
    _set(
        extra,
        shrug=0.0035 * breath,
        chest_lean=0.9 * breath,
        chest_tilt=1.6 * wander(times, generator, 0.15, 0.5),
        tilt=0.8 * wander(times, generator, 0.15, 0.4),
        head_yaw=5 * wander(times, generator, 0.2, 0.7),
        head_nod=3.5 * wander(times, generator, 0.3, 0.8),
        head_tilt=3 * wander(times, generator, 0.2, 0.6),
    )
    for side in SIDES:
        _set(
            extra,
            **{
                f"{side}_elbow": 3 * wander(times, generator, 0.2, 0.8),
                f"{side}_arm_out": 1.5 * wander(times, generator, 0.2, 0.8),
            },
        )
    return extra


def _stay(times: Array) -> Array:
    return np.zeros((len(times), 2))


def _idle(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    poses = np.repeat(pose()[None], len(times), 0)
    _set(poses, yaw=generator.uniform(-18, 18))
    return poses, _stay(times)


def _talk(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Speaks and gestures with both hands."""
    poses, travel = _idle(times, generator)
    for side in SIDES:
        lift = 0.5 + 0.5 * wander(times, generator, 0.2, 0.5)
        beat = wander(times, generator, 0.8, 2.2)
        _set(
            poses,
            **{
                f"{side}_arm_flex": 12 + 8 * lift,
                f"{side}_elbow": 58 * lift + 11 * beat + 10,
                f"{side}_arm_twist": 8 * beat - 8,
                f"{side}_arm_out": 7 * lift,
                f"{side}_wrist": 8 * beat,
            },
        )
    _set(poses, head_nod=4 * wander(times, generator, 0.7, 1.8), head_yaw=8 * wander(times, generator, 0.2, 0.6))
    return poses, travel


def _wave(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    row = WAVE if generator.random() < 0.5 else mirrored(WAVE)
    arm = "right" if row is WAVE else "left"
    poses = np.repeat(row[None], len(times), 0)
    swing = np.sin(2 * np.pi * generator.uniform(1.1, 1.7) * times + generator.uniform(0, 6))
    _set(poses, **{f"{arm}_elbow": 20 * swing + 2, f"{arm}_arm_out": 5 * swing, "chest_tilt": 1.5 * swing})
    _set(poses, yaw=generator.uniform(-15, 15), tilt=2 * wander(times, generator, 0.3, 0.6))
    return poses, _stay(times)


def _gait(times: Array, generator: np.random.Generator) -> tuple[Array, float]:
    """Walking on the spot, and its speed in body heights per second."""
    rate, reach = generator.uniform(0.75, 0.95), generator.uniform(17, 22)
    phase = 2 * np.pi * rate * times + generator.uniform(0, 6)
    poses = np.repeat(pose(arm_out=10)[None], len(times), 0)
    for side, sign in zip(SIDES, (1, -1), strict=True):
        swing = sign * np.sin(phase)
        forward = np.maximum(sign * np.cos(phase), 0)
        _set(
            poses,
            **{
                f"{side}_leg_flex": reach * swing + 6 * forward,
                f"{side}_knee": 7 + 42 * forward**1.5,
                f"{side}_foot": 12 * np.maximum(swing, 0) - 8 * np.maximum(-swing, 0),
                f"{side}_arm_flex": -1.15 * reach * swing,
                f"{side}_elbow": 10 - 12 * swing,
                f"{side}_leg_out": -2,
            },
        )
    _set(poses, chest_yaw=-7 * np.sin(phase), tilt=2.2 * np.sin(phase), lean=3, head_yaw=5 * np.sin(phase))
    return poses, 4 * 0.42 * np.sin(np.radians(reach)) * rate * 0.9


def _walk(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Towards the camera, a little to one side."""
    poses, speed = _gait(times, generator)
    yaw = generator.choice([-1, 1]) * generator.uniform(8, 24)
    _set(poses, yaw=yaw)
    heading = np.array([np.sin(np.radians(yaw)), np.cos(np.radians(yaw))])
    return poses, 0.75 * speed * times[:, None] * heading


def _stroll(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Across the picture, towards the right; a camera may follow."""
    poses, speed = _gait(times, generator)
    yaw = generator.uniform(38, 52)
    _set(poses, yaw=yaw, head_yaw=-16)
    return poses, speed * times[:, None] * np.array([1.0, 0.0])


def _dance(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """From pose to pose on the beat."""
    beat = generator.uniform(0.42, 0.56)
    count = int(np.ceil(600 / beat))  # enough for any clip, and the same poses whichever times are asked for
    order = generator.integers(0, len(DANCE), count)
    sides = generator.random(count) < 0.5
    jitter = generator.normal(0, 5, (count, len(POSE)))
    jitter[:, [COLUMN[f"{side}_{finger}"] for side in SIDES for finger in FINGERS]] = 0
    jitter[:, [COLUMN[name] for name in ("shift", "jump", "shrug")]] = 0
    offset = generator.uniform(0, beat)
    place = (times + offset) / (2 * beat)
    index = np.clip(place.astype(int), 0, count - 2)
    steps = [
        np.array([mirrored(DANCE[order[i]]) if sides[i] else DANCE[order[i]] for i in index + extra])
        + jitter[index + extra]
        for extra in (0, 1)
    ]
    share = place - index
    ease = np.clip(share / 0.62, 0, 1)
    ease = ease * ease * (3 - 2 * ease) + 0.08 * np.sin(np.pi * ease) * np.sin(2 * np.pi * ease)
    poses = steps[0] + (steps[1] - steps[0]) * ease[:, None]
    pulse = np.abs(np.sin(np.pi * place * 2))
    sway = np.sin(np.pi * place)
    for side in SIDES:
        _set(poses, **{f"{side}_knee": 14 * (1 - pulse), f"{side}_leg_flex": 7 * (1 - pulse)})
    _set(
        poses,
        shift=0.025 * sway,
        tilt=3.5 * sway,
        yaw=10 * wander(times, generator, 0.15, 0.4),
        head_tilt=5 * sway,
        head_nod=5 * (1 - pulse) - 3,
    )
    poses[:, COLUMN["head_yaw"]] -= 0.7 * (poses[:, COLUMN["yaw"]] + poses[:, COLUMN["chest_yaw"]])
    return poses, _stay(times)


def _spin(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Dances and turns once around within two seconds of every five."""
    poses, travel = _dance(times, generator)
    direction = generator.choice([-1, 1])
    share = np.clip((times % 5.0 - 0.9) / 1.9, 0, 1)
    turns = np.floor(times / 5.0)
    _set(poses, yaw=direction * 360 * (share * share * (3 - 2 * share) + turns))
    return poses, travel


def _turn_away(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Looks into the camera for a moment, turns round and stays so."""
    poses, travel = _talk(times, generator)
    share = np.clip((times - 0.25) / 0.9, 0, 1)
    _set(poses, yaw=generator.choice([-1, 1]) * 172 * share * share * (3 - 2 * share))
    return poses, travel


def _away(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Dances with the back to the camera."""
    poses, travel = _dance(times, generator)
    _set(poses, yaw=180)
    poses[:, COLUMN["yaw"]] = 180 + 0.6 * (poses[:, COLUMN["yaw"]] - 180)
    return poses, travel


def _statue(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    row = STATUES[generator.integers(len(STATUES))]
    row = mirrored(row) if generator.random() < 0.5 else row
    row = row.copy()
    row[COLUMN["yaw"]] += generator.uniform(-20, 20)
    return np.repeat(row[None], len(times), 0), _stay(times)


def _nod(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """A talking head: hands down, the head lively."""
    poses, travel = _idle(times, generator)
    poses = np.stack([with_hands(row, "relaxed", "relaxed") for row in poses[:1]]).repeat(len(times), 0)
    _set(
        poses,
        head_yaw=15 * wander(times, generator, 0.2, 0.6),
        head_nod=7 * wander(times, generator, 0.4, 1.2),
        head_tilt=6 * wander(times, generator, 0.2, 0.5),
        chest_yaw=4 * wander(times, generator, 0.2, 0.5),
    )
    return poses, travel


def _lean(times: Array, generator: np.random.Generator) -> tuple[Array, Array]:
    """Speaks to people on both sides: the head turns and tilts far, the trunk leans after it, hands stay down."""
    poses, travel = _nod(times, generator)
    _set(
        poses,
        head_yaw=28 * wander(times, generator, 0.2, 0.5),
        head_tilt=10 * wander(times, generator, 0.2, 0.6),
        chest_tilt=7 * wander(times, generator, 0.15, 0.4),
        tilt=4 * wander(times, generator, 0.1, 0.3),
        chest_yaw=12 * wander(times, generator, 0.15, 0.4),
    )
    return poses, travel


MOTIONS: dict[str, Callable[[Array, np.random.Generator], tuple[Array, Array]]] = {
    "idle": _idle,
    "talk": _talk,
    "nod": _nod,
    "lean": _lean,
    "wave": _wave,
    "walk": _walk,
    "stroll": _stroll,
    "dance": _dance,
    "spin": _spin,
    "turn_away": _turn_away,
    "away": _away,
    "statue": _statue,
}
"""Every motion by name."""

_SPEAKS = ("talk", "nod", "lean", "turn_away")


def _expression(name: str, times: Array, generator: np.random.Generator) -> Expression:
    """A face that blinks, looks about, smiles more or less, and speaks where the motion is one of speech."""
    mood = generator.uniform(0.15, 0.8)
    count = len(times)
    if name == "statue":
        return Expression(
            np.full(count, 0.2), np.zeros(count), np.full(count, 0.9), np.zeros(count), np.zeros((count, 2))
        )
    smile = np.clip(mood + 0.35 * wander(times, generator, 0.15, 0.6), -0.3, 1)
    syllables = np.maximum(wander(times, generator, 2.2, 5.0, 6), 0)
    pauses = np.clip(0.6 + wander(times, generator, 0.3, 0.8), 0, 1)
    laugh = np.clip(wander(times, generator, 0.2, 0.5) - 0.4, 0, 1)
    mouth = np.clip(1.1 * syllables * pauses if name in _SPEAKS else 0.9 * laugh, 0, 1)
    blinks = generator.uniform(1.6, 4.2, 200).cumsum() - generator.uniform(0, 3)
    nearest = np.abs(times[:, None] - blinks[None]).min(1)
    eyes = np.clip(nearest / 0.07 - 0.35, 0, 1) * (1 - 0.15 * np.maximum(smile, 0) * (mouth > 0.3))
    brows = 0.5 * wander(times, generator, 0.3, 0.9) + 0.3 * mouth
    gaze = np.stack([wander(times, generator, 0.2, 0.7), 0.5 * wander(times, generator, 0.2, 0.7)], -1)
    return Expression(smile, mouth, eyes, np.clip(brows, -1, 1), np.clip(0.7 * gaze, -1, 1))
