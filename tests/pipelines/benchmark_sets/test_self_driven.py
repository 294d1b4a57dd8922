from __future__ import annotations

from collections import Counter

import pytest
import torch

from pipelines.benchmark_sets.self_driven import draw_of, drawn_among, misaligned, part_of
from stableanimator.alignment.settings import MisalignmentSettings


def test_a_draw_depends_on_seed_clip_and_number_alone() -> None:
    one, same = draw_of(0, "a", 1), draw_of(0, "a", 1)
    assert (one.seed, one.level) == (same.seed, same.level)
    assert torch.equal(one.generator.get_state(), same.generator.get_state())
    assert len({draw_of(*which).seed for which in ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2))}) == 4


def test_levels_are_drawn_evenly() -> None:
    levels = Counter(draw_of(0, f"{clip}", 0).level for clip in range(3000))
    assert set(levels) == {0, 1, 2}
    assert all(abs(count - 1000) < 100 for count in levels.values())  # four standard deviations are 103


def test_a_part_of_the_ranges_is_a_weaker_misalignment_of_the_same_direction() -> None:
    whole = MisalignmentSettings()
    half, full = (misaligned(part_of(whole, share), draw_of(0, "a", 0)) for share in (0.5, 1.0))
    assert half["rotation"] == pytest.approx(full["rotation"] / 2, rel=1e-4)
    assert half["scale"] == pytest.approx(full["scale"] ** 0.5, rel=1e-4)
    assert half["tx"] == pytest.approx(full["tx"] / 2, rel=1e-4)
    none = misaligned(part_of(whole, 0.0), draw_of(0, "a", 0))
    assert none == pytest.approx({"rotation": 0, "scale": 1, "tx": 0, "ty": 0})


def test_drawn_numbers_lie_in_their_range() -> None:
    draw = draw_of(0, "a", 0)
    assert {drawn_among(5, draw) for _ in range(200)} == set(range(5))
