"""A reference from afar and a close-up drive of the same person: in one framing identity comes through the reference's
latents; here it must come through the face embedding. So this is where FaceEncoder, ID adapter and face optimisation
show, or do not.

Each person is animated with the own face embedding, with none, with a stranger's, and with face optimisation; results
differ in nothing else. A result without any face counts as a coin that is tossed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.embedded.judge import Judge, Pictures
from benchmarks.embedded.people import Person, in_two_framings
from benchmarks.harness import Figure
from pipelines.progress import track
from stableanimator.animate import Models, aligned, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.metrics.identity import cosine
from stableanimator.metrics.intervals import Interval, bootstrap

FRAMES = 8
Identity = npt.NDArray[np.float32] | None
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What a person's results show, by the held-out recogniser."""

    truth: Identity
    identities: dict[str, Identity]
    pictures: dict[str, Pictures]


def measure(
    models: Models, settings: AnimateSettings, judge: Judge, clips: int, seed: int
) -> tuple[list[Figure], list[Case]]:
    """Figures, and the cases for a sheet."""
    people = [
        person
        for number in track(range(clips), "drawing people in two framings", clips)
        if (person := in_two_framings(seed + number, judge, FRAMES)) is not None
    ]
    cases = [
        _case(number, people, models, replace(settings, alignment="none"), judge)
        for number in track(range(len(people)), "animating from afar", len(people))
    ]
    return figures_of([case for case in cases if case.truth is not None]), cases


def _case(number: int, people: Sequence[Person], models: Models, settings: AnimateSettings, judge: Judge) -> Case:
    person, stranger = people[number], people[(number + 1) % len(people)]
    theirs = replace(person.reference, face_embedding=stranger.reference.face_embedding)
    plain = replace(settings, face_optimisation=False)
    variants = {
        "own": (person.reference, plain),
        "none": (person.reference, replace(plain, face=False)),
        "stranger": (theirs, plain),
        "hjb": (person.reference, replace(settings, face_optimisation=True)),
    }
    pictures = {}
    for name, (reference, chosen) in variants.items():
        driven = aligned(reference, person.driving, chosen)
        pictures[name] = animate(models, reference, driven, chosen, seed=number).frames
    pictures["truth"] = driven.framing.pictures(person.truth)
    pictures["repeat"] = np.repeat(driven.framing.pictures(person.reference.picture[None]), len(person.truth), axis=0)
    seen = {name: judge(frames, poses=False).identity for name, frames in pictures.items()}
    return Case(seen["truth"], seen, pictures)


def pairwise(cases: Sequence[Case], name: str) -> Values:
    """[P] for each person: the share of the others whose truth is less like the result than the own truth."""
    shares = []
    for case in cases:
        own = cosine(case.identities[name], case.truth)
        others = [cosine(case.identities[name], other.truth) for other in cases if other is not case]
        shares.append(0.5 if own is None else float(np.mean([other is not None and own > other for other in others])))
    return np.array(shares)


def likeness(cases: Sequence[Case], name: str) -> Values:
    """[P] cosine of each person's result to the truth; 0 without a face."""
    return np.array([cosine(case.identities[name], case.truth) or 0.0 for case in cases])


def figures_of(cases: Sequence[Case]) -> list[Figure]:
    """Of the people whose truth has a face."""
    own, none, repeat = (pairwise(cases, name) for name in ("own", "none", "repeat"))
    over_none = _difference(own, none)
    mine, strangers, hjb = (likeness(cases, name) for name in ("own", "stranger", "hjb"))
    right = float(np.mean(mine > strangers))
    optimised = _difference(hjb, mine)
    pairs = (
        f"{own.mean():.3f}, without the embedding {none.mean():.3f}, repeat {repeat.mean():.3f}; {len(cases)} people"
    )
    return [
        Figure("from afar: pairwise identity", float(own.mean()), 0.93, "higher", note=pairs),
        Figure("from afar: pairwise, own embedding less none", over_none.value, 0.05, "higher", note=_range(over_none)),
        Figure("from afar: the same, lower end of its interval", over_none.low, 0.0, "higher"),
        Figure("from afar: own embedding nearer to the truth than a stranger's", right, 0.8, "higher", "share"),
        Figure(
            "from afar: held-out cosine, face optimisation less plain", optimised.value, None, "higher",
            note=f"{_range(optimised)}; plain {mine.mean():.3f}, optimised {hjb.mean():.3f}",
        ),
    ]  # fmt: skip


def _difference(values: Values, others: Values) -> Interval:
    return bootstrap(lambda a, b: a - b, values, others)


def _range(interval: Interval) -> str:
    return f"95 % interval {interval.low:.3f} to {interval.high:.3f}"


def sheet(cases: Sequence[Case], shown: int = 8) -> Pictures:
    """A row a person: reference, truth, and each variant, at one frame."""
    names = ("repeat", "truth", "own", "none", "stranger", "hjb")
    return np.vstack([np.hstack([case.pictures[name][FRAMES // 2] for name in names]) for case in cases[:shown]])
