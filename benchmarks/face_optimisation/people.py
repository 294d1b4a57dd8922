"""Drawn people, each as a reference from afar and as one from near, and what is seen of them in frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.embedded.judge import Judge, Judged, Pictures, scores_of
from benchmarks.embedded.people import Person, in_two_framings
from pipelines.progress import track
from stableanimator.animate import Reference
from stableanimator.metrics.identity import cosine


@dataclass(frozen=True)
class Case:
    """One person; drive and truth of both are the same frames, from near."""

    far: Person
    """The reference shows the whole body."""
    near: Person
    """The reference is a frame of the drive's own shot, right before it."""


@dataclass(frozen=True)
class Seen:
    """How near frames are to what they should show."""

    held_out: float
    """Cosine of the face to the person's, by the recogniser that nothing optimises; 0 where no face is found."""
    optimised: float
    """The same by the recogniser that face optimisation works with."""
    psnr: float
    """Against the truth, in the person's box, dB."""
    found: float
    """Share of the frames with a face, of those in which the truth has one."""
    seconds: float = math.nan
    """Of the processor, that making them took."""


def people(count: int, seed: int, judge: Judge, frames: int) -> list[Case]:
    """The first `count` people from a seed on whose face is found in both framings."""
    cases: list[Case] = []
    while len(cases) < count:
        numbers = range(seed, seed + count - len(cases))
        found = [_case(number, judge, frames) for number in track(numbers, "drawing people", len(numbers))]
        cases += [case for case in found if case is not None]
        seed += len(numbers)
    return cases


def _case(seed: int, judge: Judge, frames: int) -> Case | None:
    person = in_two_framings(seed, judge, frames + 1)
    if person is None or judge(person.truth[1:], poses=False).identity is None:
        return None
    faces = judge.faces(person.truth[0])
    if not faces or faces[0].embedding is None:
        return None
    own = Reference(
        picture=person.truth[0],
        keypoints=person.driving.keypoints[0],
        face_box=faces[0].box,
        face_embedding=faces[0].embedding,
    )
    driving = replace(person.driving, keypoints=person.driving.keypoints[1:])
    return Case(replace(person, driving=driving, truth=person.truth[1:]), Person(own, driving, person.truth[1:]))


def seen_in(frames: Pictures, truth: Pictures, judge: Judge, true: Judged, who: Judged) -> Seen:
    """Of frames uint8 [F, H, W, 3], against what the judge saw in the truth and in pictures of who it should be."""
    seen = judge(frames)
    scores = scores_of(frames, truth, seen, true)
    return Seen(
        held_out=cosine(seen.identity, who.identity) or 0.0,
        optimised=cosine(_direction(seen), _direction(who)) or 0.0,
        psnr=scores.psnr_person,
        found=scores.found,
    )


def _direction(judged: Judged) -> npt.NDArray[np.float32] | None:
    """`Judged.identity` by the recogniser that is optimised."""
    embeddings: Sequence[npt.NDArray[np.float32]] = [
        face.embedding for face in judged.faces if face is not None and face.embedding is not None
    ]
    return np.mean([each / np.linalg.norm(each) for each in embeddings], 0) if embeddings else None
