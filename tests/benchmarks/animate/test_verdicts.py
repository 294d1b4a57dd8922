from __future__ import annotations

import numpy as np
import pytest

from benchmarks.animate.verdicts import RIGHT, SEED, WRONG, Case, _figures, case_of, measured
from stableanimator.metrics.settings import AcceptSettings
from stableanimator.metrics.verdict import Missed, Verdict, judged

ACCEPT = AcceptSettings(
    min_pck_drive_10=0.9, min_velocity_drive=0.45, max_delay_drive=0.05, min_csim_held_out=0.7, max_flicker=2.0
)


@pytest.fixture(scope="module")
def case() -> Case:
    """Who gestures."""
    return case_of(SEED + 2)


def _mean(frames: list[np.ndarray], others: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, others, strict=True)]))


def test_every_kind_is_wrong_in_one_thing(case: Case) -> None:
    right = [each.frame for each in case.right]
    results = {kind: [each.frame for each in make(case)] for kind, make in (RIGHT | WRONG).items()}
    assert {len(frames) for frames in results.values()} == {len(right)}
    assert _mean(results["right"], right) == 0
    assert _mean(results["late by 3 frames"][3:], right[:-3]) == 0
    assert _mean(results["frozen"], [right[0]] * len(right)) == 0
    assert 0 < _mean(results["right, softened"], right) < 3
    # another head in the same body, clothes and motion: the corners of the picture are untouched, the middle is not
    for kind in ("wrong person", "person much alike"):
        assert _mean([frame[-20:, :20] for frame in results[kind]], [frame[-20:, :20] for frame in right]) == 0
        assert _mean(results[kind], right) > 0.1
    assert _mean(results["wrong motion"], right) > 1
    assert _mean(results["flickering"], right) > 1


def test_the_networks_tell_right_from_wrong_and_by_what() -> None:
    kinds = ("right", "wrong person", "wrong motion", "late by 3 frames", "frozen", "flickering")
    people = measured(SEED + 2, {kind: (RIGHT | WRONG)[kind] for kind in kinds})
    verdicts = {kind: judged(figures, ACCEPT, unasked) for kind, (figures, unasked) in people.items()}
    missed = {kind: {each.name for each in verdict.missed} for kind, verdict in verdicts.items()}
    assert missed["right"] == set()
    assert missed["wrong person"] == {"csim_held_out"}
    assert missed["late by 3 frames"] >= {"delay_drive"}
    assert missed["frozen"] >= {"velocity_drive"}
    assert missed["flickering"] >= {"flicker"}
    assert missed["wrong motion"] & {"pck_drive_10", "velocity_drive"}
    delay = people["late by 3 frames"][0]["delay_drive"]
    assert delay == pytest.approx(3 / 25, abs=0.02)


def test_shares_are_of_each_kind_and_their_mean() -> None:
    good, bad = Verdict(missed=()), Verdict(missed=(Missed(name="seam", value=3.0, threshold=2.0),))
    verdicts = {kind: [good, good, good, bad] for kind in RIGHT} | {kind: [bad] * 4 for kind in WRONG}
    verdicts["frozen"] = [good, bad, bad, bad]
    figures = {each.name: each for each in _figures(verdicts, "")}
    assert figures["false rejects"].value == pytest.approx(0.25)
    assert figures["false accepts, frozen"].value == pytest.approx(0.25)
    assert figures["false accepts"].value == pytest.approx(0.25 / len(WRONG))
    assert figures["false accepts, flickering"].note == "missed: 4 seam"
