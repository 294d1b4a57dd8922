from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.shots import CutClip, Score, detectors, harder_clips, scores


def _texture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(20, 235, (9, 16, 3)).astype(np.float32)
    return cv2.resize(coarse, (160, 90), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _clip() -> CutClip:
    return CutClip("real", "a", [_texture(1)] * 30 + [_texture(2) // 3] * 30, 25.0, [30])


def test_a_cut_counts_once_and_within_two_frames():
    score = Score()
    score.add("a", [10, 40], [12, 11, 43])
    assert (score.found, score.wrong, score.missed) == (1, 2, 1)
    score.add("b", [5], [5])
    assert (score.precision, score.recall) == (0.5, pytest.approx(2 / 3))
    assert score.clips_with_errors == ["a"]
    assert np.isnan(Score().precision)


def test_harder_clips_keep_their_truth():
    harder = {clip.name: clip for clip in harder_clips(_clip())}
    assert list(harder) == ["a strobe", "a full flashes", "a held", "a dim", "a fast", "a closer"]
    assert {clip.part for clip in harder.values()} == {"real, made harder"}
    fast = harder["a fast"]
    assert len(fast.frames) == 20
    assert fast.cuts == [10]
    assert not np.array_equal(fast.frames[9], fast.frames[10])
    assert harder["a closer"].cuts == [30]
    assert harder["a closer"].frames[30].shape == (90, 160, 3)


def test_every_detector_finds_a_plain_cut():
    found = detectors()
    assert {"ours", "ContentDetector", "AdaptiveDetector", "HistogramDetector", "HashDetector"} == set(found)
    for (part, name), score in scores([_clip()], found).items():
        assert part == "real"
        assert (name, score.found, score.wrong, score.missed) == (name, 1, 0, 0)
