"""Looks at pairs of people drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stableanimator.animate import Driving, Reference, ReferenceFace, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.media.framing import Size
from stableanimator.preview.look import Look, look, usual_people

from .conftest import Person

SETTINGS = AnimateSettings(sizes=((512, 512),), alignment="svd")


def _reference(poses: list[np.ndarray], size: Size = (512, 512), face: float | None = 60.0) -> Reference:
    box = None if face is None else np.array([200, 50, 200 + face, 60 + face], np.float32)
    others = [None if face is None else ReferenceFace(box=box, embedding=np.zeros(4, np.float32))] * (len(poses) - 1)
    return Reference(
        picture=np.zeros((*size, 3), np.uint8),
        keypoints=np.concatenate(poses),
        face_box=box,
        face_embedding=None if face is None else np.zeros(4, np.float32),
        other_faces=tuple(others),
    )


def _driving(*people: np.ndarray, size: Size = (512, 512), frames: int = 4) -> Driving:
    keypoints = np.repeat(np.concatenate(people)[None], frames, 0)
    return Driving(keypoints=keypoints, height=size[0], width=size[1], fps=8.0)


def _look(reference: Reference, driving: Driving, settings: AnimateSettings = SETTINGS, people: int = 1) -> Look:
    driven = aligned(reference, driving, settings)
    return look(reference, driving, driven, reference_people=people, driving_people=people)


def test_figures_are_those_of_the_aligned_person(person: Person) -> None:
    seen = _look(_reference([person(400, x=256, ground=480)]), _driving(person(200, x=100, ground=250)))
    (one,) = seen.people
    assert (seen.size, seen.frames, seen.fps, seen.warnings) == ((512, 512), 4, 8.0, ())
    assert one.stature == pytest.approx(400 / 512, rel=0.01)
    assert one.scale == pytest.approx(1, abs=0.01)
    assert one.offset == pytest.approx((0, 0), abs=0.01)
    assert one.place == pytest.approx((0.5, (480 - 400 * 0.4875) / 512), abs=0.01)
    assert (one.outside, one.found, one.without_feet, one.without_head) == (0, 1, 0, 0)
    assert one.face == pytest.approx(60)


def test_without_alignment_people_are_as_large_as_they_drive(person: Person) -> None:
    driving = _driving(person(200, x=100, ground=250))
    seen = _look(_reference([person(400, x=256, ground=480)]), driving, replace(SETTINGS, alignment="none"))
    (one,) = seen.people
    assert one.scale == pytest.approx(0.5, abs=0.01)
    assert one.face == pytest.approx(30)
    assert one.offset is not None
    assert one.offset[0] == pytest.approx((100 - 256) / 512, abs=0.02)
    assert {each.name for each in seen.warnings} == {"person_too_small", "face_too_small"}


def test_a_crop_that_takes_the_feet_away_is_told(person: Person) -> None:
    """A tall picture of somebody who fills it, cut to a square around the head."""
    reference = _reference([person(900, x=256, ground=1000)], size=(1024, 512), face=120.0)
    driving = _driving(person(400, x=256, ground=480))
    assert [each.name for each in _look(reference, driving).warnings] == ["person_out_of_picture", "feet_cut"]
    assert _look(reference, driving, replace(SETTINGS, fit="contain")).warnings == ()


def test_a_reference_without_feet_has_none_to_lose(person: Person) -> None:
    waist_up = person(800, x=256, ground=850, missing=(13, 14, 15, 16))
    seen = _look(_reference([waist_up]), _driving(person(400, x=256, ground=480)))
    assert seen.people[0].without_feet is None
    assert seen.warnings == ()


def test_a_drive_that_ends_above_the_feet(person: Person) -> None:
    drive = _driving(person(800, x=256, ground=850))  # ankles outside, as the pose network guesses them
    seen = _look(_reference([person(400, x=256, ground=480)]), drive)
    assert [each.name for each in seen.warnings] == ["feet_cut"]
    assert "the drive shows none" in seen.warnings[0].sentence


def test_of_several_people_a_warning_says_of_whom(person: Person) -> None:
    reference = _reference([person(300, x=150, ground=400), person(300, x=380, ground=400)])
    driving = _driving(person(300, x=150, ground=400), person(300, x=380, ground=400, turn=75))
    (warning,) = _look(reference, driving, people=2).warnings
    assert warning.name == "profile_drives_frontal"
    assert warning.sentence.startswith("person 2: ")


def test_people_without_a_partner_and_a_drive_that_loses_its_person(person: Person) -> None:
    reference, driving = _reference([person(400, x=256, ground=480)]), _driving(person(400, x=256, ground=480))
    driving.keypoints[2:] = (np.nan, np.nan, 0)
    driven = aligned(reference, driving, SETTINGS)
    seen = look(reference, driving, driven, reference_people=1, driving_people=2)
    assert [each.name for each in seen.warnings] == ["people_unmatched", "person_seldom_found"]
    assert seen.people[0].found == 0.5


def test_no_face_is_no_small_one(person: Person) -> None:
    reference = _reference([person(400, x=256, ground=480)], face=None)
    seen = _look(reference, _driving(person(400, x=256, ground=480)))
    assert seen.people[0].face is None
    assert seen.warnings == ()


def test_who_passes_by_is_not_usual(person: Person) -> None:
    one, two = person(100), np.concatenate([person(100), person(100)])
    assert usual_people([one, one, two]) == 1
    assert usual_people([two, one, two]) == 2
    assert usual_people([one[:0], one[:0]]) == 1
