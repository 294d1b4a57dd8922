from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stableanimator.models.animator import (
    CONDITIONS,
    Animator,
    Conditioning,
    MicroConditions,
    ModelSettings,
    drop_conditions,
    guidance_scales,
    guided,
)
from stableanimator.models.face_encoder import FaceEncoderSettings


def _latents() -> Tensor:
    return torch.randn(2, 3, 4, 4, 2, generator=torch.Generator().manual_seed(2))


def _keep(*dropped: str) -> Tensor:
    return torch.tensor([[name not in dropped for name in CONDITIONS]] * 2)


@torch.no_grad()
def test_preconditioning_around_the_unet(animator: Animator, conditioning: Conditioning) -> None:
    """At sigma 1: D = x / 2 - F(x / sqrt 2; 0) / sqrt 2, and the reference enters without its scaling factor."""
    x = _latents()
    seen: dict[str, Tensor] = {}

    def record(module: torch.nn.Module, args: tuple[Tensor, ...], output: tuple[Tensor]) -> None:
        seen.update(sample=args[0], c_noise=args[1], output=output[0])

    animator.unet.register_forward_hook(record)
    predicted = animator.denoise(x, torch.ones(2), conditioning)
    torch.testing.assert_close(seen["sample"][:, :, :4], x / math.sqrt(2))
    for frame in range(3):
        torch.testing.assert_close(seen["sample"][:, frame, 4:8], conditioning.reference_latent / 0.18215)
    assert torch.equal(seen["c_noise"], torch.zeros(2))
    torch.testing.assert_close(predicted, x / 2 - seen["output"] / math.sqrt(2))


@torch.no_grad()
def test_each_clip_has_its_own_sigma_and_conditions(animator: Animator, conditioning: Conditioning) -> None:
    x = _latents()
    together = animator(x, torch.tensor([0.5, 20.0]), conditioning)
    for clip, sigma in enumerate((0.5, 20.0)):
        one = Conditioning(
            reference_latent=conditioning.reference_latent[clip : clip + 1],
            clip_embedding=conditioning.clip_embedding[clip : clip + 1],
            face_embedding=conditioning.face_embedding[clip : clip + 1],
            pose=conditioning.pose[clip : clip + 1],
            added_time_ids=conditioning.added_time_ids[clip : clip + 1],
        )
        alone = animator.denoise(x[clip : clip + 1], torch.tensor(sigma), one)
        torch.testing.assert_close(together[clip : clip + 1], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_dropped_condition_is_zeros(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = _latents(), torch.ones(2)
    without_reference = replace(conditioning, reference_latent=torch.zeros_like(conditioning.reference_latent))
    dropped = replace(conditioning, keep=_keep("reference"))
    torch.testing.assert_close(animator(x, sigma, dropped), animator(x, sigma, without_reference))
    face = animator.context(replace(conditioning, keep=_keep("face")))
    assert torch.equal(face[:, 1:], torch.zeros(2, 4, 32))
    assert torch.equal(face[:, :1], conditioning.clip_embedding)
    # The face tokens are made from the undropped image embedding, as released.
    clip = animator.context(replace(conditioning, keep=_keep("clip")))
    assert torch.equal(clip[:, :1], torch.zeros(2, 1, 32))
    torch.testing.assert_close(clip[:, 1:], animator.context(conditioning)[:, 1:])
    assert torch.equal(animator.pose_features(replace(conditioning, keep=_keep("pose"))), torch.zeros(2, 3, 32, 4, 2))


@torch.no_grad()
def test_the_unconditional_branch_reads_no_condition(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = _latents(), torch.ones(2)
    other = replace(
        conditioning,
        reference_latent=conditioning.reference_latent + 1,
        clip_embedding=conditioning.clip_embedding + 1,
        face_embedding=conditioning.face_embedding + 1,
        pose=-conditioning.pose,
    )
    one = animator(x, sigma, conditioning.unconditional())
    assert torch.equal(one, animator(x, sigma, other.unconditional()))
    assert (one - animator(x, sigma, conditioning)).abs().max() > 1e-3


@torch.no_grad()
def test_without_id_fusion_the_face_is_not_read(tiny_settings: ModelSettings, conditioning: Conditioning) -> None:
    model = Animator(replace(tiny_settings, id_fusion="off"))
    assert not [name for name in model.unet.state_dict() if "id_to" in name]
    assert not any(parameter.requires_grad for parameter in model.face_encoder.parameters())
    x, sigma = _latents(), torch.ones(2)
    other = replace(conditioning, face_embedding=conditioning.face_embedding + 1)
    assert torch.equal(model(x, sigma, conditioning), model(x, sigma, other))


def test_every_trainable_weight_gets_a_finite_gradient(animator: Animator, conditioning: Conditioning) -> None:
    dropped = drop_conditions(conditioning, 0.33, torch.Generator().manual_seed(0))
    animator(_latents(), torch.ones(2), dropped).square().mean().backward()
    for name, parameter in animator.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


def test_gradient_checkpointing_changes_no_gradient(animator: Animator, conditioning: Conditioning) -> None:
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            animator.unet.enable_gradient_checkpointing()
        animator.zero_grad()
        animator(_latents(), torch.ones(2), conditioning).square().mean().backward()
        gradients.append({name: each.grad for name, each in animator.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_bfloat16_weights_give_nearly_the_float32_result(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = _latents(), torch.tensor([0.5, 20.0])
    exact = animator(x, sigma, conditioning)
    half = animator.to(torch.bfloat16)(x, sigma, conditioning)
    assert half.dtype == torch.float32
    # bfloat16 keeps 8 bits: 0.4 % a rounding, and the networks round some dozens of times.
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


def test_conditioning_dropout_has_the_released_probabilities(conditioning: Conditioning) -> None:
    many = Conditioning(
        reference_latent=conditioning.reference_latent[:1].expand(20000, -1, -1, -1),
        clip_embedding=conditioning.clip_embedding[:1],
        face_embedding=conditioning.face_embedding[:1],
        pose=conditioning.pose[:1],
        added_time_ids=conditioning.added_time_ids[:1],
    )
    keep = drop_conditions(many, 0.1, torch.Generator().manual_seed(0)).keep
    assert keep is not None
    clip, reference, face, pose = (~keep).unbind(1)
    # Standard error of a share of 0.1 in 20,000 draws: 0.002.
    assert (clip & ~reference).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (reference & ~clip).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (clip & reference).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert not face.any()
    assert not pose.any()


def test_guidance_extrapolates_frame_by_frame(conditioning: Conditioning) -> None:
    def denoise(x: Tensor, sigma: Tensor, given: Conditioning) -> Tensor:
        return torch.full_like(x, 3.0 if given.keep is None else 1.0)

    assert torch.equal(guidance_scales(1.0, 3.0, 3), torch.tensor([1.0, 2.0, 3.0]))
    predict = guided(denoise, conditioning, conditioning.unconditional(), guidance_scales(1.0, 3.0, 3))
    result = predict(_latents(), torch.tensor(1.0))
    # 1 + scale * (3 - 1)
    assert [result[:, frame].unique().tolist() for frame in range(3)] == [[3.0], [5.0], [7.0]]


def test_guidance_of_one_runs_the_conditional_branch_alone(conditioning: Conditioning) -> None:
    branches = []

    def denoise(x: Tensor, sigma: Tensor, given: Conditioning) -> Tensor:
        branches.append(given.keep is None)
        return x

    guided(denoise, conditioning, conditioning.unconditional(), torch.ones(3))(_latents(), torch.tensor(1.0))
    assert branches == [True]


def test_a_window_takes_its_frames(conditioning: Conditioning) -> None:
    assert torch.equal(conditioning.window(slice(1, 3)).pose, conditioning.pose[:, 1:3])
    assert torch.equal(conditioning.window(torch.tensor([2, 0])).pose[:, 0], conditioning.pose[:, 2])


def test_micro_conditions_are_in_stable_video_diffusions_order() -> None:
    torch.testing.assert_close(MicroConditions().ids(2), torch.tensor([[6.0, 127.0, 0.02]] * 2))


def test_pictures_of_another_size_are_refused(animator: Animator, conditioning: Conditioning) -> None:
    wrong = replace(conditioning, pose=torch.zeros(2, 3, 3, 64, 64))
    with pytest.raises(ValueError, match=r"must be \[2, 3, 3, 32, 16\]"):
        animator(_latents(), torch.ones(2), wrong)


def test_settings_that_contradict_each_other_are_refused(tiny_settings: ModelSettings) -> None:
    with pytest.raises(ValueError, match=r"must equal unet\.cross_attention_dim \(32\)"):
        replace(tiny_settings, face_encoder=FaceEncoderSettings())
    # YAML 1.1 reads `id_fusion: off` as false.
    assert replace(tiny_settings, id_fusion=False).id_fusion == "off"
