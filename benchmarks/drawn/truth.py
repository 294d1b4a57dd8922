"""What curation's columns and rules should say of a drawn shot, from the truth of its pixels alone.

Each column has the meaning that pipelines/storage/tables.py gives it, computed anew from `Truth`; nothing here asks a
measure.

    seconds, width, height   of the script
    people_median, _most     boxes of the people in the picture, statues included, as a detector would see them
    face_share, face_size    faces from hairline to chin and ear to ear, cut to the picture as InsightFace's are, with
                             at least three of five landmarks in sight
    keypoint_coverage        joints that are seen; the neck is seen where both shoulders are
    camera_*                 the similarity that moves the background. It is rigid: background_change is 0
    subject_motion           above any threshold where somebody in the shot is alive, 0 where nobody is
    near_duplicate_distance  1: no two scripts draw the same pictures

Near a threshold the truth is no judge: a value is only known up to what a fair measurement may differ by. So a column
has alternatives, and a rule on which they disagree is undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.curation import CurateSettings
from pipelines.measures.frames import sample_indices
from pipelines.releases.rules import CAMERA_COLUMNS, rules_of
from stableanimator.synthetic.truth import SEEN, Truth

DOUBT = 0.05
"""Share by which a measured value may fairly differ from the true one."""
CUT_TOLERANCE = 2
"""Frames by which a cut may be found too early or too late."""
SMALL_FACE = 16
"""Pixels of the shorter side below which a face need not be found: one sixteenth of a picture of 256."""
_RARE = 0.1
"""Share of the frames with a face below which its size rests on too few frames to be known."""

BODY = slice(0, 17)
_SHOULDERS = (5, 6)
_HEAD_AND_SHOULDERS = (0, 1, 2, 3, 4, *_SHOULDERS)

Floats = NDArray[np.floating]
Value = float | None


@dataclass(frozen=True, slots=True)
class TrueRule:
    """What a rule should do with one shot."""

    fires: bool
    decided: bool
    """Whether it is far enough from the threshold to be sure."""
    value: Value
    """Of its column; None where there is nothing that it describes."""


def true_rules(truth: Truth, shot: int, settings: CurateSettings) -> dict[str, TrueRule]:
    """What each rule that is switched on should do with the shot number `shot` of a clip.

    Raises:
        KeyError: a rule on a column of which the truth is not known.
    """
    rules = {}
    columns = true_columns(truth, shot, settings)
    for rule, column, kind, threshold in rules_of(settings.select):
        values = columns[column]
        outcomes = [_fires(value, column, kind, threshold) for value in values]
        rules[rule] = TrueRule(outcomes[0], len(set(outcomes)) == 1, values[0])
    return rules


def _fires(value: Value, column: str, kind: str, threshold: float) -> bool:
    if value is None:
        return column not in CAMERA_COLUMNS
    return value < threshold if kind == "min" else value > threshold


def true_columns(truth: Truth, shot: int, settings: CurateSettings) -> dict[str, tuple[Value, ...]]:
    """The true value of each column of a shot, first, and then what a fair measurement might say instead."""
    rows = np.flatnonzero(truth.shots == shot)
    start, end = int(rows[0]), int(rows[-1]) + 1
    fps = float(truth.fps[0])
    times = np.arange(len(truth.frames)) / fps
    sampled = sample_indices(times, start, end, settings.sample_fps)
    moving = sample_indices(times, start, end, settings.camera_motion.motion_fps)
    height, width = (float(side) for side in truth.size)
    seconds, slack = (end - start) / fps, CUT_TOLERANCE / fps
    camera = camera_columns(truth.camera[moving], times[moving], height, width)
    return {
        "seconds": (seconds, seconds - slack, seconds + slack),
        "width": (width,),
        "height": (height,),
        **_people(truth, sampled, settings),
        **_faces(truth, sampled),
        "keypoint_coverage": _doubted(float(np.mean([_coverage(truth, row, settings) for row in sampled]))),
        **{name: _doubted(value) for name, value in camera.items()},
        "background_change": (math.inf if truth.living[rows].all() else 0.0,),
        "subject_motion": (_subject_motion(truth, sampled),),
        "near_duplicate_distance": (1.0,),
    }


def _doubted(value: float) -> tuple[Value, ...]:
    return value, value * (1 - DOUBT), value * (1 + DOUBT)


def true_people(truth: Truth, row: int) -> NDArray[np.int64]:
    """Who of the cast is in the picture, the largest box first."""
    there = np.flatnonzero(np.isfinite(truth.person_boxes[row, :, 0]) & (truth.person_pixels[row] > 0))
    return there[np.argsort(-_areas(truth.person_boxes[row, there]), kind="stable")]


def true_faces(truth: Truth, row: int) -> tuple[NDArray[np.int64], Floats]:
    """Whose face is visible, the largest first, and their boxes [N, 4] cut to the picture."""
    height, width = truth.size
    boxes = np.clip(truth.face_boxes[row], 0, np.array([width, height, width, height]))
    there = np.flatnonzero(np.isfinite(boxes[:, 0]) & (_areas(boxes) > 0))
    there = there[np.argsort(-_areas(boxes[there]), kind="stable")]
    return there, boxes[there]


def shorter_sides(boxes: Floats) -> Floats:
    """[N] pixels."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(1))


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _people(truth: Truth, sampled: NDArray[np.int64], settings: CurateSettings) -> dict[str, tuple[Value, ...]]:
    """People who are not in the background, that is not much smaller than the largest."""
    areas = [_areas(truth.person_boxes[row, true_people(truth, row)]) for row in sampled]
    median: list[Value] = []
    most: list[Value] = []
    for doubt in (1, 1 - DOUBT, 1 + DOUBT):
        share = min(1.0, settings.people.main_area_share * doubt)
        counts = np.sort([int((of_frame >= share * of_frame.max(initial=0)).sum()) for of_frame in areas])
        median.append(float(np.median(counts)))
        most.append(float(counts[math.ceil(0.9 * len(counts)) - 1]))
    return {"people_median": tuple(median), "people_most": tuple(most)}


def _faces(truth: Truth, sampled: NDArray[np.int64]) -> dict[str, tuple[Value, ...]]:
    sizes = [float(shorter_sides(boxes[:1])[0]) for row in sampled if len(boxes := true_faces(truth, row)[1])]
    share = len(sizes) / len(sampled)
    large = sum(size >= SMALL_FACE for size in sizes) / len(sampled)
    size = _doubted(float(np.median(sizes))) if sizes else (None,)
    rare: tuple[Value, ...] = (None,) if share < _RARE else ()
    return {"face_share": (*_doubted(share), large), "face_size": (*size, *rare)}


def _coverage(truth: Truth, row: int, settings: CurateSettings) -> float:
    """Share of the 18 joints of the largest person that should be there and are."""
    people = true_people(truth, row)
    if not len(people):
        return 0.0
    height, width = truth.size
    x0, _, x1, y1 = truth.person_boxes[row, people[0]]
    margin = settings.keypoints.edge_share * math.hypot(height, width)
    joints = truth.visibility[row, people[0], BODY] == SEEN
    seen = np.append(joints, joints[list(_SHOULDERS)].all())
    expected = np.ones(18, bool)
    if x0 < margin or x1 > width - margin or y1 > height - margin:  # the rest is outside the picture
        expected = seen.copy()
        expected[[*_HEAD_AND_SHOULDERS, 17]] = True
    return float(seen.sum() / expected.sum())


def camera_columns(matrices: Floats, times: Floats, height: float, width: float) -> dict[str, float]:
    """The camera's columns of CAMERA_MOTION, from the similarities [T, 2, 3] of its samples at `times` [T]."""
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    diagonal, middle = math.hypot(height, width), np.array([width, height]) / 2
    scale, angle = np.log(np.linalg.det(linear)) / 2, np.unwrap(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))

    def carried(points: Floats, start: int, end: int) -> Floats:
        """Where the camera's motion between two samples puts points [N, 2] of the picture."""
        world = np.linalg.solve(linear[start], (points - shift[start]).T)
        return np.asarray((linear[end] @ world).T + shift[end])

    steps = np.diff(times)
    moves = [np.linalg.norm(carried(middle[None], step, step + 1) - middle) for step in range(len(steps))]
    length = min(len(steps), max(1, round(1 / float(np.median(steps)))))  # a window of about a second
    lasts = times[length:] - times[:-length]
    places = middle + np.array([[0, 0], [-1, -1], [1, -1], [-1, 1], [1, 1]]) * middle
    path = np.stack([carried(places, 0, sample) for sample in range(len(times))])
    return {
        "camera_translation": float(np.median(moves / steps)) / diagonal,
        "camera_rotation": float(np.median(np.degrees(np.abs(angle[length:] - angle[:-length])) / lasts)),
        "camera_zoom": float(np.median(np.abs(scale[length:] - scale[:-length]) / lasts)),
        "camera_drift": float(np.linalg.norm(np.ptp(path, axis=0), axis=-1).mean()) / diagonal,
    }


def _subject_motion(truth: Truth, sampled: NDArray[np.int64]) -> Value:
    """Infinite for the living, 0 for statues, None without anybody: the world's only motion is life's."""
    there = {int(person) for row in sampled for person in true_people(truth, row)}
    if not there:
        return None
    return math.inf if truth.alive[list(there)].any() else 0.0
