from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from pipelines.releases.rules import all_rules, failed_rules, rules_of
from pipelines.releases.settings import SelectSettings
from pipelines.storage.tables import MEASURES, SHOTS, scalar_columns

KNOWN = [
    *SHOTS.names, "near_duplicate_distance", *(name for measure in MEASURES for name in scalar_columns(measure)),
]  # fmt: skip
GOOD = {
    "error": None,
    "seconds": 5.0,
    "width": 512,
    "height": 512,
    "people_median": 1.0,
    "people_most": 1.0,
    "face_share": 0.9,
    "face_size": 80.0,
    "keypoint_coverage": 0.9,
    "camera_translation": 0.001,
    "camera_rotation": 0.1,
    "camera_zoom": 0.001,
    "camera_drift": 0.01,
    "background_change": 0.1,
    "subject_motion": 0.1,
    "near_duplicate_distance": 1.0,
}


def _names(shot: dict[str, object], settings: SelectSettings | None = None, errors: dict[str, str] | None = None):
    return [one["rule"] for one in failed_rules(shot, errors or {}, KNOWN, settings or SelectSettings())]


def test_every_rule_is_about_a_column_of_the_verdicts():
    names = [field.name for field in fields(SelectSettings) if field.name.startswith(("min_", "max_"))]
    assert {name.partition("_")[2] for name in names} <= set(KNOWN)


def test_a_good_shot_fails_nothing():
    assert _names(GOOD) == []


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("seconds", 1.9, "min_seconds"),
        ("width", 255, "min_width"),
        ("people_median", 0.0, "min_people_median"),
        ("people_most", 2.0, "max_people_most"),
        ("face_share", 0.4, "min_face_share"),
        ("face_size", 20.0, "min_face_size"),
        ("keypoint_coverage", 0.2, "min_keypoint_coverage"),
        ("camera_translation", 0.03, "max_camera_translation"),
        ("camera_zoom", 0.05, "max_camera_zoom"),
        ("camera_drift", 0.2, "max_camera_drift"),
        ("background_change", 0.6, "max_background_change"),
        ("subject_motion", 0.0, "min_subject_motion"),
    ],
)
def test_each_rule_names_value_and_threshold(column: str, value: float, rule: str):
    threshold = getattr(SelectSettings(), rule)
    failures = failed_rules({**GOOD, column: value}, {}, KNOWN, SelectSettings())
    assert failures == [{"rule": rule, "value": value, "threshold": threshold, "error": None}]


def test_a_value_on_the_threshold_passes():
    assert _names({**GOOD, "seconds": 2.0, "camera_translation": 0.02}) == []


def test_every_failing_rule_is_named():
    assert _names({**GOOD, "seconds": 1.0, "people_median": 0.0}) == ["min_seconds", "min_people_median"]


def test_a_rule_can_be_switched_off():
    assert _names({**GOOD, "seconds": 1.0}, SelectSettings(min_seconds=None)) == []


def test_what_was_not_measured_fails_unless_the_background_shows_nothing():
    failures = failed_rules({**GOOD, "face_size": None}, {}, KNOWN, SelectSettings())
    assert [(one["rule"], one["error"]) for one in failures] == [("min_face_size", "unmeasured")]
    unseen = {**GOOD, "camera_translation": None, "background_change": None}
    assert _names(unseen) == []
    strict = SelectSettings(accept_unseen_background=False)
    assert _names(unseen, strict) == ["max_camera_translation", "max_background_change"]


def test_rules_on_measures_that_did_not_run_do_not_apply():
    known = [*SHOTS.names, *scalar_columns("camera_motion")]
    shot = {name: value for name, value in GOOD.items() if name in known}
    assert failed_rules(shot, {}, known, SelectSettings()) == []


def test_a_video_that_cannot_be_decoded_fails_by_that_alone():
    shot = {"error": "truncated", "seconds": None}
    failures = failed_rules(shot, {}, KNOWN, SelectSettings())
    assert failures == [{"rule": "decode", "value": None, "threshold": None, "error": "truncated"}]


def test_a_measure_that_failed_is_a_reason_of_its_own():
    shot = {**GOOD, "face_share": None, "face_size": None}
    failures = failed_rules(shot, {"face_quality": "boom"}, KNOWN, SelectSettings())
    assert [(one["rule"], one["error"]) for one in failures] == [("face_quality", "boom")]


def test_rules_come_in_the_order_of_the_fields():
    assert [rule for rule, *_ in rules_of(SelectSettings())][:3] == ["min_seconds", "min_width", "min_height"]


def test_the_page_on_curation_names_every_rule_with_its_default():
    page = Path(__file__).parents[3] / "docs" / "curation.md"
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith(("| `min_", "| `max_"))]
    named = {row[1].strip(" `"): row[2].strip() for row in rows}
    assert len(named) == len(rows)  # each once
    for rule, _, _, threshold in all_rules(SelectSettings()):
        assert rule in named
        assert threshold is None or float(named[rule]) == threshold


def test_a_minimum_above_its_maximum_is_refused():
    with pytest.raises(ValueError, match="above max_seconds"):
        SelectSettings(min_seconds=5, max_seconds=4)
    with pytest.raises(ValueError, match="heldout_share"):
        SelectSettings(heldout_share=2)
