"""A few frames to train on, drawn once."""

from __future__ import annotations

import pytest

from stableanimator.synthetic.networks.training_frames import FrameSet, TrainingFrames, draw_frames

WANTED = FrameSet(name="few", clips=100, frames_per_clip=2, kinds=("talk", "pair"), seed=7, clips_per_identity=10)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> TrainingFrames:
    folder = tmp_path_factory.mktemp("frames")
    draw_frames(folder, WANTED, workers=2)
    return TrainingFrames(folder, WANTED)
