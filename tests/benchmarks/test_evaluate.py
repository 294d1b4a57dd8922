"""The measurements of `python -m benchmarks.evaluate` on a few clips, and what they conclude from numbers by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.evaluate import __main__ as command
from benchmarks.evaluate import agreement, image, wrongness
from benchmarks.evaluate.restated import disco_script
from stableanimator.metrics.scoring import picture_metrics
from stableanimator.metrics.seen import Seen
from stableanimator.synthetic.clips import write_clip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("row", "bar"),
    [
        (lambda: agreement.pictures(np.random.default_rng(1)), agreement.EXACT),
        (agreement.perceptual, agreement.EXACT),
        (lambda: agreement.over_time(np.random.default_rng(1)), agreement.EXACT),
        (lambda: agreement.motion(np.random.default_rng(1)), agreement.EXACT),
        (lambda: agreement.distances(np.random.default_rng(1)), agreement.DISTANCES),
    ],
    ids=["pictures", "perceptual", "over time", "motion", "distances"],
)
def test_metrics_agree_with_the_independent_ones(row: Callable[[], agreement.Row], bar: float) -> None:
    found = row()
    assert found
    assert {name: value for name, value in found.items() if not value <= bar} == {}


def test_the_loop_and_the_metrics_see_the_same() -> None:
    generator = np.random.default_rng(2)
    frames = [generator.integers(0, 256, shape, dtype=np.uint8) for shape in ((90, 60, 3), (70, 80, 3))]
    ours = picture_metrics("disco", *(Seen(frame, image.BLIND) for frame in frames))
    theirs = disco_script(frames[:1], frames[1:], (256, 256))
    assert ours == {name: pytest.approx(value, rel=1e-9) for name, value in theirs.items()}


def test_order_by_hand() -> None:
    rows = [[0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [0.0, None, 1.0], [0.0, 0.0, 1.0]]
    assert wrongness.in_order(rows, rises=True) == pytest.approx((2 + 1 + 0 + 1) / 8)
    assert wrongness.in_order(rows, rises=False) == pytest.approx(1 / 8)


@pytest.mark.parametrize("name", wrongness.WRONG)
def test_columns_order_a_drawn_clip_by_how_wrong_it_is(name: str) -> None:
    wrong = wrongness.WRONG[name]
    clip = write_clip(wrong.kinds[0], FIRST_SEED + 870_001, wrongness._SETTINGS)
    rows = wrongness.columns_of(name, clip)
    for column, direction in wrong.better.items():
        values = [row[column] for row in rows]
        assert wrongness.in_order([values], direction == "rises") >= 0.75, (column, values)


def test_a_part_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--parts", "image,colour"])
    with pytest.raises(SystemExit):
        command.main()
    assert "no such part: colour" in capsys.readouterr().err
