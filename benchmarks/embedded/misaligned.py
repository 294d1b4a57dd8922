"""Drives that were turned, scaled and shifted: what each alignment gives back, judged against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.embedded.judge import Judge, Scores, scores_of
from benchmarks.embedded.own_frame import KINDS
from benchmarks.embedded.people import in_one_shot
from benchmarks.harness import Figure
from pipelines.progress import track
from stableanimator.alignment.settings import AlignmentName, MisalignmentSettings
from stableanimator.alignment.similarity import Similarity
from stableanimator.alignment.training_data.misalignment import random_misalignment
from stableanimator.animate import Models, aligned, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.metrics.intervals import Interval, bootstrap

FRAMES = 8
METHODS: tuple[AlignmentName, ...] = ("learned", "none", "svd", "svd_no_arms")
_KINDS = [kind for kinds in zip(*KINDS.values(), strict=True) for kind in kinds]


def measure(models: Models, settings: AnimateSettings, judge: Judge, clips: int, seed: int) -> list[Figure]:
    """Figures of half and full bodies together; the moves are those of the benchmark sets."""
    settings = replace(settings, face_optimisation=False)
    scores: dict[str, list[Scores]] = {name: [] for name in METHODS}
    for number in track(range(clips), "animating misaligned drives", clips):
        person = in_one_shot(_KINDS[number % len(_KINDS)], seed + number, judge, FRAMES)
        if person is None:
            continue
        draw = random_misalignment(MisalignmentSettings(), torch.Generator().manual_seed(number), 1)
        driving = replace(person.driving, misalignment=Similarity(*(part[0] for part in draw)))
        true = None
        for name in METHODS:
            chosen = replace(settings, alignment=name)
            driven = aligned(person.reference, driving, chosen, models.aligner)
            frames = animate(models, person.reference, driven, chosen, seed=number).frames
            truth = driven.framing.pictures(person.truth)
            true = true or judge(truth)
            scores[name].append(scores_of(frames, truth, judge(frames), true))
    return [figure for what, values in _measured(scores).items() for figure in _figures(what, values)]


def _measured(scores: dict[str, list[Scores]]) -> dict[str, dict[str, list[float]]]:
    """By measure and method: a value for each clip; a face that is not found has no likeness."""
    return {
        "joints within 10 %": {name: [each.motion.pck_10 or 0.0 for each in of] for name, of in scores.items()},
        "held-out cosine": {name: [each.identity or 0.0 for each in of] for name, of in scores.items()},
        "SSIM": {name: [each.ssim for each in of] for name, of in scores.items()},
    }


def _figures(what: str, values: dict[str, list[float]]) -> list[Figure]:
    intervals = {name: _interval(each) for name, each in values.items()}
    learned, none = intervals["learned"], intervals["none"]
    note = "; ".join(f"{name} {each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for name, each in intervals.items())
    return [
        Figure(f"misaligned: {what}, learned less none", learned.value - none.value, 0.0, "higher", note=note),
        Figure(f"misaligned: {what}, gap of their intervals", learned.low - none.high, 0.0, "higher"),
    ]


def _interval(values: Sequence[float]) -> Interval:
    return bootstrap(lambda mean: mean, np.array(values))
