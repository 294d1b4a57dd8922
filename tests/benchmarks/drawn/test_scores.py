from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.drawn.clips import MeasuredClip
from benchmarks.drawn.scores import camera_score, cut_score, face_score, joint_score, people_score, rule_scores
from pipelines.curation import CurateSettings
from stableanimator.synthetic.scores import Tally

Perfect = Callable[[str], MeasuredClip]
SETTINGS = CurateSettings()
SAMPLES = 5  # frames of each clip


@pytest.mark.parametrize("kind", ["bystander", "zoom", "empty"])
def test_measures_that_say_the_truth_score_perfectly(kind: str, perfect: Perfect) -> None:
    clip = perfect(kind)
    people = people_score([clip])
    assert people == Tally(hits=SAMPLES * {"bystander": 2, "zoom": 1, "empty": 0}[kind])
    faces = face_score([clip])
    assert (faces.faces.misses, faces.faces.false_alarms) == (0, 0)
    assert faces.landmarks.size == 0 or faces.landmarks.max() < 1e-6
    joints = joint_score([clip])
    assert set(joints) == {"bystander": {"full body", "bystander"}, "empty": set()}.get(
        kind, {clip.clip.shots[0].framing}
    )
    assert all(errors.max() < 1e-6 for errors in joints.values())
    camera = camera_score([clip])
    moves = clip.clip.shots[0].camera != "static"
    known = camera.moving if moves else camera.still
    assert len(known) == (camera.moving_steps if moves else camera.still_steps) == SAMPLES - 1
    assert known.max() < 1e-6
    assert cut_score([clip]) == Tally()


def test_who_is_not_found_has_no_joints(perfect: Perfect) -> None:
    clip = perfect("pair")
    for row, keypoints in (
        (clip.measures["people"]["s"], "person_boxes"),
        (clip.measures["keypoints"]["s"], "keypoints"),
    ):
        row[keypoints] = [of_frame[:1] for of_frame in row[keypoints]]
    assert people_score([clip]) == Tally(hits=SAMPLES, misses=SAMPLES)
    errors = joint_score([clip])["full body"]
    assert 0.4 < np.isinf(errors).mean() < 0.6
    assert errors[np.isfinite(errors)].max() < 1e-6


def test_a_joint_that_is_found_outside_the_picture_is_not_found(perfect: Perfect) -> None:
    clip = perfect("dance")
    places = np.array(clip.measures["keypoints"]["s"]["keypoints"], np.float32).reshape(SAMPLES, 133, 3)
    places[0, 0, :2] = (-0.5, 20)  # a nose, hardly outside
    places[1, 0, :2] = (60, 128)
    clip.measures["keypoints"]["s"]["keypoints"] = places.reshape(SAMPLES, 1, -1).tolist()
    errors = joint_score([clip])["full body"]
    assert np.isinf(errors).sum() == 2
    assert errors[np.isfinite(errors)].max() < 1e-6


def test_unknown_steps_have_no_error_but_count(perfect: Perfect) -> None:
    clip = perfect("zoom")
    clip.measures["camera_motion"]["s"]["step_dx"][1] = float("nan")
    camera = camera_score([clip])
    assert (len(camera.moving), camera.moving_steps) == (3, 4)


def test_rules_are_scored_by_shots(perfect: Perfect) -> None:
    group, dance = perfect("group"), perfect("dance")
    group.shots[0]["failed_rules"] = [{"rule": "max_people_most"}, {"rule": "max_camera_zoom"}]
    scores = rule_scores([group, dance], SETTINGS)
    assert scores["max_people_most"].decided == Tally(hits=1)
    assert scores["max_camera_zoom"].decided == Tally(false_alarms=1)
    assert scores["min_width"].decided == Tally(misses=2)  # these pictures are too small, and nobody said so
    assert len(scores["min_width"].wrong) == 2
    assert scores["min_seconds"].decided == Tally()


def test_a_cut_in_the_wrong_place_is_missed_and_one_too_many(perfect: Perfect) -> None:
    clip = perfect("dance")
    end = clip.shots[0]["end"]
    clip.shots[:] = [clip.shots[0] | {"end": 30}, clip.shots[0] | {"start": 30, "end": end}]
    assert cut_score([clip]) == Tally(false_alarms=1)
