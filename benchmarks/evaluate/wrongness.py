"""Drawn results that are wrong by known amounts, and how often columns put neighbouring amounts in the right order.

Each clip is its own truth. What is wrong with a result is drawn: the person stands beside the right place, comes late,
has a face between the own and a stranger's, or the picture is noisy. The networks are the package's small ones.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.drawn.clips import FIRST_SEED, WEIGHTS, drawn_perception
from benchmarks.evaluate.image import BLIND
from benchmarks.harness import Figure
from benchmarks.processes import spread
from jobs.pairs.people import People
from stableanimator.metrics.identity import main_identity
from stableanimator.metrics.scoring import Scoring
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.figure.identity import draw_identity, traits_of
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import Clip, ClipSettings

Frames = Sequence[npt.NDArray[np.uint8]]

BAR = 0.9
_FPS, _FRAMES, _FACES = 25.0, 32, 8
_SETTINGS = ClipSettings(width=256, height=256, fps=_FPS, min_seconds=2.0, max_seconds=2.5)
_BEGIN = 8
"""First frame of the truth, so that a result can be late."""


@dataclass(frozen=True, kw_only=True)
class Wrongness:
    """One way to be wrong."""

    amounts: tuple[float, ...]
    unit: str
    kinds: tuple[str, ...]
    """Of drawn clips, in turn."""
    frames: range
    make: Callable[[Clip, float, range], Frames]
    """A result that is wrong by an amount; by 0 it is the truth."""
    better: Mapping[str, str]
    """Columns of this kind: whether they should fall or rise with the amount."""
    faces: bool = False
    people: bool = False


def _drawn(clip: Clip, frames: Iterable[int]) -> Frames:
    return list(draw_clip(clip, list(frames))[0])


def beside(clip: Clip, statures: float, frames: range) -> Frames:
    """Everybody stands to the side, the set stays."""
    shots = [
        replace(
            shot,
            roles=tuple(
                replace(role, x=role.x + statures * clip.cast[role.person].body.stature) for role in shot.roles
            ),
        )
        for shot in clip.shots
    ]
    return _drawn(replace(clip, shots=tuple(shots)), frames)


def late(clip: Clip, delay: float, frames: range) -> Frames:
    """What should have been shown so many frames before."""
    return _drawn(clip, range(frames.start - int(delay), frames.stop - int(delay)))


def stranger(clip: Clip, share: float, frames: range) -> Frames:
    """A face mixed with somebody else's, who wears the same clothes in the same pose: so much of the other picture."""
    genes = draw_identity(np.random.default_rng([clip.seed, 1]))
    actor = replace(clip.cast[0], identity=genes, traits=traits_of(genes))
    others = _drawn(replace(clip, cast=(actor, *clip.cast[1:])), frames)
    return [
        np.rint((1 - share) * own.astype(np.float64) + share * other).astype(np.uint8)
        for own, other in zip(_drawn(clip, frames), others, strict=True)
    ]


def noisy(clip: Clip, sigma: float, frames: range) -> Frames:
    """Independent noise in each value of each frame, rounded to grey levels."""
    generator = np.random.default_rng([clip.seed, 2])
    return [
        np.clip(np.rint(frame + generator.normal(0, sigma, frame.shape)), 0, 255).astype(np.uint8)
        for frame in _drawn(clip, frames)
    ]


_MOVING = ("dance", "wave", "gesture", "dance")
_SHOWN = range(_BEGIN, _BEGIN + _FRAMES)
WRONG: dict[str, Wrongness] = {
    "joints": Wrongness(
        amounts=(0, 0.02, 0.05, 0.1, 0.2),
        unit="statures",
        kinds=_MOVING,
        frames=range(_BEGIN, _BEGIN + _FRAMES, 4),
        make=beside,
        better={"joint_error": "rises"},
        people=True,
    ),
    "delay": Wrongness(
        amounts=(0, 1, 2, 3, 4),
        unit="frames",
        kinds=_MOVING,
        frames=_SHOWN,
        make=late,
        better={"velocity": "falls", "joint_error": "rises"},
        people=True,
    ),
    "face": Wrongness(
        amounts=(0, 0.2, 0.4, 0.6, 0.8, 1),
        unit="of a stranger's",
        kinds=("talk", "gesture"),
        frames=range(_BEGIN, _BEGIN + _FRAMES, _FRAMES // _FACES),
        make=stranger,
        better=dict.fromkeys(("csim", "csim_truth", "csim_held_out", "csim_truth_held_out"), "falls"),
        faces=True,
    ),
    "noise": Wrongness(
        amounts=(0, 2, 4, 6, 8),
        unit="grey levels",
        kinds=_MOVING,
        frames=_SHOWN,
        make=noisy,
        better={"flicker": "rises", "flicker_truth": "rises"},
    ),
}


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """The share of neighbouring amounts that each column has in the right order, over all clips."""
    todo = [(name, number, arguments.seed + number) for name in WRONG for number in range(arguments.clips)]
    rows: dict[tuple[str, str], list[list[float | None]]] = {}
    for (name, _, _), row in zip(
        todo, spread(_measured, todo, "looking at wrong results", arguments.workers), strict=True
    ):
        for column in WRONG[name].better:
            rows.setdefault((name, column), []).append([columns[column] for columns in row])
    return [
        Figure(
            f"wrongness: {name}, {column} in the right order",
            in_order(values, WRONG[name].better[column] == "rises"),
            BAR,
            "higher",
            note=_note(WRONG[name], values),
        )
        for (name, column), values in rows.items()
    ]


def in_order(rows: Sequence[Sequence[float | None]], rises: bool) -> float:
    """Share of neighbours in [clips][amounts] that differ in the right direction; a missing value never does."""
    pairs = [pair for row in rows for pair in itertools.pairwise(row)]
    right = [a is not None and b is not None and ((b > a) if rises else (b < a)) for a, b in pairs]
    return float(np.mean(right))


def _note(wrongness: Wrongness, rows: Sequence[Sequence[float | None]]) -> str:
    means = [np.mean([value for value in column if value is not None]) for column in zip(*rows, strict=True)]
    steps = ", ".join(f"{mean:.3g}" for mean in means)
    return f"{len(rows)} clips; mean {steps} at {', '.join(f'{each:g}' for each in wrongness.amounts)} {wrongness.unit}"


def columns_of(name: str, clip: Clip) -> list[dict[str, float | None]]:
    """The columns of a clip's results, one for each amount."""
    wrongness, judges = WRONG[name], _judges(WRONG[name].faces, WRONG[name].people)
    truth = [Seen(frame, judges) for frame in wrongness.make(clip, 0, wrongness.frames)]
    # Who the reference shows is somebody's own picture of another moment.
    (reference,) = _drawn(clip, [0])
    identity = main_identity(judges.faces, judges.held_out, reference)
    found = []
    for amount in wrongness.amounts:
        scoring = Scoring(identity, judges, [], _FPS / wrongness.frames.step)
        for frame, true in zip(wrongness.make(clip, amount, wrongness.frames), truth, strict=True):
            scoring.add(Seen(frame, judges), true)
        found.append(scoring.finish().columns)
    return found


def _measured(case: tuple[str, int, int]) -> list[dict[str, float | None]]:
    name, number, seed = case
    kinds = WRONG[name].kinds
    return columns_of(name, write_clip(kinds[number % len(kinds)], FIRST_SEED + seed, _SETTINGS))


@functools.cache
def _judges(faces: bool, people: bool) -> Judges:
    """The drawn world's, as far as a kind of wrongness needs them."""
    perception = drawn_perception()
    judges = BLIND
    if faces:
        held_out = HeldOutRecogniser(WEIGHTS / "held_out_recogniser.onnx")
        judges = replace(judges, faces=FaceAnalyser(perception.faces), held_out=held_out)
    return replace(judges, people=People(perception)) if people else judges
