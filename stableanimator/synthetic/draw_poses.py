"""Poses of drawn people, for the aligner to learn from beside procedural skeletons.

    python -m stableanimator.synthetic.draw_poses --count 1200 --out /tmp/poses/drawn

writes `/tmp/poses/drawn.f32` and `.json` (`stableanimator.alignment.training_data.pose_clips`), which the setting
`align.more_poses` names. The poses are the true ones with a detector's error: joints that the picture cuts off or that
lie on the far side of the head are missing, others are off by a little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from stableanimator.alignment.poses import body_pose
from stableanimator.alignment.training_data.pose_clips import Poses, write_pose_clips
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import Clip, ClipSettings
from stableanimator.synthetic.truth import OUTSIDE, SEEN

KINDS = ("dance", "talk", "gesture", "walk", "wave", "spin", "turn_away", "away", "shake", "pan")
"""Kinds of clips that show one person."""

_SIZES = ((72, 128), (96, 128), (128, 128), (128, 96), (128, 72))  # width, height in pixels
_HEAD = slice(0, 5)  # nose, eyes, ears: what is on the far side of a head no detector reports
_NOISE = 0.006
"""Standard deviation of the detector's error in heights of the person's box, as `ProceduralSettings.noise`."""


def clip_script(number: int, seed: int) -> Clip:
    """The script of a clip: kind and picture size go round, everything else follows from seed and number."""
    width, height = _SIZES[number // len(KINDS) % len(_SIZES)]
    settings = ClipSettings(width=width, height=height, fps=4.0, min_seconds=6.0, max_seconds=12.0, supersample=1)
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return write_clip(KINDS[number % len(KINDS)], own, settings)


def detected_poses(seed: int, number: int) -> tuple[str, Poses]:
    """Name and poses [F, 18, 3] in image heights of the main person of a clip, as a detector would report them."""
    clip = clip_script(number, seed)
    _, truth = draw_clip(clip)
    generator = np.random.default_rng([seed, number, 1])
    points, visibility = truth.keypoints[:, 0].astype(np.float32), truth.visibility[:, 0]
    reported = visibility != OUTSIDE
    reported[:, _HEAD] &= visibility[:, _HEAD] == SEEN
    scores = np.where(reported, generator.uniform(0.45, 0.95, reported.shape), 0)
    height = int(truth.size[0])
    level = _NOISE * np.minimum(truth.statures[:, 0], height)[:, None, None]
    noisy = points + level * generator.standard_normal(points.shape)
    keypoints = np.concatenate([noisy, scores[..., None]], -1).astype(np.float32)
    return f"{clip.kind}-{number}", body_pose(keypoints, height)


def draw_poses(count: int, seed: int, workers: int) -> Iterator[tuple[str, Poses]]:
    """Clips in the order of their numbers, the same on any number of processes."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(partial(detected_poses, seed), range(count), chunksize=4)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files. Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m stableanimator.synthetic.draw_poses", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="STEM", help="of the two files")
    parser.add_argument("--count", type=int, default=1200, help="clips (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same poses (default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.count < 1 or arguments.workers < 1:
        parser.error("--count and --workers must be at least 1")
    write_pose_clips(arguments.out, draw_poses(arguments.count, arguments.seed, arguments.workers))
    print(f"{arguments.count} clips in {arguments.out}.f32 and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
