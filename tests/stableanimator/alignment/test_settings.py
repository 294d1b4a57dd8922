from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from stableanimator.alignment.settings import AlignSettings, EvaluationSettings, PairsSettings


def test_a_configuration_becomes_settings() -> None:
    tree = {
        "aligner": {"mode": "absolute"},
        "misalignment": {"scale": [0.8, 1.2]},
        "evaluation": {"methods": ["per_bone", "learned"], "worst": 0},
    }
    settings = TypeAdapter(AlignSettings).validate_python(tree)
    assert settings.aligner.mode == "absolute"
    assert settings.misalignment.scale == (0.8, 1.2)
    assert settings.evaluation == EvaluationSettings(methods=("per_bone", "learned"), worst=0)


def test_an_unknown_alignment_is_refused() -> None:
    with pytest.raises(ValidationError, match="methods"):
        TypeAdapter(AlignSettings).validate_python({"evaluation": {"methods": ["svg", "learned"]}})


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("validation_pairs", 0), ("learning_rate", 0.0), ("seed", -1)]
)
def test_ranges_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        AlignSettings(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("procedural_share", 2.0), ("minimum_joints", 1)])
def test_ranges_of_pairs_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        PairsSettings(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"), [("clips", 0), ("drives_per_clip", 0), ("frames", 0), ("worst", -1), ("methods", ("svd",))]
)
def test_ranges_of_the_evaluation_are_checked(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        EvaluationSettings(**{field: value})  # type: ignore[arg-type]
