from __future__ import annotations

import math

import pytest

from pipelines.releases.rule_columns import RULE_COLUMNS, number_text, reason_text
from pipelines.releases.rules import all_rules
from pipelines.releases.settings import SelectSettings
from pipelines.storage.tables import VERDICTS


def test_every_column_that_a_rule_uses_has_words():
    assert set(RULE_COLUMNS) == {column for _, column, _, _ in all_rules(SelectSettings())}
    assert set(RULE_COLUMNS) <= set(VERDICTS.names)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (0.0, "0"),
        (1920, "1920"),
        (1234.56, "1235"),
        (25.37, "25.4"),
        (0.5, "0.5"),
        (0.00025, "0.00025"),
        (0.000012345, "0.000012"),
        (-0.123456, "-0.123"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float | None, text: str):
    assert number_text(value) == text


def test_a_rule_is_told_in_words():
    assert reason_text("min_seconds") == "too short"
    assert reason_text("max_camera_translation") == "camera moves"
    assert reason_text("decode") == "the video cannot be decoded"
    assert reason_text("face_quality") == "the measure face_quality failed"
