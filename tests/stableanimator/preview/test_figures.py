"""Figures of people drawn by hand, whose sizes, places and turns are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from stableanimator.preview import figures
from stableanimator.preview.warnings import SEATED, STANDING

from .conftest import Person

SIZE = (300, 300)


def test_scales_are_those_of_every_length_that_both_show(person: Person) -> None:
    driven, reference = person(180), person(120)[0]
    assert figures.scales(driven, reference) == pytest.approx((1.5, 1.5, 1.5))
    waist_up = person(120, missing=(13, 14, 15, 16))[0]
    assert figures.scales(driven, waist_up) == pytest.approx((1.5, 1.5))
    face = person(120, missing=tuple(range(5, 17)))[0]
    assert figures.scales(driven, face) == pytest.approx((1.5,))
    assert figures.scales(driven, np.full((133, 3), (np.nan, np.nan, 0), np.float32)) == ()


def test_a_turned_reference_changes_the_shoulders_alone(person: Person) -> None:
    body, trunk, shoulders = figures.scales(person(120), person(120, turn=60)[0])
    assert (body, trunk) == pytest.approx((1, 1), rel=0.01)
    assert shoulders == pytest.approx(2)


def test_the_middle_is_that_of_the_box_of_most_frames(person: Person) -> None:
    frames = np.concatenate([person(100, x=50, ground=200)] * 3 + [person(100, x=250, ground=200)])
    assert figures.middle(frames) == pytest.approx((50, 200 - 100 * (0.936 + 0.039) / 2), abs=0.01)
    assert figures.middle(np.zeros((2, 133, 3), np.float32)) is None


def test_the_offset_counts_joints_that_both_show(person: Person) -> None:
    reference = person(100, x=50, ground=200, missing=(13, 14, 15, 16))[0]
    assert figures.offset(person(100, x=70, ground=190), reference) == pytest.approx((20, -10))
    nobody = np.zeros((133, 3), np.float32)
    assert figures.offset(person(100), nobody) is None


def test_found_is_a_share_of_the_frames(person: Person) -> None:
    nobody = np.zeros((3, 133, 3), np.float32)
    assert figures.found(np.concatenate([person(100), nobody])) == 0.25


@pytest.mark.parametrize("turn", [0.0, 60.0, 75.0, 90.0, 120.0, 180.0])
def test_a_turn_is_told_by_the_shoulders(person: Person, turn: float) -> None:
    # Shoulders of 0.23 statures are 0.8 of the trunk's 0.288.
    assert figures.turned(person(100, turn=turn), SIZE) == pytest.approx(turn, abs=4)


def test_a_turn_is_known_with_one_hip_and_not_with_one_shoulder(person: Person) -> None:
    one_hip = figures.turned(person(100, turn=75, missing=(11,)), SIZE)
    assert one_hip == pytest.approx(75, abs=5)
    assert figures.turned(person(100, turn=75, missing=(0, 5)), SIZE) is None


def test_a_head_with_a_hidden_side_is_a_profile_where_nothing_else_tells(person: Person) -> None:
    assert figures.turned(person(100, turn=75, missing=(1, 3, 5)), SIZE) == 90
    assert figures.turned(person(100, turn=75, missing=(1, 3)), SIZE) == pytest.approx(75, abs=5)


def test_a_face_tells_the_turn_where_no_trunk_is_seen(person: Person) -> None:
    face = person(300, x=150, ground=300, missing=tuple(range(5, 17)))
    assert figures.turned(face, SIZE) == pytest.approx(0, abs=1)
    face[0, 0, 0] += 0.018 * 2 * 300 * 0.41  # the nose goes as far aside as its depth: 45 degrees
    assert figures.turned(face, SIZE) == pytest.approx(45, abs=1)


def test_thighs_hang_of_who_stands_and_not_of_who_sits(person: Person) -> None:
    assert figures.thighs_down(person(100)) == pytest.approx(0.245 / 0.288, abs=0.01)
    assert figures.thighs_down(person(100, seated=True)) == pytest.approx(0, abs=0.01)
    one_up = person(100)
    one_up[0, 13, 1] = one_up[0, 11, 1]
    assert figures.thighs_down(one_up) == pytest.approx(0.245 / 0.288, abs=0.01)
    assert figures.thighs_down(person(100, missing=(13, 14))) is None


@pytest.mark.parametrize("missing", [(5,), (6, 11), (11, 14), (12, 13)])
def test_one_shoulder_one_hip_and_one_knee_tell_whether_somebody_sits(person: Person, missing: tuple[int, ...]) -> None:
    standing, sitting = person(100, missing=missing), person(100, seated=True, missing=missing)
    assert (figures.thighs_down(standing) or 0) > STANDING
    assert (figures.thighs_down(sitting) or 0) < SEATED


@pytest.mark.parametrize(("ground", "shown"), [(299.0, True), (301.0, False), (305.0, False)])
def test_a_foot_is_shown_with_its_sole(person: Person, ground: float, shown: bool) -> None:
    """At 301 the ankle, 0.039 statures higher, is still inside."""
    assert figures.feet_shown(person(200, x=150, ground=ground), SIZE, 200.0).tolist() == [shown]
    assert not figures.feet_shown(person(200, x=150, ground=ground, missing=(15, 16)), SIZE, 200.0).any()


@pytest.mark.parametrize(("crown", "shown"), [(2.0, True), (-2.0, False), (-40.0, False)])
def test_a_head_is_shown_up_to_its_crown(person: Person, crown: float, shown: bool) -> None:
    """The crown is as far above the eyes, at 0.936, as the chin, at 0.87, is below them: 1.002."""
    assert figures.head_shown(person(200, x=150, ground=crown + 1.002 * 200), SIZE).tolist() == [shown]


def test_a_head_without_a_chin_is_its_joints(person: Person) -> None:
    assert figures.head_shown(person(200, x=150, ground=198, missing=(31,)), SIZE).all()
    assert not figures.head_shown(person(200, x=150, ground=198, missing=(0, 1, 2, 3, 4, 31)), SIZE).any()
