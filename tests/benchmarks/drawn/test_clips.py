from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.drawn.clips import FIRST_SEED, draw, unseen_clips
from stableanimator.media.video import VideoReader
from stableanimator.synthetic.clips import KINDS
from stableanimator.synthetic.networks.training_frames import SEEDS
from stableanimator.synthetic.truth import Truth, truth_path


def test_clips_are_of_all_kinds_and_of_seeds_that_no_training_saw() -> None:
    clips = unseen_clips(200)
    assert min(clip.seed for clip in clips) == FIRST_SEED > SEEDS
    assert len({clip.seed for clip in clips}) == 200
    kinds = Counter(clip.kind for clip in clips)
    assert set(kinds) == set(KINDS)
    assert min(kinds[kind] for kind in ("empty", "statue", "cut_short", "roll", "zoom", "pan", "turn_away")) >= 10
    small = [clip for clip in clips if min(clip.settings.width, clip.settings.height) < 256]
    assert len(small) == 20
    fewer = unseen_clips(24)
    assert [(clip.kind, clip.seed, clip.settings, clip.shots) for clip in fewer] == [
        (clip.kind, clip.seed, clip.settings, clip.shots) for clip in clips[:24]
    ]


def test_clips_are_drawn_once(tmp_path: Path) -> None:
    clips = unseen_clips(2, ("talk", "cut_short"), seconds=(0.5, 0.6))
    paths = draw(clips, tmp_path, workers=1)
    for clip, path in zip(clips, paths, strict=True):
        with VideoReader(path) as video:
            assert video.info.frame_count == clip.frame_count == len(Truth.load(truth_path(path)).frames)
    written = {path: path.stat().st_mtime_ns for path in paths}
    assert draw(clips, tmp_path, workers=1) == paths
    assert {path: path.stat().st_mtime_ns for path in paths} == written
