from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.releases.rule_effects import Alternative, near_misses, round_to, rule_effects
from pipelines.releases.rules import failed_rules
from pipelines.releases.settings import SelectSettings

KNOWN = ("seconds", "face_size", "camera_translation")
GOOD = {"seconds": 5.0, "face_size": 90.0, "camera_translation": 0.001}


def _settings(**changed: Any) -> SelectSettings:
    return SelectSettings(**{"min_seconds": 2.0, "min_face_size": 32.0, "max_camera_translation": 0.02, **changed})


def _rows(shots: list[dict[str, Any]], settings: SelectSettings) -> list[dict[str, Any]]:
    """As pipelines.releases.select makes them."""
    rows = []
    for number, shot in enumerate(shots):
        row = {"shot_id": f"v{number}:0-9", "error": None, **GOOD, **shot}
        row["failed_rules"] = failed_rules(row, {}, KNOWN, settings)
        rows.append(row)
    return rows


def _accepted(shots: list[dict[str, Any]], settings: SelectSettings) -> int:
    return sum(not row["failed_rules"] for row in _rows(shots, settings))


SHOTS = [
    {},
    {"seconds": 1.0},
    {"seconds": 1.0, "face_size": 20.0},
    {"face_size": None},
    {"camera_translation": None},
    {"camera_translation": 0.05},
    {"seconds": 0.4},
]


def test_each_rule_says_whom_it_rejects_and_whom_it_alone():
    settings = _settings()
    effects = {effect.rule: effect for effect in rule_effects(_rows(SHOTS, settings), settings)}
    assert (effects["min_seconds"].rejects, effects["min_seconds"].alone) == (3, 2)
    assert (effects["min_face_size"].rejects, effects["min_face_size"].alone) == (2, 1)
    assert (effects["max_camera_translation"].rejects, effects["max_camera_translation"].alone) == (1, 1)
    assert "min_people_median" not in effects  # not measured
    assert effects["max_seconds"].threshold is None


shot = st.fixed_dictionaries(
    {},
    optional={
        "seconds": st.sampled_from([0.4, 1.0, 2.0, 7.0]),
        "face_size": st.sampled_from([None, 8.0, 31.0, 32.0, 70.0, 300.0]),
        "camera_translation": st.sampled_from([None, 0.004, 0.019, 0.02, 0.021, 0.3]),
    },
)


@given(st.lists(shot, min_size=1, max_size=12), st.booleans(), st.sampled_from([None, 2.0]))
def test_another_threshold_gives_what_a_new_selection_would(
    shots: list[dict[str, Any]], unseen: bool, min_seconds: float | None
):
    settings = _settings(accept_unseen_background=unseen, min_seconds=min_seconds)
    for effect in rule_effects(_rows(shots, settings), settings):
        for other in effect.alternatives:
            changed = _settings(
                accept_unseen_background=unseen, **{"min_seconds": min_seconds, effect.rule: other.threshold}
            )
            assert other.accepted == _accepted(shots, changed), (effect.rule, other)


def test_the_current_threshold_stands_among_round_steps_and_off_comes_last():
    settings = _settings()
    effect = rule_effects(_rows(SHOTS, settings), settings)[0]
    assert effect.alternatives == (
        *(Alternative(0.5, 3, False), Alternative(1.0, 3, False), Alternative(2.0, 2, True)),
        *(Alternative(4.0, 2, False), Alternative(8.0, 0, False), Alternative(None, 4, False)),
    )


def test_a_rule_that_is_off_is_asked_what_it_would_keep_out():
    settings = _settings(max_seconds=None)
    shots = [{"seconds": float(second)} for second in range(3, 104)]
    effects = {effect.rule: effect for effect in rule_effects(_rows(shots, settings), settings)}
    # 101 shots of 3 to 103 seconds: half of them last 53 or less, 91 of them 93 or less
    others = {other.threshold: other.accepted for other in effects["max_seconds"].alternatives}
    assert others[53] == 51
    assert others[93] == 91
    assert others[None] == 101


def test_the_nearest_miss_comes_first_with_thresholds_that_accept_it():
    settings = _settings()
    rows = _rows(SHOTS, settings)
    rows.append({"shot_id": "bad", "failed_rules": [{"rule": "decode", "value": None, "threshold": None}]})
    misses = near_misses(rows, 9)
    assert [miss.row["shot_id"] for miss in misses] == ["v1:0-9", "v6:0-9", "v5:0-9", "v2:0-9"]
    assert [miss.changes for miss in misses] == [
        {"min_seconds": 1.0},
        {"min_seconds": 0.4},
        {"max_camera_translation": 0.05},
        {"min_seconds": 1.0, "min_face_size": 20.0},
    ]
    for miss in misses:
        assert not failed_rules(miss.row, {}, KNOWN, _settings(**miss.changes))


@given(st.floats(1e-6, 1e6), st.integers(1, 4))
def test_rounding_keeps_digits_and_direction(value: float, digits: int):
    down, up = round_to(value, digits, "down"), round_to(value, digits, "up")
    assert down <= value * (1 + 1e-5)
    assert up >= value * (1 - 1e-5)
    assert up - down <= 10.0 ** (np.ceil(np.log10(value)) - digits + 1) * 1.001


def test_rounding_of_nothing_is_nothing():
    assert round_to(0.0, 3) == 0
    assert round_to(1234.0, 2) == pytest.approx(1200)
