"""Whether verdicts are right: drawn results whose truth is known, judged by thresholds that were set on other people.

    python -m benchmarks.animate --parts verdicts            # eighty people, ten minutes on one core

Somebody drawn in a picture is driven by another person, in other clothes, whose poses the pose network finds. A right
result shows who is in the picture in the very motion of the drive; the other kinds are wrong in one thing each.
Thresholds are those that `stableanimator.metrics.verdict.proposed` takes from right results of people who are not
judged; what is wrong is shown to nothing but the verdict.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.drawn.clips import FIRST_SEED, WEIGHTS, drawn_perception
from benchmarks.harness import Figure
from benchmarks.processes import spread
from jobs.pairs.people import People
from stableanimator.metrics.identity import main_identity
from stableanimator.metrics.scoring import Scoring
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.verdict import Figures, Verdict, figures_of, judged, proposed
from stableanimator.perception.faces import FaceAnalyser
from stableanimator.perception.held_out import HeldOutRecogniser
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.figure.clothes import draw_outfit
from stableanimator.synthetic.figure.identity import draw_identity, traits_of
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import Clip, ClipSettings

Frame = npt.NDArray[np.uint8]

BAR = 0.05
CLIPS, SEED, TUNING_SEED = 40, 610_000, 650_000
_FPS = 25.0
_SETTINGS = ClipSettings(fps=_FPS, min_seconds=2.0, max_seconds=2.5, supersample=1)
_BEGIN, _FRAMES, _LATE = 8, 24, 3
_SHOWN = range(_BEGIN, _BEGIN + _FRAMES)
_MOTIONS = {"dance": "wave", "wave": "talk", "gesture": "wave", "walk": "dance"}
"""Kinds of clips, and another motion for each."""
_STRANGERS = 200
"""Of so many people the one most alike is drawn."""
_EXPOSURE, _NOISE = 0.03, 4.0
"""Flicker: standard deviations of a frame's exposure, and of noise in grey levels."""


@dataclass(kw_only=True)
class Case:
    """One drawn person, and what is drawn of them when it is first asked for."""

    seed: int
    clip: Clip
    judges: Judges
    generator: np.random.Generator

    @functools.cached_property
    def frames(self) -> list[Seen]:
        """As asked, from `_LATE` frames before the first one on."""
        return self.seen(self.clip, range(_BEGIN - _LATE, _BEGIN + _FRAMES))

    @property
    def right(self) -> list[Seen]:
        return self.frames[_LATE:]

    def seen(self, clip: Clip, frames: Sequence[int] = _SHOWN) -> list[Seen]:
        """Frames of a clip."""
        return [Seen(frame, self.judges) for frame in draw_clip(clip, list(frames))[0]]

    def changed(self, change: Callable[[Frame], npt.NDArray[np.floating]]) -> list[Seen]:
        """The right frames, each changed by itself."""
        pictures = (change(each.frame) for each in self.right)
        return [Seen(np.clip(np.rint(each), 0, 255).astype(np.uint8), self.judges) for each in pictures]


def as_somebody(clip: Clip, genes: npt.NDArray[np.float32]) -> Clip:
    """The same body in the same clothes and motion with another head."""
    return replace(clip, cast=(replace(clip.cast[0], identity=genes, traits=traits_of(genes)), *clip.cast[1:]))


def softened(case: Case) -> list[Seen]:
    """Blurred a little, with a grey level of noise: what a good animation loses."""
    return case.changed(lambda frame: cv2.GaussianBlur(frame, (0, 0), 1.0) + _grain(case, frame, 1.0))


def alike(case: Case) -> list[Seen]:
    """Of many people who were drawn, the one with the nearest genes."""
    own = case.clip.cast[0].identity
    others = [draw_identity(case.generator) for _ in range(_STRANGERS)]
    return case.seen(as_somebody(case.clip, min(others, key=lambda genes: float(np.linalg.norm(genes - own)))))


def wrong_motion(case: Case) -> list[Seen]:
    """Another motion, or the same one danced, waved or walked another time."""
    if case.seed % 2:
        return case.seen(replace(case.clip, seed=case.clip.seed + 1))
    (shot,) = case.clip.shots
    roles = tuple(replace(role, motion=_MOTIONS[case.clip.kind]) for role in shot.roles)
    return case.seen(replace(case.clip, shots=(replace(shot, roles=roles),)))


def flickering(case: Case) -> list[Seen]:
    """An exposure that changes from frame to frame, or noise."""
    if case.seed % 2:
        return case.changed(lambda frame: frame * (1 + case.generator.normal(0, _EXPOSURE)))
    return case.changed(lambda frame: frame + _grain(case, frame, _NOISE))


def _grain(case: Case, frame: Frame, sigma: float) -> npt.NDArray[np.floating]:
    return case.generator.normal(0, sigma, (*frame.shape[:2], 1))


RIGHT: dict[str, Callable[[Case], list[Seen]]] = {"right": lambda case: case.right, "right, softened": softened}
WRONG: dict[str, Callable[[Case], list[Seen]]] = {
    "wrong person": lambda case: case.seen(as_somebody(case.clip, draw_identity(case.generator))),
    "person much alike": alike,
    "wrong motion": wrong_motion,
    "late by 3 frames": lambda case: case.frames[:_FRAMES],
    "frozen": lambda case: [case.right[0]] * _FRAMES,
    "flickering": flickering,
}


def case_of(seed: int) -> Case:
    """Dances, waves, gestures and walks in turn."""
    kind = list(_MOTIONS)[seed % len(_MOTIONS)]
    clip = write_clip(kind, FIRST_SEED + seed, _SETTINGS)
    return Case(seed=seed // len(_MOTIONS), clip=clip, judges=_judges(), generator=np.random.default_rng([seed, 1]))


def measured(seed: int, kinds: Mapping[str, Callable[[Case], list[Seen]]]) -> dict[str, tuple[Figures, list[str]]]:
    """Figures of a person's results by kind, and what of them is not asked."""
    case = case_of(seed)
    actor = case.clip.cast[0]
    clothes = draw_outfit(case.generator, actor.traits.skin)
    driver = as_somebody(case.clip, draw_identity(case.generator))
    driver = replace(driver, cast=(replace(driver.cast[0], outfit=clothes), *driver.cast[1:]))
    drive = [each.people for each in case.seen(driver)]
    (reference,) = case.seen(case.clip, [0])
    identity = main_identity(case.judges.faces, case.judges.held_out, reference.frame)
    found: dict[str, tuple[Figures, list[str]]] = {}
    for kind, make in kinds.items():
        scoring = Scoring(identity, case.judges, [], _FPS, drive)
        for frame in make(case):
            scoring.add(frame, None)
        figures, unasked = figures_of(scoring.finish(), held_out=True)
        found[kind] = figures, list(unasked)
    return found


@functools.cache
def _judges() -> Judges:
    perception = drawn_perception()
    held_out = HeldOutRecogniser(WEIGHTS / "held_out_recogniser.onnx")
    return Judges(faces=FaceAnalyser(perception.faces), held_out=held_out, people=People(perception))


def figures(clips: int, workers: int = 1) -> list[Figure]:
    """Shares of right results that are refused and of wrong ones that are accepted, over all and of each kind."""
    tuning = list(spread(_of_right, [*range(TUNING_SEED, TUNING_SEED + clips)], "right results", workers))
    accept = proposed([row for person in tuning for row, _ in person.values()])
    people = list(spread(_of_all, [*range(SEED, SEED + clips)], "results", workers))
    verdicts = {
        kind: [judged(row, accept, unasked) for row, unasked in (person[kind] for person in people)]
        for kind in (*RIGHT, *WRONG)
    }
    told = ", ".join(f"{name} {value:g}" for name, value in accept.thresholds.items())
    return list(_figures(verdicts, f"{clips} people; thresholds of {clips} others: {told}"))


def _figures(verdicts: Mapping[str, Sequence[Verdict]], note: str) -> Iterator[Figure]:
    for what, kinds, wrong in (("false rejects", RIGHT, False), ("false accepts", WRONG, True)):
        shares = {kind: float(np.mean([each.accepted == wrong for each in verdicts[kind]])) for kind in kinds}
        yield Figure(what, float(np.mean(list(shares.values()))), BAR, "lower", note=note)
        for kind, share in shares.items():
            missed = [name for each in verdicts[kind] for name in {miss.name for miss in each.missed}]
            counts = {name: missed.count(name) for name in sorted(set(missed))}
            why = "missed: " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing")
            yield Figure(f"{what}, {kind}", share, BAR, "lower", note=why)


def _of_right(seed: int) -> dict[str, tuple[Figures, list[str]]]:
    return measured(seed, RIGHT)


def _of_all(seed: int) -> dict[str, tuple[Figures, list[str]]]:
    return measured(seed, RIGHT | WRONG)
