"""What windows leave in a clip: changes at their borders, sharpness and joints, beside single windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.animate.seen import sharpness, steps
from benchmarks.animate.world import Loop, bench, loops, mixing
from benchmarks.embedded.judge import Pictures
from benchmarks.harness import Figure
from pipelines.progress import track
from stableanimator.animate import Models, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.long_video import windows
from stableanimator.metrics.pose import pose_agreement

FRAMES = 128
_SEAM, _SAME, _FIRST = 1.1, 0.02, 1.1


@dataclass(frozen=True)
class Made:
    """One person's clip as it is made, and as windows that are animated alone and put side by side."""

    fused: Pictures
    alone: Pictures
    loop: Loop


def figures(people: int, seed: int) -> list[Figure]:
    """Of the base model, and of it with layers over time at random; and of other windows."""
    chosen, settings = loops(people, seed), bench().settings
    found = []
    for name, models in {"base model": bench().models, "layers over time at random": mixing(bench().models)}.items():
        made = [
            _made(models, loop, settings, number)
            for number, loop in track(enumerate(chosen), f"animating {FRAMES} frames, {name}", len(chosen))
        ]
        found += _figures(name, made, settings)
    return found


def _made(models: Models, loop: Loop, settings: AnimateSettings, seed: int) -> Made:
    driven, reference = loop.driven(FRAMES), loop.person.reference
    fused = animate(models, reference, driven, settings, seed).frames
    alone = [
        animate(models, reference, replace(driven, poses=driven.poses[span]), settings, seed).frames
        for span in windows(FRAMES, settings.window, 0)
    ]
    return Made(fused, np.concatenate(alone), loop)


def _figures(name: str, made: Sequence[Made], settings: AnimateSettings) -> list[Figure]:
    at = _borders(settings)
    fused, alone, true = (
        np.array([steps(pictures) for pictures in which])
        for which in (
            [each.fused for each in made],
            [each.alone for each in made],
            [each.loop.truth[each.loop.moments(FRAMES)] for each in made],
        )
    )
    seam, own = _ratio(fused / true.mean(), at), _ratio(true / true.mean(), at)
    side_by_side = _ratio(alone, borders_of(settings, 0, 0))
    sharp = [float(np.mean([sharpness(getattr(each, which)) for each in made])) for which in ("fused", "alone")]
    joints = [_pck([getattr(each, which) for each in made], made) for which in ("fused", "alone")]
    first = np.mean([_off(each)[0] for each in made]) / np.mean([_off(each)[1:] for each in made])
    note = f"the truth's {own:.3f}; windows side by side {side_by_side:.3f}; {len(made)} people"
    return [
        Figure(f"{name}: frame difference at borders over elsewhere, {FRAMES} frames", seam, _SEAM, "lower", note=note),
        Figure(
            f"{name}: sharpness less that of single windows, as a share", abs(sharp[0] / sharp[1] - 1), _SAME, "lower",
            note=f"{sharp[0]:.1f} and {sharp[1]:.1f} grey levels^2",
        ),
        Figure(
            f"{name}: joints within 5 % less those of single windows, as a share", abs(joints[0] / joints[1] - 1),
            _SAME, "lower", note=f"{joints[0]:.4f} and {joints[1]:.4f}",
        ),
        Figure(f"{name}: first frame's distance from its truth over the others'", float(first), _FIRST, "lower"),
    ]  # fmt: skip


def _borders(settings: AnimateSettings) -> npt.NDArray[np.bool_]:
    """[F - 1] steps into or out of a window of the last evaluation, which decides the finest."""
    return borders_of(settings, settings.overlap, settings.window_offset * (settings.sampler.steps - 1))


def borders_of(settings: AnimateSettings, overlap: int, offset: int) -> npt.NDArray[np.bool_]:
    """[F - 1] steps at which a window begins or ends."""
    spans, at = windows(FRAMES, settings.window, overlap, offset), np.zeros(FRAMES - 1, np.bool_)
    at[[span.start - 1 for span in spans[1:]]] = True
    at[[span.stop - 1 for span in spans[:-1]]] = True
    return at


def _ratio(changes: npt.NDArray[np.float64], at: npt.NDArray[np.bool_]) -> float:
    """Of changes [P, F - 1]: their mean at borders over that elsewhere."""
    return float(changes[:, at].mean() / changes[:, ~at].mean())


def _off(made: Made) -> npt.NDArray[np.float64]:
    """[F] mean difference from the truth, grey levels."""
    truth = made.loop.truth[made.loop.moments(FRAMES)].astype(np.float64)
    return np.asarray(np.abs(made.fused - truth).mean((1, 2, 3)))


def _pck(clips: Sequence[Pictures], made: Sequence[Made]) -> float:
    """Share of the true joints found within 5 % of the stature, of all people."""
    judge, found, joints = bench().judge, 0.0, 0
    for frames, each in zip(clips, made, strict=True):
        true = [each.loop.seen.poses[moment] for moment in each.loop.moments(FRAMES)]
        agreement = pose_agreement(judge(frames).poses, true)
        found += (agreement.pck_05 or 0.0) * agreement.joints
        joints += agreement.joints
    return found / joints
