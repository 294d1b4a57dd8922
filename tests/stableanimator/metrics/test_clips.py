"""Features that say which frames they are of: a frame's grey level is its number, a clip's features are of these."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.errors import RowError
from stableanimator.metrics.clips import ClipFeatures
from stableanimator.metrics.networks.loading import FeatureNetwork, Networks
from stableanimator.metrics.protocol import PROTOCOLS
from stableanimator.metrics.scoring import set_metrics
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.metrics.settings import ProtocolName

JUDGES = Judges(faces=lambda frame: [], held_out=None, people=lambda frame: np.zeros((0, 133, 3), np.float32))


def _level(frame: np.ndarray) -> Tensor:
    return torch.full((3, 1, 1), float(frame.mean()))


def _ends(clips: Tensor) -> Tensor:
    """First and last frame, mean, and how many there are."""
    levels = clips[:, 0, :, 0, 0]
    lengths = torch.full((len(clips),), float(levels.shape[1]))
    return torch.stack([levels[:, 0], levels[:, -1], levels.mean(1), lengths], 1)


NETWORKS = Networks(
    features=(
        FeatureNetwork(kind="fvd", column="fvd_own", prepare=_level, network=_ends),
        FeatureNetwork(kind="fid_vid", column="fid_vid", prepare=_level, network=_ends),
        FeatureNetwork(kind="fid", column="fid", prepare=_level, network=lambda frames: frames[:, :2, 0, 0]),
    )
)


def _features(frames: int, *protocols: ProtocolName) -> dict[str, np.ndarray]:
    clips = ClipFeatures(NETWORKS, protocols)
    for number in range(frames):
        clips.add(Seen(np.full((20, 30, 3), number % 256, np.uint8), JUDGES))
    return clips.finish()


def test_disco_takes_every_16_frames_in_a_row() -> None:
    found = _features(20, "disco")
    assert set(found) == {"disco/fvd_own", "disco/fid_vid", "disco/fid"}
    for column in ("fvd_own", "fid_vid"):
        assert found[f"disco/{column}"].tolist() == [[n, n + 15, n + 7.5, 16] for n in range(5)]
    assert found["disco/fid"][:, 0].tolist() == list(range(20))


def test_standard_takes_clips_that_share_no_frame_and_drops_the_rest() -> None:
    assert _features(47, "standard")["standard/fvd_own"].tolist() == [[0, 15, 7.5, 16], [16, 31, 23.5, 16]]
    assert _features(15, "standard")["standard/fvd_own"].shape == (0, 0)
    assert len(_features(15, "standard")["standard/fid"]) == 15


def test_one_to_all_takes_whole_videos_and_repeats_the_last_frame() -> None:
    found = _features(35, "one_to_all")
    assert found["one_to_all/fvd_own"].tolist() == [[0, 34, 17, 35]]
    # Clips from 0, from 16, and of 32, 33, 34 with the last one thirteen times more.
    tail = (32 + 33 + 34 * 14) / 16
    wanted = [(0 + 16 + 32) / 3, (15 + 31 + 34) / 3, (7.5 + 23.5 + tail) / 3, 16]
    assert found["one_to_all/fid_vid"][0].tolist() == pytest.approx(wanted)
    assert _features(3, "one_to_all")["one_to_all/fid_vid"].tolist() == [[0, 2, (0 + 1 + 2 * 14) / 16, 16]]


def test_a_long_video_is_looked_at_in_parts_weighed_by_their_frames() -> None:
    (feature,) = _features(250 + 256, "one_to_all")["one_to_all/fvd_own"]
    levels = [number % 256 for number in range(506)]
    assert feature[2] == pytest.approx(np.mean(levels), rel=1e-5)


def test_all_protocols_come_from_one_pass() -> None:
    together = _features(33, *PROTOCOLS)
    for name in PROTOCOLS:
        for column, features in _features(33, name).items():
            np.testing.assert_array_equal(together[column], features)


def test_no_more_frames_wait_than_a_clip_and_a_batch_take() -> None:
    clips, most = ClipFeatures(NETWORKS, ["disco", "standard"]), 0
    for number in range(400):
        clips.add(Seen(np.full((4, 4, 3), number % 256, np.uint8), JUDGES))
        waiting = [len(stream._frames) + len(stream._waiting) for stream in clips._streams.values()]
        most = max(most, *waiting)
    assert most <= 16 + NETWORKS.batch * 4


def test_distances_of_a_set_are_over_all_videos_but_for_fid_by_clip() -> None:
    def video(*levels: float) -> dict[str, np.ndarray]:
        rows = np.array(levels, np.float32)[:, None]
        return {f"{name}/{column}": rows for name in ("disco", "one_to_all") for column in ("fid", "fvd_own")}

    results, truths = [video(0, 2), video(10, 12)], [video(1, 3), video(12, 14)]
    found = set_metrics(results, truths)
    # By clip: equal spreads, 1 and 2 apart. All together: means 6 and 7.5, and spreads of four numbers each.
    assert found["one_to_all/fid"] == pytest.approx((1 + 4) / 2)
    spreads = [np.std(values, ddof=1) for values in ([0, 2, 10, 12], [1, 3, 12, 14])]
    wanted = 1.5**2 + (spreads[0] - spreads[1]) ** 2
    for column in ("disco/fid", "disco/fvd_own", "one_to_all/fvd_own"):
        assert found[column] == pytest.approx(wanted)


def test_videos_without_truth_or_too_few_features_are_left_out() -> None:
    one, three = {"disco/fvd": np.zeros((1, 2))}, {"disco/fvd": np.eye(3, 2)}
    assert set_metrics([one], [one]) == {}
    assert set_metrics([three, one], [three, {}]) == {"disco/fvd": pytest.approx(0, abs=1e-12)}
    assert set_metrics([], []) == {}
    with pytest.raises(ValueError, match="shorter"):
        set_metrics([one, one], [one])


def test_features_that_are_no_numbers_are_refused() -> None:
    def damaged(frames: Tensor) -> Tensor:
        return frames[:, :2, 0, 0] / 0

    networks = Networks(features=(FeatureNetwork(kind="fid", column="fid", prepare=_level, network=damaged),))
    clips = ClipFeatures(networks, ["standard"])
    clips.add(Seen(np.full((20, 30, 3), 7, np.uint8), JUDGES))
    with pytest.raises(RowError, match="not_finite: features of standard/fid are NaN or infinite"):
        clips.finish()
