"""What curation said of drawn clips against their truth: rules, cuts, people, faces, joints, cameras."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.drawn.clips import MeasuredClip
from benchmarks.drawn.truth import BODY, SMALL_FACE, TrueRule, shorter_sides, true_faces, true_people, true_rules
from pipelines.curation import CurateSettings
from stableanimator.perception.person_boxes import in_picture
from stableanimator.perception.skeleton import VISIBLE
from stableanimator.synthetic.scores import (
    Tally,
    camera_errors,
    joint_errors,
    landmark_errors,
    match_boxes,
    tally_boxes,
    tally_cuts,
    total,
)
from stableanimator.synthetic.truth import SEEN, Truth

_KEYPOINTS = 133
_BACKGROUND = 0.5  # scale of a role below which it is a bystander
_LARGEST_YAW = 45.0  # degrees; beyond, the eyes are too close together to measure by


@dataclass(frozen=True, slots=True)
class RuleScore:
    """How often one rule did what the truth says."""

    decided: Tally
    """Shots whose true value is clear of the threshold."""
    all: Tally
    undecided: int
    """Shots that are not."""
    shots: int
    wrong: tuple[str, ...]
    """Decided shots on which it erred, as people read them."""

    @property
    def undecided_share(self) -> float:
        return self.undecided / self.shots


def rule_scores(clips: Sequence[MeasuredClip], settings: CurateSettings) -> dict[str, RuleScore]:
    """Every rule that is switched on against the truth, shot by shot of the script.

    A shot of the script is judged by the found shot that shares most frames with it.
    """
    outcomes: dict[str, list[tuple[TrueRule, bool, str]]] = {}
    for clip in clips:
        for number in range(len(clip.clip.shots)):
            found = shot_found(clip, number)
            failed = {failure["rule"] for failure in found["failed_rules"]}
            for rule, true in true_rules(clip.truth, number, settings).items():
                name = f"{clip.path.parent.name} shot {number}: truth {_number(true.value)}, "
                measured = found.get(rule.partition("_")[2])
                outcomes.setdefault(rule, []).append((true, rule in failed, f"{name}measured {_number(measured)}"))
    return {rule: _rule_score(of_rule) for rule, of_rule in outcomes.items()}


def _rule_score(outcomes: list[tuple[TrueRule, bool, str]]) -> RuleScore:
    tallies = [
        (true.decided, Tally(true.fires and fired, true.fires and not fired, fired and not true.fires))
        for true, fired, _ in outcomes
    ]
    return RuleScore(
        decided=total(tally for decided, tally in tallies if decided),
        all=total(tally for _, tally in tallies),
        undecided=sum(not decided for decided, _ in tallies),
        shots=len(outcomes),
        wrong=tuple(text for true, fired, text in outcomes if true.decided and fired != true.fires),
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def shot_found(clip: MeasuredClip, number: int) -> dict[str, Any]:
    """The row of VERDICTS that shares most frames with shot `number` of the script."""
    shot = clip.clip.shots[number]
    return max(clip.shots, key=lambda row: min(row["end"], shot.end) - max(row["start"], shot.start))


def cut_score(clips: Iterable[MeasuredClip]) -> Tally:
    """Cuts found within two frames."""
    return total(
        tally_cuts(clip.truth.cuts.tolist(), [row["start"] for row in clip.shots if row["start"]]) for clip in clips
    )


def people_score(clips: Iterable[MeasuredClip]) -> Tally:
    """Boxes of people in the sampled frames; bystanders and statues are people."""
    return total(
        tally_boxes(clip.truth.person_boxes[frame, true_people(clip.truth, frame)], _array(boxes, 4))
        for clip in clips
        for frame, boxes in _samples(clip, "people", "person_boxes")
    )


@dataclass(frozen=True, slots=True)
class FaceScore:
    """Faces and their landmarks in the sampled frames."""

    faces: Tally
    """Those of at least SMALL_FACE pixels."""
    small_found: float
    """Share of the smaller ones that are found; NaN without one."""
    landmarks: NDArray[np.float64]
    """[N, 5] errors in distances between the eyes, of heads turned by at most 45 degrees."""


def face_score(clips: Iterable[MeasuredClip]) -> FaceScore:
    """Faces against those that the truth calls visible."""
    tallies, small, errors = [], [], []
    for clip in clips:
        for frame, boxes, landmarks in _samples(clip, "face_quality", "face_boxes", "face_landmarks"):
            owners, true = true_faces(clip.truth, frame)
            found, points = _array(boxes, 4), _array(landmarks, 5, 2)
            minor = shorter_sides(true) < SMALL_FACE
            tallies.append(tally_boxes(true, found, minor))
            pairs = match_boxes(true, found)
            small += [number in {first for first, _ in pairs} for number in np.flatnonzero(minor)]
            errors += [
                landmark_errors(clip.truth.face_landmarks[frame, owners[first]], points[second])
                for first, second in pairs
                if not minor[first] and abs(clip.truth.head_angles[frame, owners[first], 0]) <= _LARGEST_YAW
            ]
    return FaceScore(total(tallies), float(np.mean(small)) if small else float("nan"), np.array(errors).reshape(-1, 5))


def joint_score(clips: Iterable[MeasuredClip]) -> dict[str, NDArray[np.float64]]:
    """Errors of the seen body joints, in standing heights of the person, by framing.

    Infinite for a joint that scores below 0.3 or is found outside the picture, and for those of somebody who was not
    found. Those far away in the background count as the framing "bystander".
    """
    errors: dict[str, list[NDArray[np.float64]]] = {}
    for clip in clips:
        found_boxes = dict(_samples(clip, "people", "person_boxes"))
        for frame, keypoints in _samples(clip, "keypoints", "keypoints"):
            people = true_people(clip.truth, frame)
            found = in_picture(_array(keypoints, _KEYPOINTS, 3), (int(clip.truth.size[0]), int(clip.truth.size[1])))
            pairs = match_boxes(clip.truth.person_boxes[frame, people], _array(found_boxes[frame], 4))
            partner = dict(pairs)
            for number, person in enumerate(people):
                seen = np.flatnonzero(clip.truth.visibility[frame, person, BODY] == SEEN)
                of_person = np.full(len(seen), np.inf)
                if number in partner:
                    true = clip.truth.keypoints[frame, person, seen]
                    stature = float(clip.truth.statures[frame, person])
                    of_person = joint_errors(true, found[partner[number]][seen], stature, VISIBLE)
                errors.setdefault(_framing(clip, frame, int(person)), []).append(of_person)
    return {framing: np.concatenate(of_framing) for framing, of_framing in errors.items()}


def _framing(clip: MeasuredClip, frame: int, person: int) -> str:
    shot = clip.clip.shots[clip.truth.shots[frame]]
    role = next(role for role in shot.roles if role.person == person)
    return "bystander" if role.scale < _BACKGROUND else shot.framing


@dataclass(frozen=True, slots=True)
class CameraScore:
    """Errors [N, 3] of the camera between neighbouring samples: shares of the diagonal, of the scale; degrees."""

    moving: NDArray[np.float64]
    """Shots with a camera that moves."""
    still: NDArray[np.float64]
    moving_steps: int
    """All steps of these shots: those without enough background have no error."""
    still_steps: int


def camera_score(clips: Iterable[MeasuredClip]) -> CameraScore:
    """The camera's steps against the similarities that the frames were drawn by."""
    errors: dict[bool, list[NDArray[np.float64]]] = {True: [np.zeros((0, 3))], False: [np.zeros((0, 3))]}
    for clip in clips:
        for row in clip.measures["camera_motion"].values():
            if row["error"] is None:
                moves = clip.clip.shots[clip.truth.shots[row["frame_index"][0]]].camera != "static"
                errors[moves].append(_step_errors(clip.truth, row))
    moving, still = (np.concatenate(errors[moves]) for moves in (True, False))
    known = [of_kind[np.isfinite(of_kind).all(1)] for of_kind in (moving, still)]
    return CameraScore(known[0], known[1], len(moving), len(still))


def _step_errors(truth: Truth, row: dict[str, Any]) -> NDArray[np.float64]:
    frames = np.array(row["frame_index"])
    found = np.stack([row[f"step_{name}"] for name in ("dx", "dy", "rotation", "scale")], -1)
    errors = camera_errors(truth.camera[frames], found, int(truth.size[0]), int(truth.size[1]))
    return errors[np.diff(truth.shots[frames]) == 0]


def _samples(clip: MeasuredClip, measure: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    """(frame, value of each column) of the frames that a measure sampled."""
    for row in clip.measures[measure].values():
        if row["error"] is None:
            yield from zip(row["frame_index"], *(row[column] for column in columns), strict=True)


def _array(values: Any, *shape: int) -> NDArray[np.float32]:
    """A list of lists as an array [N, *shape], also when it is empty."""
    return np.array(values, np.float32).reshape(-1, *shape)
