"""Each clip drives its own first frame, which is not among the scored ones: is the motion there, is it the same person,
how far from the truth; beside repeating the reference, which a bar must exceed to mean anything, and beside the truth
through the VAE, which nothing can exceed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.embedded.judge import Judge, Pictures, Scores, pooled, scores_of
from benchmarks.embedded.people import in_one_shot
from benchmarks.harness import Figure
from pipelines.progress import track
from stableanimator.animate import Models, aligned, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.media.tensors import to_pictures, to_tensor

KINDS = {"half body": ("gesture", "wave"), "full body": ("dance", "walk")}


@dataclass(frozen=True)
class Case:
    """One clip that drives its own first frame."""

    framing: str
    truth: Pictures
    result: Pictures
    repeat: Pictures
    ceiling: Pictures
    skeletons: Pictures


def make_case(
    number: int, framing: str, models: Models, settings: AnimateSettings, judge: Judge, seed: int
) -> Case | None:
    """None where the first frame shows no face or nobody."""
    kinds = KINDS[framing]
    person = in_one_shot(kinds[number % len(kinds)], seed + number, judge)
    if person is None:
        return None
    driven = aligned(person.reference, person.driving, settings)
    animation = animate(models, person.reference, driven, settings, seed=number)
    truth = driven.framing.pictures(person.truth)
    with torch.no_grad():
        ceiling = to_pictures(models.encoders.decode(models.encoders.encode(to_tensor(truth))))
    repeat = np.repeat(driven.framing.pictures(person.reference.picture[None]), len(truth), axis=0)
    return Case(framing, truth, animation.frames, repeat, ceiling, animation.skeletons)


def figures_of(framing: str, result: list[Scores], repeat: list[Scores], ceiling: list[Scores]) -> list[Figure]:
    """Of one framing."""
    name, bar = "pck_moved_05" if framing == "half body" else "pck_10", 0.8
    what = "moved joints within 5 %" if framing == "half body" else "joints within 10 %"
    ours, theirs, top = (pooled(scores, name) for scores in (result, repeat, ceiling))
    gain = np.array([a.psnr_person - b.psnr_person for a, b in zip(result, repeat, strict=True)])
    found, most = (float(np.nanmean([each.found for each in scores])) for scores in (result, ceiling))
    likeness = [
        float(np.mean([each.identity for each in scores if each.identity is not None]))
        for scores in (result, repeat, ceiling)
    ]
    moving = float(np.mean([each.background for each in result]))
    note = f"result {ours:.3f}, repeat {theirs:.3f}, ceiling {top:.3f}; {len(result)} people"
    against = f"repeat {likeness[1]:.3f}, ceiling {likeness[2]:.3f}"
    spread = float(1.96 * gain.std() / len(gain) ** 0.5)
    twice = 2.0 if framing == "half body" else None
    return [
        Figure(f"{framing}: {what}, over the ceiling's", _over(ours, top), bar, "higher", note=note),
        Figure(f"{framing}: {what}, over the repeat's", _over(ours, theirs), twice, "higher"),
        Figure(
            f"{framing}: faces found over the ceiling's", found / most, 0.8, "higher", note=f"{found:.3f}, {most:.3f}"
        ),
        Figure(
            f"{framing}: PSNR in the person's box over the repeat's", float(gain.mean()), 2.0, "higher", "dB", spread
        ),
        Figure(f"{framing}: held-out cosine to the truth", likeness[0], None, "higher", note=against),
        Figure(f"{framing}: change of the background", moving, 2.0, "lower", "grey levels"),
    ]


def _over(value: float, other: float) -> float:
    """Their ratio; infinite over nothing: a repeated reference has no joint that moved."""
    return value / other if other > 0 else np.inf if value > 0 else np.nan


def measure(
    models: Models, settings: AnimateSettings, judge: Judge, clips: int, seed: int
) -> tuple[list[Figure], list[Case]]:
    """Figures of both framings, and the cases for a sheet."""
    settings = replace(settings, alignment="none")  # each clip drives itself
    cases: list[Case] = []
    figures: list[Figure] = []
    for framing in KINDS:
        scores: list[list[Scores]] = [[], [], []]
        for number in track(range(clips), f"animating {framing}", clips):
            case = make_case(number, framing, models, settings, judge, seed)
            if case is None:
                continue
            cases.append(case)
            true = judge(case.truth)
            for listed, frames in zip(scores, (case.result, case.repeat, case.ceiling), strict=True):
                listed.append(scores_of(frames, case.truth, judge(frames), true))
        figures += figures_of(framing, *scores)
    return figures, cases


def sheet(cases: Sequence[Case], shown: int = 6) -> Pictures:
    """Reference, then truth, result and skeletons below each other, of the first cases of each framing."""
    rows = []
    for framing in KINDS:
        for case in [case for case in cases if case.framing == framing][:shown]:
            places = np.linspace(0, len(case.truth) - 1, 6).astype(int)
            rows.append(np.hstack([case.repeat[0], *case.truth[places]]))
            rows.append(np.hstack([case.repeat[0], *case.result[places]]))
            rows.append(np.hstack([np.zeros_like(case.truth[0]), *case.skeletons[places]]))
    return np.vstack(rows)
