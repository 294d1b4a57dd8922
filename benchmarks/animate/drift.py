"""Errors along a drive of ten thousand frames: what is fused in latents at every step has nothing that adds up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.animate.seen import ERRORS, Errors, errors_along, errors_of, mean_error
from benchmarks.animate.world import Loop, bench, loops, mixing
from benchmarks.harness import Figure
from stableanimator.animate import Models, sampled

log = logging.getLogger(__name__)

STRETCH = 100
"""Frames of each point of the plot."""
SHORT = 64
"""Frames of the clip that the long one is held against; its last period is judged."""
_BAR = 1.05


def figures(frames: int, seed: int, mixed: bool, plot: Path | None) -> list[Figure]:
    """Of one person; `mixed` has layers over time at random."""
    (loop,) = loops(1, seed)
    models = mixing(bench().models) if mixed else bench().models
    short, long = (_errors(models, loop, count) for count in (SHORT, frames))
    if plot is not None:
        draw(long, short, plot)
    what = f"{frames} frames, layers over time at random" if mixed else f"{frames} frames"
    found = []
    for name in ERRORS:
        tenth = max(len(long) // 10, 1)
        first, last = mean_error(long[:tenth], name), mean_error(long[-tenth:], name)
        whole, alone = mean_error(long, name), mean_error(short, name)
        note = f"first tenth {first:.4g}, last tenth {last:.4g}"
        found += [
            Figure(f"{what}: {name} error, last tenth over first", last / first, _BAR, "lower", note=note),
            Figure(
                f"{what}: {name} error over that of {SHORT} frames", whole / alone, _BAR, "lower",
                note=f"{whole:.4g} over {alone:.4g}",
            ),
        ]  # fmt: skip
    return found


def _errors(models: Models, loop: Loop, frames: int) -> list[Errors]:
    """Of each stretch of a long clip, or of a short one."""
    clip = sampled(models, loop.person.reference, loop.driven(frames), bench().settings, seed=0, progress=_told(frames))
    if frames == SHORT:
        pictures = np.stack(list(clip.frames()))[-loop.period :]
        return [errors_of(pictures, loop, loop.moments(frames)[-loop.period :].tolist())]
    return errors_along(clip.frames(), loop, frames, STRETCH)


def _told(frames: int) -> Callable[[Iterator[int]], Iterator[int]]:
    def progress(steps: Iterator[int]) -> Iterator[int]:
        for step in steps:
            log.warning("%d frames: denoising step %d", frames, step)
            yield step

    return progress


def draw(long: Sequence[Errors], short: Sequence[Errors], path: Path) -> None:
    """Each error along the clip, and that of the short one as a line."""
    figure, axes = plt.subplots(len(ERRORS), 1, figsize=(8, 6), sharex=True)
    for axis, name in zip(axes, ERRORS, strict=True):
        along = [getattr(each, name) for each in long]
        axis.plot(STRETCH * np.arange(len(long)), along, label=f"each {STRETCH} frames")
        axis.axhline(mean_error(short, name), color="grey", linestyle="--", label=f"a clip of {SHORT}")
        axis.set_ylabel(f"{name} error")
        axis.set_ylim(0, 1.3 * np.nanmax(along))
    axes[0].legend()
    axes[-1].set_xlabel("frame")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
