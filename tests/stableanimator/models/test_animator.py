from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stableanimator.models.animator import CONDITIONS, Animator, Conditioning, added_time_ids, drop_conditions
from stableanimator.models.settings import FaceEncoderSettings, MicroConditions, ModelSettings
from stableanimator.models.unet import checkpoint_activations

from ...floats import assert_same, assert_same_gradients

pytestmark = pytest.mark.numeric


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
    assert_same(predicted, x / 2 - seen["output"] / math.sqrt(2))


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
        assert_same(together[clip : clip + 1], alone)


@torch.no_grad()
def test_a_dropped_condition_is_zeros(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = _latents(), torch.ones(2)
    without_reference = replace(conditioning, reference_latent=torch.zeros_like(conditioning.reference_latent))
    dropped = replace(conditioning, keep=_keep("reference"))
    assert_same(animator(x, sigma, dropped), animator(x, sigma, without_reference))
    face = animator.context(replace(conditioning, keep=_keep("face")))
    assert torch.equal(face[:, 1:], torch.zeros(2, 4, 32))
    assert torch.equal(face[:, :1], conditioning.clip_embedding)
    # The face tokens are made from the undropped image embedding, as released.
    clip = animator.context(replace(conditioning, keep=_keep("clip")))
    assert torch.equal(clip[:, :1], torch.zeros(2, 1, 32))
    assert_same(clip[:, 1:], animator.context(conditioning)[:, 1:])
    assert torch.equal(animator.pose_features(replace(conditioning, keep=_keep("pose"))), torch.zeros(2, 3, 32, 4, 2))


@torch.no_grad()
def test_the_unconditional_branch_reads_no_condition(animator: Animator, conditioning: Conditioning) -> None:
    x, sigma = _latents(), torch.ones(2)
    one = animator(x, sigma, animator.prepare(conditioning).unconditional())
    nothing = replace(conditioning, keep=torch.zeros(2, 4, dtype=torch.bool))
    assert_same(one, animator(x, sigma, nothing))
    assert (one - animator(x, sigma, conditioning)).abs().max() > 1e-3


def test_prepared_conditions_give_the_numbers_and_gradients_of_one_call_by_hand(
    animator: Animator, conditioning: Conditioning
) -> None:
    """EDM Eq. 7 written out, with FaceEncoder and PoseNet run for this very call. Weights are float64: in float32 the
    gradients of such small norms would differ by 1e-3 with the order of sums."""
    animator.double()
    x, sigma = _latents(), torch.tensor([0.5, 300.0])
    dropped = replace(conditioning, keep=torch.tensor([[False, True, True, True], [True, False, True, True]]))
    image_kept, reference_kept = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])

    reference = conditioning.reference_latent * reference_kept.reshape(2, 1, 1, 1) * animator.settings.reference_gain
    clip = conditioning.clip_embedding.double()
    face = animator.face_encoder(conditioning.face_embedding.double(), clip)
    image = clip * image_kept.reshape(2, 1, 1)
    level, root = sigma.reshape(2, 1, 1, 1, 1), torch.sqrt(sigma.reshape(2, 1, 1, 1, 1) ** 2 + 1)
    pose = animator.pose_net(conditioning.pose.double().flatten(0, 1)).unflatten(0, (2, 3))
    inputs = torch.cat([1 / root * x, reference[:, None].expand(-1, 3, -1, -1, -1), pose], 2)
    ids = torch.tensor([[6.0, 127.0, 0.02]] * 2)
    output = animator.unet(inputs, 0.25 * sigma.log(), torch.cat([image, face], 1), ids).sample
    by_hand = 1 / root**2 * x + -level / root * output

    for given in (dropped, animator.prepare(dropped)):
        animator.zero_grad()
        by_hand.square().mean().backward(retain_graph=True)
        expected = {name: parameter.grad for name, parameter in animator.named_parameters()}
        animator.zero_grad()
        predicted = animator(x, sigma, given)
        assert_same(predicted, by_hand)
        predicted.square().mean().backward()
        assert_same_gradients({name: each.grad for name, each in animator.named_parameters()}, expected)


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
    animator.double()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            checkpoint_activations(animator.unet)
        animator.zero_grad()
        animator(_latents(), torch.ones(2), conditioning).square().mean().backward()
        gradients.append({name: each.grad for name, each in animator.named_parameters()})
    assert_same_gradients(gradients[1], gradients[0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.0125)])
@torch.no_grad()
def test_half_precision_weights_give_nearly_the_float32_result(
    dtype: torch.dtype, tolerance: float, animator: Animator, conditioning: Conditioning
) -> None:
    """At every level of the sampler: latents of level 700 are in the thousands, where half precision knows no unit."""
    half = copy.deepcopy(animator).to(dtype)
    given = replace(conditioning, face_embedding=20.0 * conditioning.face_embedding)
    for level in (700.0, 20.0, 0.5, 0.002):
        x, sigma = _latents() * math.sqrt(1 + level**2), torch.tensor(level)
        exact, rounded = animator.denoise(x, sigma, given), half.denoise(x, sigma, given)
        assert rounded.dtype == torch.float32
        # A rounding is 2^-9 of a value in bfloat16 and 2^-12 in float16; the networks round some dozens of times.
        # What they say enters the prediction times sigma / sqrt(sigma^2 + 1).
        spread = (exact - x / (1 + level**2)).abs().max()
        assert (rounded - exact).abs().max() < tolerance * spread


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


@torch.no_grad()
def test_a_window_takes_its_frames(animator: Animator, conditioning: Conditioning) -> None:
    """Of what was prepared, it is what preparing those frames alone gives."""
    x, sigma, prepared = _latents(), torch.ones(2), animator.prepare(conditioning)
    for frames in (slice(1, 3), torch.tensor([2, 0])):
        some = replace(conditioning, pose=conditioning.pose[:, frames])
        expected = animator.denoise(x[:, frames], sigma, some)
        assert_same(animator.denoise(x[:, frames], sigma, prepared.window(frames)), expected)


def test_micro_conditions_are_in_stable_video_diffusions_order() -> None:
    torch.testing.assert_close(added_time_ids(MicroConditions(), 2), torch.tensor([[6.0, 127.0, 0.02]] * 2))


def test_pictures_of_another_size_are_refused(animator: Animator, conditioning: Conditioning) -> None:
    wrong = replace(conditioning, pose=torch.zeros(2, 3, 3, 64, 64))
    with pytest.raises(ValueError, match=r"\[2, 3, 8, 8\] do not fit latents \[2, 3, 4, 2\]"):
        animator(_latents(), torch.ones(2), wrong)


def test_settings_that_contradict_each_other_are_refused(tiny_settings: ModelSettings) -> None:
    with pytest.raises(ValueError, match=r"must equal unet\.cross_attention_dim \(32\)"):
        replace(tiny_settings, face_encoder=FaceEncoderSettings())
    # YAML 1.1 reads `id_fusion: off` as false.
    assert replace(tiny_settings, id_fusion=False).id_fusion == "off"
