"""What moves beside the face, and whether the gradient of chunks is that of one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.face_optimisation.analytic import crop
from benchmarks.face_optimisation.base_model import bench
from benchmarks.face_optimisation.people import Case
from benchmarks.harness import Figure
from pipelines.progress import track
from stableanimator.animate import Driven, Reference, aligned, animate
from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace, face_loss
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings
from stableanimator.driving import EYES_AND_NOSE, face_boxes, face_points
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.media.framing import box_mask
from stableanimator.media.tensors import to_tensor
from stableanimator.perception.skeleton import FACE

FRAMES, CHUNK = 4, 2
_HIDDEN = 1  # the frame whose face the drive does not show
_EFFECTIVE = FACE_OPTIMISATION_PRESETS["effective"]
_ROUNDING = 1e-5
_BAR = 0.1
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """Of one person: mean |change| in places and frames, each over that inside the widened face boxes."""

    outside: float
    """Of x_op outside the widened boxes."""
    outside_of_all: float
    """The same where nothing confines the change."""
    ring: float
    """Of x_op outside the boxes as they are, over inside."""
    hidden: float
    """Of x_op in the frame without a face."""
    frames_outside: float
    """Of the final frames outside the widened boxes."""
    frames_hidden: float
    """Of the final frame without a face, over that of the others."""


def figures(cases: Sequence[Case]) -> list[Figure]:
    """Of people with `FRAMES` frames each."""
    found = [_change(number, case) for number, case in track(enumerate(cases), "where it changes", len(cases))]

    def mean(name: str) -> tuple[float, float]:
        values = np.array([getattr(each, name) for each in found])
        return float(values.mean()), float(1.96 * values.std() / len(values) ** 0.5)

    rows = (
        ("x_op outside the widened face boxes over inside", "outside", _BAR, f"{len(found)} people"),
        ("x_op outside the face boxes as they are over inside", "ring", None, "the margin moves too"),
        ("x_op outside over inside, nothing confined (paper, released)", "outside_of_all", None, "face_margin: null"),
        ("x_op in frames without a face over inside", "hidden", 0.0, ""),
        ("final frames outside the widened boxes over inside", "frames_outside", None, "the U-Net answers"),
        (
            "final frames without a face over those with one", "frames_hidden", None,
            "this model's layers over time are the identity",
        ),
    )  # fmt: skip
    figures = [
        Figure(f"change of {what}", mean(name)[0], bar, "lower", spread=mean(name)[1], note=note)
        for what, name, bar, note in rows
    ]
    worst = max(_gradient_difference(case) for case in cases)
    note = f"largest difference over the largest value, {FRAMES} frames in chunks of {CHUNK}"
    return [*figures, Figure("gradient of chunks less that of one graph", worst, _ROUNDING, "lower", note=note)]


def _change(number: int, case: Case) -> Change:
    models, settings = bench().models, replace(bench().settings, hjb=_EFFECTIVE)
    reference = case.far.reference
    keypoints = case.far.driving.keypoints.copy()
    keypoints[_HIDDEN, :, FACE, 2] = 0
    keypoints[_HIDDEN, :, EYES_AND_NOSE, 2] = 0
    driven = aligned(reference, replace(case.far.driving, keypoints=keypoints), settings)
    narrow, wide = (_mask(driven, margin, models.encoders.factor) for margin in (0.0, _EFFECTIVE.face_margin))
    latents = models.encoders.encode(to_tensor(driven.framing.pictures(case.far.truth)))[None]
    moved = _moved(reference, driven, _EFFECTIVE, latents)
    everywhere = _moved(reference, driven, replace(_EFFECTIVE, face_margin=None, region="frame"), latents)
    shown = [frame for frame in range(FRAMES) if frame != _HIDDEN]
    plain, optimised = (
        animate(models, reference, driven, replace(settings, face_optimisation=on), seed=number).frames.astype(float)
        for on in (False, True)
    )
    pixels = np.abs(optimised - plain).mean(-1)
    boxes = _mask(driven, _EFFECTIVE.face_margin, 1)
    return Change(
        outside=_over(moved[shown], wide[shown]),
        outside_of_all=_over(everywhere[shown], wide[shown]),
        ring=_over(moved[shown], narrow[shown]),
        hidden=float(moved[_HIDDEN].mean() / moved[shown][wide[shown]].mean()),
        frames_outside=_over(pixels[shown], boxes[shown]),
        frames_hidden=float(pixels[_HIDDEN].mean() / pixels[shown].mean()),
    )


def _moved(
    reference: Reference, driven: Driven, settings: FaceOptimisationSettings, latents: Tensor
) -> npt.NDArray[np.float32]:
    """Mean |x_op - x_pred| [F, h, w] of one optimised step."""
    hook = face_hook(bench().models, reference, driven.poses, driven.framing.size, settings)
    x_op = hook(latents, 0, 25, 1.0)
    change: npt.NDArray[np.float32] = (x_op - latents).abs().mean(2)[0].numpy()
    return change


def _mask(driven: Driven, margin: float | None, factor: int) -> Mask:
    """[F, h, w] whether a place touches the face's box, widened as the settings say."""
    points = face_points(driven.poses[:, 0], *driven.framing.size)
    boxes = face_boxes(driven.poses[:, 0], points)
    more = (margin or 0.0) * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    wide = boxes + more * np.array([-1, -1, 1, 1], np.float32)
    size = driven.framing.size
    return np.stack([box_mask(box[None][np.isfinite(box[:1])], size, factor) for box in wide]) == 1


def _over(change: npt.NDArray[np.floating], inside: Mask) -> float:
    """Mean outside over mean inside."""
    return float(change[~inside].mean() / change[inside].mean())


def _gradient_difference(case: Case) -> float:
    """Between the hook's gradient, made chunk by chunk, and that of one graph over the same chunks: the largest
    difference over the largest value."""
    models = bench().models
    arcface, encoders = models.arcface, models.encoders
    assert arcface is not None
    driven = aligned(case.far.reference, case.far.driving, bench().settings)
    points = torch.from_numpy(face_points(driven.poses[:, 0], *driven.framing.size))
    embedding = case.far.reference.face_embedding
    assert embedding is not None
    wanted = torch.from_numpy(embedding)
    latents = encoders.encode(to_tensor(driven.framing.pictures(case.far.truth)))[None]
    face = OptimisedFace(points=points, wanted=wanted)
    hook = FaceOptimisation(replace(_EFFECTIVE, region="frame"), encoders.decode, crop, arcface, [face], CHUNK)
    _, gradient = hook.loss_and_gradient(latents)
    with torch.enable_grad():
        leaf = latents.clone().requires_grad_()
        present = torch.isfinite(points).all(-1).sum(-1) >= 2
        pictures = encoders.decode(leaf[0], CHUNK)[present]
        (whole,) = torch.autograd.grad(face_loss(arcface(crop(pictures, points[present])), wanted).mean(), leaf)
    return float((gradient - whole).abs().max() / whole.abs().max())
