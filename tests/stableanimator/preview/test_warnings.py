"""Each warning on both sides of its threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stableanimator.preview.warnings import PersonFigures, unmatched_people, warnings_of_person

FINE = PersonFigures(
    found=1.0, stature=0.8, scales=(1.0, 1.0, 1.0), place=(0.5, 0.5), offset=(0.0, 0.0), outside=0.0,
    without_feet=0.0, without_head=0.0, drive_shows_feet=True, drive_shows_head=True, turned=10.0, reference_turned=0.0,
    thighs_down=0.85, reference_thighs_down=0.8, face=60.0,
)  # fmt: skip
NOTHING_KNOWN = PersonFigures(
    found=1.0, stature=None, scales=(), place=None, offset=None, outside=0.0, without_feet=None, without_head=None,
    drive_shows_feet=False, drive_shows_head=False, turned=None, reference_turned=None, thighs_down=None,
    reference_thighs_down=None, face=None,
)  # fmt: skip


def _names(**changes: Any) -> list[str]:
    return [each.name for each in warnings_of_person(replace(FINE, **changes))]


def test_nothing_is_warned_of_who_is_fine_or_of_whom_nothing_is_known() -> None:
    assert _names() == []
    assert list(warnings_of_person(NOTHING_KNOWN)) == []


@pytest.mark.parametrize(
    ("name", "beyond", "within"),
    [
        ("person_too_large", {"scales": (1.3, 1.3, 1.3)}, {"scales": (1.2, 1.2, 1.2)}),
        ("person_too_large", {"scales": (1.3, 1.3, 1.0)}, {"scales": (1.3, 1.0, 1.0)}),
        ("person_too_large", {"scales": (1.3, 1.3)}, {"scales": (1.0, 2.0)}),
        ("person_too_small", {"scales": (0.75,)}, {"scales": (0.85,)}),
        ("person_too_small", {"scales": (0.7, 0.75, 1.0)}, {"scales": (0.7, 0.9)}),
        ("person_out_of_picture", {"outside": 0.3}, {"outside": 0.2}),
        ("feet_cut", {"without_feet": 0.3}, {"without_feet": 0.2}),
        ("head_cut", {"without_head": 0.3}, {"without_head": 0.2}),
        ("seated_drives_standing", {"thighs_down": 0.1}, {"thighs_down": 0.4}),
        ("standing_drives_seated", {"reference_thighs_down": 0.1}, {"reference_thighs_down": 0.4}),
        ("profile_drives_frontal", {"turned": 70.0}, {"turned": 50.0}),
        ("frontal_drives_profile", {"reference_turned": 70.0}, {"reference_turned": 50.0}),
        ("back_drives_frontal", {"turned": 150.0}, {"turned": 150.0, "reference_turned": 160.0}),
        ("face_too_small", {"face": 31.0}, {"face": 33.0}),
        ("person_seldom_found", {"found": 0.85}, {"found": 0.95}),
    ],
)
def test_a_warning_comes_beyond_its_threshold(name: str, beyond: dict[str, Any], within: dict[str, Any]) -> None:
    assert _names(**beyond) == [name]
    assert _names(**within) == []


def test_who_sits_may_drive_who_sits() -> None:
    assert _names(thighs_down=0.1, reference_thighs_down=0.1) == []


def test_a_cut_says_whose_it_is() -> None:
    (by_picture,) = warnings_of_person(replace(FINE, without_feet=1.0))
    (by_drive,) = warnings_of_person(replace(FINE, without_feet=1.0, drive_shows_feet=False))
    assert "more room below" in by_picture.sentence
    assert "the drive shows none" in by_drive.sentence
    assert str(by_drive) == f"feet_cut: {by_drive.sentence}"


@pytest.mark.parametrize(("counts", "warned"), [((1, 1, 1), 0), ((2, 2, 2), 0), ((1, 2, 1), 1), ((1, 1, 3), 1)])
def test_people_without_a_partner(counts: tuple[int, int, int], warned: int) -> None:
    assert len(list(unmatched_people(*counts))) == warned
