"""The harness: bars, ratios of one round, and a results file without names of hosts or folders."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path

import pytest

from benchmarks.harness import Figure, half_range, interleave, machine, ratio, report


@pytest.mark.parametrize(
    ("value", "bar", "better", "met"),
    [
        (1.1, 1.1, "lower", True),
        (1.11, 1.1, "lower", False),
        (0.8, 0.8, "higher", True),
        (0.79, 0.8, "higher", False),
        (math.nan, 0.8, "higher", False),
        (math.nan, 0.8, "lower", False),
        (5.0, None, "lower", None),
    ],
)
def test_a_bar_is_met_from_its_good_side(value: float, bar: float | None, better: str, met: bool | None) -> None:
    assert Figure("x", value, bar, better).met is met  # type: ignore[arg-type]


def test_a_figure_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="lower or higher"):
        Figure("x", 1.0, 1.0, "faster")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="spread"):
        Figure("x", 1.0, 1.0, "lower", spread=-1.0)


def test_variants_take_turns_and_each_begins_a_round() -> None:
    calls: list[str] = []
    variants = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = interleave(variants, repeats=4)
    assert "".join(calls) == "abcbcacababc"
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4, "c": 4}
    assert all(0 <= time < 1 for times in seconds.values() for time in times)
    with pytest.raises(ValueError, match="repeats"):
        interleave(variants, repeats=0)


def test_another_clock_is_read_before_and_after_each_variant() -> None:
    ticks = iter([0.0, 1.0, 5.0, 8.0])
    assert interleave({"a": int, "b": int}, repeats=1, clock=lambda: next(ticks)) == {"a": [1.0], "b": [3.0]}


def test_a_ratio_is_of_the_same_round() -> None:
    # The machine was three times slower in the second round; the ratio is not.
    assert ratio([2.0, 6.6, 2.2], [1.0, 3.0, 1.0]) == (pytest.approx(2.2), pytest.approx(0.1))
    assert ratio([3.0], [2.0]) == (1.5, None)
    assert half_range([4.0, 1.0, 3.0]) == 1.5
    with pytest.raises(ValueError, match="2 repeats over 1"):
        ratio([1.0, 2.0], [1.0])


def test_a_report_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [
        Figure("wall time over Pool", 1.05, 1.1, "lower", spread=0.02),
        Figure("re-select", 3.2, 5.0, "lower", "s", note="in process"),
        Figure("precision", math.nan, None, "higher"),
    ]
    assert report("example", figures, folder=tmp_path) == 0
    record = json.loads((tmp_path / "example.json").read_text())
    assert set(record) == {"figures", "machine", "commit"}
    assert record["figures"] == {
        "wall time over Pool": {"value": 1.05, "bar": 1.1, "better": "lower", "unit": "", "spread": 0.02},
        "re-select": {"value": 3.2, "bar": 5.0, "better": "lower", "unit": "s", "spread": None},
        "precision": {"value": None, "bar": None, "better": "higher", "unit": "", "spread": None},
    }
    printed = capsys.readouterr().out
    assert "met" in printed
    assert "missed" not in printed


def test_a_missed_bar_is_exit_code_1_and_a_quick_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report("example", [Figure("slow", 2.0, 1.0, "lower")], folder=None) == 1
    assert "missed" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_figures_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="share a name"):
        report("example", [Figure("x", 1.0, None, "lower"), Figure("x", 2.0, None, "lower")], folder=None)


def test_the_machine_is_described_without_names() -> None:
    text = machine()
    assert f"{len(os.sched_getaffinity(0))} cores" in text
    assert f"Python {platform.python_version()}" in text
    assert platform.node() not in text
    assert "/" not in text
