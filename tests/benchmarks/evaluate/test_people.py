from __future__ import annotations

import pytest

from benchmarks.evaluate.drawn_people import CHOSEN_ON, JUDGED_ON, drawn_videos, settings_of
from benchmarks.evaluate.people import completeness, purity
from pipelines.releases.rules import rules_of


def test_purity_and_completeness_by_hand() -> None:
    clips = {0: ["p", "p", "p"], 1: ["p", "q"], 2: ["r", "s", "s", "s", "t"]}
    assert purity(clips) == pytest.approx((3 + 1 + 1 + 3 + 1) / 10)
    assert completeness(clips) == pytest.approx((3 + 1 + 3) / 10)


def test_only_copies_are_rejected_and_no_judged_video_is_one_that_limits_were_chosen_on() -> None:
    assert [rule for rule, *_ in rules_of(settings_of().select)] == ["min_near_duplicate_distance"]
    assert settings_of(heldout_share=0.3).select.heldout_share == 0.3
    assert JUDGED_ON not in CHOSEN_ON


def test_everybody_is_drawn_and_some_several_times(tmp_path) -> None:
    drawn = drawn_videos(9_500_000, tmp_path, 1, videos=4, people=3)
    assert [one.person for one in drawn[:3]] == [0, 1, 2]
    assert drawn[3].person in (0, 1, 2)
    assert len({one.path for one in drawn}) == 4
    assert all(one.path.exists() for one in drawn)
