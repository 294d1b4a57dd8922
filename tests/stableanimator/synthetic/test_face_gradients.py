"""Which way a face shall move, by cheaper decoders than the whole frame's; the package's networks, drawn people."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stableanimator.diffusion.hjb import FaceOptimisation, OptimisedFace
from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.media.tensors import to_tensor
from stableanimator.models.encoders import Encoders
from stableanimator.models.group_norm_statistics import GroupNormStatistics
from stableanimator.models.settings import EncoderSettings
from stableanimator.perception.arcface import TEMPLATE, ArcFace, align_crops, crop_boxes
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import draw_clip
from stableanimator.synthetic.script import ClipSettings

pytestmark = pytest.mark.numeric

WEIGHTS = "package://stableanimator.synthetic/weights"
HEIGHT, WIDTH, FACE = 288, 512, 40  # 72x128 latents, the face 10x10
X, Y = 256.0, 120.0


def _picture(seed: int) -> Tensor:
    """[1, 3, H, W] of somebody whose face is 40 pixels large and lies around (X, Y)."""
    frames, truth = draw_clip(write_clip("talk", seed, ClipSettings()), [0])
    left, top, right, bottom = truth.face_boxes[0, 0].tolist()
    scale = FACE / max(right - left, bottom - top)
    place = np.array([[scale, 0, X - scale * (left + right) / 2], [0, scale, Y - scale * (top + bottom) / 2]])
    return to_tensor(cv2.warpAffine(frames[0], place, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)[None])


def _crop(pictures: Tensor, points: Tensor) -> Tensor:
    return align_crops(pictures, points, torch.from_numpy(TEMPLATE))


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    return Encoders(EncoderSettings(svd=f"{WEIGHTS}/base", tiny_decoder=f"{WEIGHTS}/base/tiny_decoder"))


@pytest.fixture(scope="module")
def arcface() -> ArcFace:
    return ArcFace.from_onnx(f"{WEIGHTS}/insightface/models/drawn/recogniser.onnx")


def _cosine(encoders: Encoders, arcface: ArcFace, seed: int, **settings: Any) -> float:
    """Of the gradient inside the face with that of whole frames by the VAE, towards another person."""
    box = torch.tensor([[X - FACE / 2, Y - FACE / 2, X + FACE / 2, Y + FACE / 2]])
    points = ((torch.from_numpy(TEMPLATE) - 56) * FACE / 70 + torch.tensor([X, Y])).float()[None]
    seen = torch.stack([crop_boxes(points), box])
    boxes = torch.cat([seen[..., :2].amin(0), seen[..., 2:].amax(0)], -1) / encoders.factor
    with torch.no_grad():
        wanted = arcface(_crop(_picture(seed + 1), points))[0]
    latents = encoders.encode(_picture(seed))
    noise = 0.2 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    face, inside = OptimisedFace(points=points, wanted=wanted, boxes=boxes), (slice(25, 35), slice(59, 69))
    gradients = []
    for each in (FaceOptimisationSettings(), FaceOptimisationSettings(**settings)):
        decode = encoders.decode if each.decoder == "exact" else encoders.decode_tiny
        whole = GroupNormStatistics(encoders.vae.decoder)
        hook = FaceOptimisation(each, decode, _crop, arcface, [face], 4, whole)
        gradients.append(hook.loss_and_gradient((latents + noise)[None])[1][0, 0, :, *inside].flatten())
    return float(functional.cosine_similarity(*gradients, dim=0))


@pytest.mark.parametrize(
    ("least", "settings"),
    [
        (0.95, {"region": "face"}),
        (0.999, {"region": "face", "region_statistics": True}),
        (0.85, {"decoder": "tiny"}),
        (0.85, {"decoder": "tiny", "region": "face"}),
    ],
    ids=["window", "window_statistics", "tiny", "tiny_window"],
)
def test_the_gradient_inside_the_face_is_nearly_that_of_whole_frames(
    encoders: Encoders, arcface: ArcFace, least: float, settings: dict[str, Any]
) -> None:
    assert min(_cosine(encoders, arcface, seed, **settings) for seed in (900, 910)) > least
