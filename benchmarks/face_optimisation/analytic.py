"""A denoiser that is known in closed form: what is measured here is the algorithm, and no network's training.

Data is taken to be normal about another person's clip, with the same deviation S in every pixel:
D(x; s) = mean + S^2 / (S^2 + s^2) (x - mean). A change of x at level s is then S / sqrt(S^2 + s^2) of itself in the end
(the probability flow dx/ds = (x - D) / s solved: x - mean grows as sqrt(S^2 + s^2)). Latents are the pixels themselves,
folded, so decoding loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.embedded.judge import Pictures
from benchmarks.embedded.people import SIDE, Person
from benchmarks.face_optimisation.base_model import bench, same_person
from benchmarks.face_optimisation.gains import PLAIN, gain_figures
from benchmarks.face_optimisation.people import Case, Seen, seen_in
from benchmarks.harness import Figure
from benchmarks.processes import spread
from stableanimator.animate import Reference
from stableanimator.diffusion.hjb import Decode, FaceOptimisation, OptimisedFace
from stableanimator.diffusion.sampler import karras_sigmas, sample
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings, SamplerSettings
from stableanimator.driving import Array, face_boxes, face_points
from stableanimator.media.framing import box_mask
from stableanimator.media.tensors import to_pictures, to_tensor
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops

FACTOR = 8
"""Pixels of a latent, along one side, as Stable Video Diffusion's VAE has them."""
DEVIATION = 0.3
"""S, where white less black is 2."""
_BARS = {"effective": (0.12, None)}
_MEASURES = ("held_out", "optimised")  # without face optimisation the clip itself comes: nothing is nearer to it


@dataclass(frozen=True)
class Gaussian:
    """`denoise(x, sigma)` of data that is normal about `mean`."""

    mean: Tensor
    """Of the latents' shape."""
    deviation: float
    """S, of every value."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        kept = self.deviation**2 / (self.deviation**2 + sigma**2)
        return self.mean + kept * (x - self.mean)


def remaining(deviation: float, sigma: float) -> float:
    """How much of a change of x at level sigma is left at level 0."""
    return deviation / math.hypot(deviation, sigma)


def to_latents(pictures: Tensor) -> Tensor:
    """Pictures [n, 3, H, W] -> [n, 3 * FACTOR^2, H / FACTOR, W / FACTOR], the same values."""
    return functional.pixel_unshuffle(pictures, FACTOR)


def from_latents(latents: Tensor, _: int = 0) -> Tensor:
    """Back; chunks make no difference."""
    return functional.pixel_shuffle(latents, FACTOR)


def crop(pictures: Tensor, points: Tensor) -> Tensor:
    """Faces [n, 3, 112, 112], cut by five points as `animate` cuts them."""
    return align_crops(pictures, points, torch.from_numpy(TEMPLATE))


def hook_on(
    settings: FaceOptimisationSettings, decode: Decode, arcface: ArcFace, wanted: Tensor, poses: Array, factor: int
) -> FaceOptimisation:
    """Face optimisation of square pictures of `SIDE` pixels towards one embedding [E], where all five points show.

    Args:
        poses: [F, 133, 3] in their pixels.
        factor: pixels of a latent.
    """
    points = face_points(poses, SIDE, SIDE)
    points[~np.isfinite(points).all((1, 2))] = np.nan
    mask = None
    if settings.face_margin is not None:
        boxes = face_boxes(poses, points)
        margin = settings.face_margin * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        wide = boxes + margin * np.array([-1, -1, 1, 1], np.float32)
        masks = [box_mask(box[None][np.isfinite(box[:1])], (SIDE, SIDE), factor) for box in wide]
        mask = torch.from_numpy(np.stack(masks))
    face = OptimisedFace(points=torch.from_numpy(points), wanted=wanted, mask=mask)
    whole = replace(settings, region="frame")  # a pixel depends on no other, so a window would change nothing
    return FaceOptimisation(whole, decode, crop, arcface, [face], len(poses))


def wanted_of(reference: Reference, arcface: ArcFace) -> Tensor | None:
    """The embedding [E] of the face that its skeleton points at; None where that shows less than five points."""
    points = face_points(reference.keypoints[:1], *reference.picture.shape[:2])
    if not np.isfinite(points).all():
        return None
    with torch.no_grad():
        return arcface(crop(to_tensor(reference.picture[None]), torch.from_numpy(points)))[0]


@dataclass(frozen=True)
class Task:
    """Whose face is wanted in whose clip, by which settings."""

    wanted: Person
    clip: Person
    names: tuple[str, ...]


def results_of(task: Task) -> dict[str, Seen] | None:
    """What is seen by preset, against the reference of who is wanted; None where that shows no five points."""
    arcface, judge = bench().models.arcface, bench().judge
    assert arcface is not None
    wanted = wanted_of(task.wanted.reference, arcface)
    if wanted is None:
        return None
    mean = to_latents(to_tensor(task.clip.truth))[None]
    poses, true = task.clip.driving.keypoints[:, 0], judge(task.clip.truth)
    who = judge(task.wanted.reference.picture[None], poses=False)
    results = {}
    for name in (PLAIN, *task.names):
        preset = FACE_OPTIMISATION_PRESETS.get(name)
        hook = preset and hook_on(preset, from_latents, arcface, wanted, poses, FACTOR)
        results[name] = seen_in(_sampled(mean, hook or None), task.clip.truth, judge, true, who)
    return results


def _sampled(mean: Tensor, hook: FaceOptimisation | None) -> Pictures:
    """From the most likely start, so that without a hook the clip itself is what comes."""
    sampler = SamplerSettings()
    sigmas = karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
    latents = sample(
        Gaussian(mean, DEVIATION),
        mean,
        sigmas,
        sampler,
        hook=hook,
        correction=hook.settings.correction if hook else "plain",
    )
    return to_pictures(from_latents(latents[0]))


def figures(cases: Sequence[Case], workers: int) -> list[Figure]:
    """Gains towards the next person's face, and what becomes of a face that is right already."""
    strangers = [*cases[1:], *cases[:1]]
    tasks = [
        Task(case.near, stranger.near, tuple(FACE_OPTIMISATION_PRESETS))
        for case, stranger in zip(cases, strangers, strict=True)
    ]
    tasks += [Task(case.near, case.near, ("effective",)) for case in cases]
    results = list(spread(results_of, tasks, "sampling around a clip", workers))
    others = [result for result in results[: len(cases)] if result is not None]
    same = [result for result in results[len(cases) :] if result is not None]
    return [
        *gain_figures("analytic denoiser", others, list(FACE_OPTIMISATION_PRESETS), _BARS, _MEASURES),
        same_person("analytic denoiser", same),
    ]
