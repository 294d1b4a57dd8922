"""The truth of the columns against the measures themselves, shown the truth instead of a network's opinion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.drawn.truth import camera_columns, true_columns, true_faces, true_people, true_rules
from pipelines.curation import CurateSettings
from pipelines.measures.background_motion import Step, summarise
from pipelines.measures.face_quality import FaceQuality
from pipelines.measures.frames import Frame, sample_indices
from pipelines.measures.keypoints import KeypointMeasure
from pipelines.measures.people import People
from pipelines.measures.shots import shot_rows
from pipelines.releases.rules import rules_of
from stableanimator.perception.skeleton import to_openpose18
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.scene.camera import step_similarities
from stableanimator.synthetic.script import ClipSettings
from stableanimator.synthetic.truth import Truth

from ...half_outside import with_outside

Drawn = Callable[[str], Truth]
SETTINGS = CurateSettings()
SHORT = ClipSettings(width=160, height=128, min_seconds=2.5, max_seconds=2.5)


@pytest.fixture
def drawn(held: Callable[..., tuple[np.ndarray, Truth]]) -> Callable[[str], Truth]:
    """The truth of a clip of a kind, of which every third frame is drawn, the samples among them."""

    def draw(kind: str) -> Truth:
        clip = write_clip(kind, 5, SHORT)
        frames = np.concatenate([np.arange(shot.start, shot.end, 3) for shot in clip.shots])
        return held(clip, frames)[1]

    return draw


def measured(truth: Truth, shot: int) -> dict[str, float | None]:
    """The columns as the pipeline computes them from detections that are the truth, joints outside the picture too."""
    rows = np.flatnonzero(truth.shots == shot)
    start, end = int(rows[0]), int(rows[-1]) + 1
    times = np.arange(len(truth.frames)) / 25.0
    height, width = (int(side) for side in truth.size)
    blank = np.zeros((height, width, 3), np.uint8)
    frame = Frame(index=0, time=0.0, image=blank)

    def boxes(_: object) -> tuple[np.ndarray, np.ndarray]:
        found = truth.person_boxes[frame.index, true_people(truth, frame.index)]
        return found, np.ones(len(found), np.float32)

    def keypoints(_: object, boxes: np.ndarray) -> np.ndarray:
        everybody = with_outside(truth, frame.index)
        there = np.flatnonzero(truth.visibility[frame.index].any(-1)).tolist()
        return everybody[[there.index(person) for person in true_people(truth, frame.index)]]

    def faces(_: object) -> list[SimpleNamespace]:
        owners, found = true_faces(truth, frame.index)
        five = truth.face_landmarks[frame.index, owners]
        return [
            SimpleNamespace(box=box, score=1.0, landmarks=points, embedding=np.ones(1, np.float32))
            for box, points in zip(found, five, strict=True)
        ]

    people = People(SETTINGS.people, boxes)
    pose = KeypointMeasure(SETTINGS.keypoints, keypoints, to_openpose18)
    face = FaceQuality(SETTINGS.face_quality, faces, lambda landmarks: 0.0)
    samples = sample_indices(times, start, end, 8.0)
    for index in samples:
        frame.index = int(index)
        people.add(frame)
        pose.add(frame)
        face.add(frame)
    columns = {**people.columns(), **pose.columns(), **face.columns()}
    diagonal = np.hypot(height, width)
    steps = [
        Step(3 / 25, dx / diagonal, dy / diagonal, rotation, scale, 1.0)
        for dx, dy, rotation, scale in step_similarities(truth.camera[samples], height, width)
    ]
    columns |= summarise(steps, (height, width))
    cuts = truth.cuts.tolist()
    columns |= shot_rows("id", cuts, len(times), 25.0, width, height, times)[shot]
    return columns


@pytest.mark.parametrize(
    "kind", ["walk", "talk", "pair", "bystander", "turn_away", "empty", "follow", "zoom", "roll", "shake", "cut_inside"]
)
def test_the_truth_of_a_column_is_what_its_measure_says_of_the_truth(kind: str, drawn: Drawn) -> None:
    truth = drawn(kind)
    for shot in np.unique(truth.shots):
        seen = measured(truth, int(shot))
        for column, values in true_columns(truth, int(shot), SETTINGS).items():
            if column in ("subject_motion", "near_duplicate_distance"):
                continue  # they come from tracks of pixels, and from other shots
            if values[0] is None:
                assert seen[column] is None, column
            else:
                assert seen[column] == pytest.approx(values[0], abs=1e-6), column


def test_every_rule_that_is_on_by_default_has_a_truth(drawn: Drawn) -> None:
    assert list(true_rules(drawn("talk"), 0, SETTINGS)) == [rule[0] for rule in rules_of(SETTINGS.select)]


def test_the_rules_know_the_statue_the_empty_place_and_the_crowd(drawn: Drawn) -> None:
    broken = {
        kind: {rule for rule, what in true_rules(drawn(kind), 0, SETTINGS).items() if what.fires}
        for kind in ("statue", "empty", "group")
    }
    small = {"min_width", "min_height", "min_face_size"}  # these pictures are 160x128
    assert broken["statue"] == {*small, "min_subject_motion"}
    assert broken["group"] == {*small, "max_people_most"}
    nobody = {"min_people_median", "min_face_share", "min_keypoint_coverage", "min_subject_motion"}
    assert broken["empty"] >= {*small, *nobody}


def test_near_a_threshold_the_truth_decides_nothing(drawn: Drawn) -> None:
    truth = drawn("dance")
    size = true_columns(truth, 0, SETTINGS)["face_size"][0]
    assert size is not None
    for threshold, decided in ((0.9 * size, True), (0.97 * size, False), (1.03 * size, False), (1.1 * size, True)):
        settings = replace(SETTINGS, select=replace(SETTINGS.select, min_face_size=threshold))
        rule = true_rules(truth, 0, settings)["min_face_size"]
        assert (rule.fires, rule.decided) == (threshold > size, decided)


def test_a_camera_that_turns_by_known_degrees() -> None:
    times = np.arange(25) / 8
    angle = np.radians(6 * times)
    linear = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1)
    middle = np.array([80.0, 64.0])
    matrices = np.concatenate([100 * linear, (middle - 100 * linear @ (0.3, 0.2))[..., None]], -1)
    columns = camera_columns(matrices, times, 128, 160)
    assert columns["camera_rotation"] == pytest.approx(6)
    assert columns["camera_translation"] == pytest.approx(0, abs=1e-9)
    assert columns["camera_zoom"] == pytest.approx(0, abs=1e-9)
    # the corners are half a diagonal away and turn by 18 degrees, the centre stays
    assert columns["camera_drift"] == pytest.approx(4 / 5 * np.sin(np.radians(9)), rel=0.02)
