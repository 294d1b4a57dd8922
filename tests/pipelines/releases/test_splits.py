from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.releases.settings import SelectSettings
from pipelines.releases.splits import draw_splits, groups_of


def _alone(count: int) -> list[list[str]]:
    return [[f"video-{number:05}"] for number in range(count)]


def _share(groups: list[list[str]], settings: SelectSettings) -> float:
    videos = {video for group in groups for video in group}
    splits = draw_splits(groups, videos, {}, settings)
    return list(splits.of_video.values()).count("heldout") / len(videos)


def test_groups_hold_all_that_is_together_by_whatever_chain() -> None:
    assert groups_of("edcba", [["a", "c"], ["d"], ["e", "c"]]) == [["a", "c", "e"], ["b"], ["d"]]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.02, 20), (0.3, 300), (1.0, 1000)])
def test_the_asked_share_of_videos_is_held_out(share: float, count: int) -> None:
    assert _share(_alone(1000), SelectSettings(heldout_share=share)) == count / 1000


@given(st.integers(0, 1000), st.sampled_from([0.05, 0.1, 0.3]))
def test_also_with_few_large_groups(seed: int, share: float) -> None:
    """60 people in 200 videos, some in one and some in twenty."""
    sizes = np.random.default_rng(seed).geometric(0.3, 60)
    groups = [[f"{number:03}-{video}" for video in range(size)] for number, size in enumerate(sizes)]
    assert _share(groups, SelectSettings(heldout_share=share, seed=seed)) == pytest.approx(share, abs=0.05)


def test_the_draw_hangs_on_videos_and_seed_alone() -> None:
    groups = _alone(100)
    settings = SelectSettings(heldout_share=0.2)
    videos = {group[0] for group in groups}
    one = draw_splits(groups, videos, {}, settings)
    assert draw_splits(groups[::-1], videos, {}, settings).of_video == one.of_video
    other = draw_splits(groups, videos, {}, SelectSettings(heldout_share=0.2, seed=1))
    assert other.of_video != one.of_video


def test_what_was_said_stays_and_new_groups_fill_the_share() -> None:
    settings = SelectSettings(heldout_share=0.5)
    earlier = {"video-00000": "train", "video-00001": "train", "video-00002": "heldout"}
    splits = draw_splits(_alone(8), {group[0] for group in _alone(8)}, earlier, settings)
    assert {video: splits.of_video[video] for video in earlier} == earlier
    assert list(splits.of_video.values()).count("heldout") == 4
    assert splits.moved == []


def test_who_is_joined_across_the_split_trains_and_is_named() -> None:
    groups = [["a", "b", "new"], ["c"]]
    earlier = {"a": "train", "b": "heldout", "c": "heldout"}
    splits = draw_splits(groups, {"a", "b", "c", "new"}, earlier, SelectSettings(heldout_share=0.5))
    assert splits.of_video == {"a": "train", "b": "train", "new": "train", "c": "heldout"}
    assert splits.moved == ["b"]


def test_videos_without_a_clip_go_with_their_group_and_count_for_nothing() -> None:
    groups = [["a", "copy"], ["b"], ["c"]]
    splits = draw_splits(groups, {"a", "b", "c"}, {"copy": "heldout"}, SelectSettings(heldout_share=1 / 3))
    assert splits.of_video == {"a": "heldout", "copy": "heldout", "b": "train", "c": "train"}
