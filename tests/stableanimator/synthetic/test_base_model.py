"""The small base model of the package does what it is for, on people that it never saw: judged by the true pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stableanimator.diffusion.sampler import initial_noise, karras_sigmas, sample
from stableanimator.diffusion.settings import SamplerSettings
from stableanimator.driving import skeleton_pictures
from stableanimator.media.tensors import to_tensor
from stableanimator.models.animator import Animator, Conditioning, added_time_ids
from stableanimator.models.checkpoints import load_model_folder
from stableanimator.models.encoders import Encoders
from stableanimator.models.settings import EncoderSettings, MicroConditions
from stableanimator.paths import local_path
from stableanimator.synthetic.clips import write_clip
from stableanimator.synthetic.renderer import ClipRenderer
from stableanimator.synthetic.script import ClipSettings

BASE = "package://stableanimator.synthetic/weights/base"
FRAMES, SIDE = 4, 96
SAMPLER = SamplerSettings(steps=3, sigma_min=0.02, sigma_max=20.0, second_order=False, noise="shared")


@pytest.fixture(scope="module")
def encoders() -> Encoders:
    return Encoders(EncoderSettings(svd=BASE))


@pytest.fixture(scope="module")
def animator() -> Animator:
    return load_model_folder(local_path(BASE)).animator


@pytest.fixture(scope="module")
def clips(encoders: Encoders) -> list[tuple[Tensor, Conditioning]]:
    """True latents [1, F, C, h, w] of six dancers, and what they are made from: their first frame and true poses."""
    look = ClipSettings(width=SIDE, height=SIDE, fps=4.0, min_seconds=2.0, max_seconds=2.0)
    made = []
    for seed in range(8_000_000, 8_000_006):
        renderer = ClipRenderer(write_clip("dance", seed, look))
        frames = np.stack(list(renderer))[: FRAMES + 1]
        keypoints = np.stack([renderer.truth.scored_keypoints(number) for number in range(FRAMES + 1)])
        pictures = to_tensor(frames)
        latents = encoders.encode(pictures)
        conditioning = Conditioning(
            reference_latent=latents[:1],
            clip_embedding=encoders.embed(pictures[:1]),
            face_embedding=torch.zeros(1, 128),
            pose=to_tensor(skeleton_pictures(keypoints[1:].astype(np.float32), SIDE, SIDE, "ours"))[None],
            added_time_ids=added_time_ids(MicroConditions(), 1),
        )
        made.append((latents[None, 1:], conditioning))
    return made


@torch.no_grad()
def _error(animator: Animator, truth: Tensor, conditioning: Conditioning) -> float:
    """Mean squared distance of what is sampled to the true latents."""
    prepared = animator.prepare(conditioning)
    noise = initial_noise(truth.shape, SAMPLER, torch.Generator().manual_seed(1))
    sigmas = karras_sigmas(SAMPLER.steps, SAMPLER.sigma_min, SAMPLER.sigma_max)
    result = sample(lambda x, sigma: animator.denoise(x, sigma, prepared), noise, sigmas, SAMPLER)
    return float((result - truth).square().mean())


def test_it_is_nearer_to_the_truth_than_the_reference_repeated(
    animator: Animator, clips: list[tuple[Tensor, Conditioning]]
) -> None:
    ours = np.mean([_error(animator, truth, conditioning) for truth, conditioning in clips])
    repeated = np.mean(
        [float((conditioning.reference_latent - truth).square().mean()) for truth, conditioning in clips]
    )
    assert ours < 0.8 * repeated


def test_every_condition_counts(animator: Animator, clips: list[tuple[Tensor, Conditioning]]) -> None:
    """Another's poses, and another's reference picture, lead away from the truth."""
    ours = np.mean([_error(animator, truth, conditioning) for truth, conditioning in clips])
    for name in ("pose", "reference_latent"):
        others = [*clips[1:], clips[0]]
        wrong = [
            _error(animator, truth, replace(conditioning, **{name: getattr(other, name)}))
            for (truth, conditioning), (_, other) in zip(clips, others, strict=True)
        ]
        assert np.mean(wrong) > 1.2 * ours
