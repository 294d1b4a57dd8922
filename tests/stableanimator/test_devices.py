"""The same numbers on every device: float32 there beside float64 on the CPU. Without a GPU the CPU alone is tested.

On a GPU convolutions may run in TF32, whose mantissa has ten bits.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.animate import Driven, Models, Reference, animate
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.settings import FaceOptimisationSettings, SamplerSettings
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.media.framing import Framing
from stableanimator.models.animator import Animator, Conditioning
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings
from stableanimator.paths import local_path
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.skeleton import FACE

pytestmark = pytest.mark.device
WEIGHTS = "package://stableanimator.synthetic/weights"
FRAMES, SIDE = 2, 64


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return str(request.param)


@pytest.fixture(scope="module")
def models() -> Models:
    """The package's, on the CPU."""
    loaded = load_model_folder(local_path(f"{WEIGHTS}/base"))
    return Models(
        animator=loaded.animator.float(),
        rates=loaded.rates,
        encoders=Encoders(EncoderSettings(svd=f"{WEIGHTS}/base")),
        arcface=ArcFace.from_onnx(f"{WEIGHTS}/insightface/models/drawn/recogniser.onnx"),
    )


def _on(models: Models, device: str, dtype: torch.dtype) -> Models:
    """A copy."""
    animator, encoders, arcface = (
        copy.deepcopy(part).to(device, dtype) for part in (models.animator, models.encoders, models.arcface)
    )
    return replace(models, animator=animator, encoders=encoders, arcface=arcface)


def _close(found: Tensor, expected: Tensor) -> None:
    difference = (found.detach().cpu().double() - expected).norm() / expected.norm()
    assert difference < (1e-2 if found.is_cuda else 1e-4)


def _conditioning(animator: Animator) -> Conditioning:
    unet, latent = animator.settings.unet, SIDE // animator.settings.pose_net.factor
    return Conditioning(
        reference_latent=torch.randn(1, unet.latent_channels, latent, latent),
        clip_embedding=torch.randn(1, 1, unet.cross_attention_dim),
        face_embedding=torch.randn(1, animator.settings.face_encoder.embedding_width),
        pose=torch.rand(1, FRAMES, 3, SIDE, SIDE) * 2 - 1,
        added_time_ids=torch.tensor([[7.0, 127.0, 0.02]]),
    )


def test_the_denoiser_and_its_gradients(models: Models, device: str) -> None:
    conditioning = _conditioning(models.animator)
    latent = conditioning.reference_latent
    x, sigma = torch.randn(1, FRAMES, *latent.shape[1:]), torch.full((1,), 2.0)
    found = []
    for place, dtype in (("cpu", torch.float64), (device, torch.float32)):
        animator = _on(models, place, dtype).animator
        output = animator.denoise(x.to(place, dtype), sigma.to(place, dtype), conditioning.to(place))
        output.square().mean().backward()
        gradients = torch.cat([each.grad.flatten() for each in animator.parameters() if each.grad is not None])
        found.append((output.detach(), gradients))
    for expected, there in zip(*found, strict=True):
        _close(there, expected)


def _person(models: Models) -> tuple[Reference, Driven]:
    pose = np.full((133, 3), 0.9, np.float32)
    pose[:, :2] = np.random.default_rng(0).uniform(12, 52, (133, 2))
    pose[:3, :2] = [[32, 30], [38, 24], [26, 24]]
    pose[FACE, 2] = 0  # of a face, eyes and nose are known
    assert models.arcface is not None
    reference = Reference(
        picture=np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
        keypoints=pose[None],
        face_box=np.array([20, 14, 44, 44], np.float32),
        face_embedding=np.random.default_rng(2).normal(size=models.arcface.embedding_width).astype(np.float32),
    )
    framing = Framing.cover((SIDE, SIDE), (SIDE, SIDE))
    poses = np.repeat(pose[None, None], FRAMES, 0)
    return reference, Driven(poses=poses, fps=models.rates.fps[0], framing=framing, joints_in_picture=1.0)


def test_the_gradient_of_face_optimisation_is_the_slope_of_its_loss(models: Models, device: str) -> None:
    """And the loss is that of the CPU."""
    reference, driven = _person(models)
    side = SIDE // models.encoders.factor
    latents = torch.randn(1, FRAMES, models.encoders.latent_channels, side, side)
    here = face_hook(models, reference, driven.poses, (SIDE, SIDE), FaceOptimisationSettings())
    hook = face_hook(
        _on(models, device, torch.float32), reference, driven.poses, (SIDE, SIDE), FaceOptimisationSettings()
    )
    there = latents.to(device)
    loss, gradient = hook.loss_and_gradient(there)
    assert loss == pytest.approx(here.loss(latents), rel=1e-2)
    step = 0.02 * gradient / gradient.norm()
    slope = (hook.loss(there + step) - hook.loss(there - step)) / (2 * float(step.norm()))
    assert float(gradient.norm()) == pytest.approx(slope, rel=0.03)


def test_an_animation(models: Models, device: str) -> None:
    """From one seed, with face optimisation: the noise is drawn on the CPU, so frames differ by rounding alone."""
    reference, driven = _person(models)
    settings = AnimateSettings(
        sizes=((SIDE, SIDE),),
        sampler=SamplerSettings(steps=3),
        face_optimisation=True,
        offload=True,
        hjb=FaceOptimisationSettings(sigma_max=700.0, optimisation_steps=2, learning_rate=0.01),
    )
    there = animate(_on(models, device, torch.float32), reference, driven, settings, seed=3)
    here = animate(models, reference, driven, settings, seed=3)
    assert there.face_optimisation is not None
    assert len(there.face_optimisation.records) == 2
    assert here.frames.std() > 5
    assert np.abs(there.frames.astype(int) - here.frames).mean() < 2.0
