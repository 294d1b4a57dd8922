"""Seconds of the picture metrics over those of a loop that computes them frame by frame as DisCo's script does."""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.drawn.clips import FIRST_SEED
from benchmarks.evaluate.restated import disco_script
from benchmarks.harness import Figure, interleave, ratio
from stableanimator.metrics.protocol import PROTOCOLS
from stableanimator.metrics.scoring import picture_metrics
from stableanimator.metrics.seen import Judges, Seen
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

Frames = npt.NDArray[np.uint8]

_FRAMES, _REPEATS = 24, 7
_SETTINGS = ClipSettings(width=576, height=1024, supersample=1)
_TRUTH = (720, 404)
"""Height and width of the true frames, so that both sides are resized."""
BLIND = Judges(faces=lambda frame: [], held_out=None, people=lambda frame: np.zeros((0, 133, 3), np.float32))
"""Judges who find nobody, for metrics that need none."""


def figures(arguments: argparse.Namespace) -> list[Figure]:
    """One thread each; what differs in value is told too."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    generated, truth = _pairs(arguments.seed)

    def ours() -> dict[str, float]:
        rows = [picture_metrics("disco", Seen(a, BLIND), Seen(b, BLIND)) for a, b in zip(generated, truth, strict=True)]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def theirs() -> dict[str, float]:
        return disco_script(generated, truth, PROTOCOLS["disco"].size)

    times = interleave({"ours": ours, "theirs": theirs}, _REPEATS, time.process_time)
    value, spread = ratio(times["ours"], times["theirs"])
    wanted = theirs()
    apart = max(abs(value - wanted[name]) / abs(wanted[name]) for name, value in ours().items())
    cv2.setNumThreads(threads[0])
    torch.set_num_threads(threads[1])
    note = f"{_FRAMES} frames, 576x1024 and 404x720 to 256x256, one thread each, {_REPEATS} rounds, processor time"
    return [
        Figure("image: seconds over those of a loop as DisCo's script", value, 0.2, "lower", spread=spread, note=note),
        Figure("image: relative difference of the values to the loop's", apart, 1e-5, "lower"),
    ]


def _pairs(seed: int) -> tuple[list[Frames], list[Frames]]:
    """Frames of a drawn dance, and the next ones at another size as their truth."""
    pictures = list(draw_clip(write_clip("dance", FIRST_SEED + seed, _SETTINGS), range(_FRAMES + 1))[0])
    height, width = _TRUTH
    return pictures[:-1], [np.asarray(cv2.resize(each, (width, height)), np.uint8) for each in pictures[1:]]
