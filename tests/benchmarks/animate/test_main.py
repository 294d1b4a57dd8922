"""Figures of parts that were measured before are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.animate import __main__ as command
from benchmarks.animate import closed_form
from benchmarks.harness import Figure


def test_a_part_that_is_measured_again_replaces_its_own_figures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    monkeypatch.setattr(harness, "provenance", lambda: {"machine": "m", "commit": "c"})
    monkeypatch.setattr(
        command, "report", lambda name, figures, folder=tmp_path: harness.report(name, figures, folder=folder)
    )
    values = iter((1.0, 2.0, 3.0))
    for part in ("seams", "memory"):
        monkeypatch.setitem(
            command.PARTS, part, lambda arguments: [Figure("x", next(values), 2.5, "lower", spread=0.5)]
        )
    assert command.main(["--parts", "seams"]) == 0
    assert command.main(["--parts", "memory"]) == 0
    assert command.main(["--parts", "seams"]) == 1
    figures = json.loads((tmp_path / "animate.json").read_text())["figures"]
    assert {name: each["value"] for name, each in figures.items()} == {"memory: x": 2.0, "seams: x": 3.0}
    assert figures["memory: x"]["spread"] == 0.5
    content = (tmp_path / "animate.json").read_text()
    monkeypatch.setitem(command.PARTS, "drift", lambda arguments: [Figure("y", 1.0, None, "lower")])
    assert command.main(["--parts", "drift", "--frames", "50"]) == 0  # a shorter one
    assert (tmp_path / "animate.json").read_text() == content


def test_of_windows_in_closed_form_those_that_move_leave_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_form, "VALUES", 200)
    sampler = closed_form.SAMPLERS["4 steps"]
    whole = closed_form.sampled(sampler, None)
    assert float(whole.std()) == pytest.approx(0.17, abs=0.02)  # of 0.3: four of Euler's steps fall short
    beside, still, moving = (
        closed_form.left_by(closed_form.sampled(sampler, *windows), whole, windows[0])
        for windows in ((0, 0), (4, 0), (4, 5))
    )
    assert beside.seam > 5 > 1.25 > still.seam > moving.seam > 0.9
    assert moving.worst < still.worst
    assert closed_form.covariance(3)[0].tolist() == pytest.approx([0.09, 0.08965, 0.08861], abs=1e-5)
