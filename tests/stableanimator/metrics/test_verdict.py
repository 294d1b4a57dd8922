from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from stableanimator.metrics.clips import Features
from stableanimator.metrics.scoring import PairMetrics, column_names
from stableanimator.metrics.settings import AcceptSettings
from stableanimator.metrics.verdict import FIGURES, Missed, Verdict, best, figures_of, judged, proposed

GOOD: dict[str, float | None] = {
    "pck_drive_10": 0.99,
    "velocity_drive": 0.8,
    "delay_drive": -0.01,
    "csim_held_out": 0.9,
    "csim": 0.95,
    "face_found": 1.0,
    "flicker": 1.0,
    "seam": 1.5,
}
ACCEPT = AcceptSettings(
    min_pck_drive_10=0.95,
    min_velocity_drive=0.5,
    max_delay_drive=0.05,
    min_csim_held_out=0.8,
    min_csim=0.7,
    min_face_found=0.9,
    max_flicker=2.0,
    max_seam=2.0,
)


def test_every_threshold_is_of_a_figure_that_scoring_has() -> None:
    assert tuple(each.name.partition("_")[2] for each in fields(AcceptSettings)) == FIGURES
    assert set(FIGURES) <= set(column_names(()))


@pytest.mark.parametrize(
    ("name", "value", "threshold"),
    [
        ("pck_drive_10", 0.94, 0.95),
        ("velocity_drive", 0.4, 0.5),
        ("delay_drive", 0.06, 0.05),
        ("delay_drive", -0.06, 0.05),  # early
        ("csim_held_out", 0.79, 0.8),
        ("csim", 0.69, 0.7),
        ("face_found", 0.89, 0.9),
        ("flicker", 2.1, 2.0),
        ("seam", 2.1, 2.0),
        ("csim_held_out", None, 0.8),  # no face is found
    ],
)
def test_one_figure_is_enough_to_be_refused(name: str, value: float | None, threshold: float) -> None:
    assert judged(GOOD, ACCEPT).accepted
    verdict = judged(GOOD | {name: value}, ACCEPT)
    assert verdict.missed == (Missed(name=name, value=value, threshold=threshold),)
    assert not verdict.accepted
    assert judged(GOOD | {name: value}, ACCEPT, unasked=[name]).accepted
    assert judged(GOOD | {name: value}, AcceptSettings()).accepted  # nothing is asked
    assert judged(GOOD | {name: threshold}, ACCEPT).accepted


def test_the_first_accepted_is_kept_or_the_one_that_falls_short_the_least() -> None:
    def missing(*values: float | None) -> Verdict:
        return Verdict(missed=tuple(Missed(name="flicker", value=value, threshold=2.0) for value in values))

    assert missing(3.0).shortfall == pytest.approx(0.5)
    assert missing(None, 2.2).shortfall == pytest.approx(1.1)
    assert best([missing(3.0), missing(2.5), missing(2.5)]) == 1
    assert best([missing(2.001), missing(), missing()]) == 1


def _metrics(frames: int = 24, reason: str | None = None, **columns: float | None) -> PairMetrics:
    values: dict[str, Any] = dict.fromkeys(column_names(())) | GOOD | {"speed_drive": 0.1} | columns
    features: Features = {}
    return PairMetrics(columns=values, counts={"frames": frames}, features=features, reason=reason)


def test_what_there_is_nothing_to_ask_of_is_named_with_why() -> None:
    figures, unasked = figures_of(_metrics(), held_out=True)
    assert (figures, unasked) == (GOOD, {})
    assert figures_of(_metrics(), held_out=False)[1] == {
        "csim_held_out": "perception.faces.held_out names no recogniser"
    }
    assert set(figures_of(_metrics(reason="no_reference_face"), held_out=True)[1]) == {
        "csim_held_out",
        "csim",
        "face_found",
    }
    for speed in (0.01, None):
        still = figures_of(_metrics(speed_drive=speed), held_out=True)[1]
        assert still == dict.fromkeys(("velocity_drive", "delay_drive"), "the drive hardly moves")
    assert set(figures_of(_metrics(frames=2), held_out=True)[1]) == {"flicker", "seam"}


@pytest.mark.parametrize(("each", "threshold"), [(1, 0.1), (5, 0.23), (30, 0.45)])
def test_thresholds_lie_beyond_the_worst_example_the_less_the_more_examples_there_are(
    each: int, threshold: float
) -> None:
    """By (0.9 - 0.5) times 10 / 3, at most 1; 10 / 15; 10 / 90, which is less than the margin of 0.05."""
    rows = [GOOD | {"csim_held_out": value, "flicker": 1.0, "delay_drive": -0.01} for value in (0.95, 0.9, 0.5)] * each
    accept = proposed(rows)
    assert accept.min_csim_held_out == pytest.approx(threshold)
    assert accept.max_flicker == pytest.approx(1.5)
    assert accept.max_delay_drive == pytest.approx(0.03)
    assert accept.min_pck_drive_10 == pytest.approx(0.97)
    assert all(judged(row, accept).accepted for row in rows)


def test_what_no_example_has_is_not_asked() -> None:
    assert proposed([GOOD | {"csim_held_out": None}]).min_csim_held_out is None
    assert proposed([]).thresholds == {}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"min_pck_drive_10": 1.1}, "min_pck_drive_10 must be at least 0 and at most 1, not 1.1"),
        ({"min_csim_held_out": -2.0}, "min_csim_held_out must be at least -1 and at most 1, not -2"),
        ({"max_seam": -1.0}, "max_seam must be at least 0, not -1"),
    ],
)
def test_thresholds_that_nothing_can_have_are_refused(settings: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AcceptSettings(**settings)


@pytest.mark.parametrize("setting", ["min_csim", "max_flicker"])
def test_what_is_no_number_reaches_no_threshold(setting: str) -> None:
    name = setting.partition("_")[2]
    assert not judged({name: float("nan")}, AcceptSettings(**{setting: 0.5})).accepted
    assert judged({name: 0.5}, AcceptSettings(**{setting: 0.5})).accepted
