from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor

from stableanimator.models.settings import ModelSettings, UNetSettings
from stableanimator.models.unet import build_unet, checkpoint_activations, run_unet, speed_up
from stableanimator.state_files import save_weights

from ...floats import assert_same, assert_same_gradients

pytestmark = pytest.mark.numeric

B, F, H, W = 2, 3, 4, 2


def _plain(settings: UNetSettings) -> UNetSpatioTemporalConditionModel:
    """diffusers' own class of the same sizes."""
    return UNetSpatioTemporalConditionModel(
        in_channels=8,
        out_channels=4,
        down_block_types=settings.down_block_types,
        up_block_types=settings.up_block_types,
        block_out_channels=settings.block_out_channels,
        addition_time_embed_dim=settings.addition_time_embed_dim,
        projection_class_embeddings_input_dim=3 * settings.addition_time_embed_dim,
        layers_per_block=settings.layers_per_block,
        cross_attention_dim=settings.cross_attention_dim,
        num_attention_heads=settings.num_attention_heads,
    )


def _inputs(tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    ids = torch.tensor([[6.0, 127.0, 0.02]]).repeat(B, 1)
    return torch.randn(B, F, 8, H, W), torch.tensor([0.3, -0.7]), torch.randn(B, tokens, 32), ids


@torch.no_grad()
def test_pose_features_are_added_after_the_first_convolution(tiny_settings: ModelSettings) -> None:
    ours, plain = build_unet(tiny_settings.unet, 4, "off"), _plain(tiny_settings.unet)
    plain.load_state_dict(ours.state_dict(), strict=True)
    sample, noise, context, ids = _inputs(tokens=1)
    features = torch.randn(B, F, 32, H, W)
    assert_same(run_unet(ours, sample, noise, context, ids, None), plain(sample, noise, context, ids)[0])
    plain.conv_in.register_forward_hook(lambda module, inputs, output: output + features.flatten(0, 1))
    expected = plain(sample, noise, context, ids)[0]
    assert_same(run_unet(ours, sample, noise, context, ids, features), expected)


@torch.no_grad()
def test_adapters_with_values_of_zero_leave_stable_video_diffusion_unchanged(tiny_settings: ModelSettings) -> None:
    """Spatial blocks add a face of zeros, temporal blocks read the image token: the plain U-Net remains."""
    ours, plain = build_unet(tiny_settings.unet, 4, "addition"), _plain(tiny_settings.unet)
    state = ours.state_dict()
    plain.load_state_dict({name: value for name, value in state.items() if "id_to" not in name}, strict=True)
    for name, value in state.items():
        if "id_to_v" in name:
            value.zero_()
    sample, noise, context, ids = _inputs(tokens=5)
    expected = plain(sample, noise, context[:, :1], ids)[0]
    assert_same(run_unet(ours, sample, noise, context, ids, None), expected)


@torch.no_grad()
def test_face_tokens_reach_the_output(tiny_settings: ModelSettings) -> None:
    unet = build_unet(tiny_settings.unet, 4, "distribution")
    sample, noise, context, ids = _inputs(tokens=5)
    other = context.clone()
    other[:, 1:] += 1.0
    difference = run_unet(unet, sample, noise, context, ids, None) - run_unet(unet, sample, noise, other, ids, None)
    assert difference.abs().max() > 1e-4


@torch.no_grad()
def test_half_precision_weights_give_nearly_the_float32_result(tiny_settings: ModelSettings) -> None:
    unet = build_unet(tiny_settings.unet, 4, "distribution")
    sample, noise, context, ids = _inputs(tokens=5)
    features = torch.randn(B, F, 32, H, W)
    exact = run_unet(unet, sample, noise, context, ids, features)
    half = run_unet(unet.to(torch.bfloat16), sample, noise, context, ids, features)
    assert half.dtype == torch.float32
    # bfloat16 keeps 8 bits: 0.4 % a rounding, and the network rounds some dozens of times.
    assert (half - exact).abs().max() < 0.05 * exact.abs().max()


def _loss_and_gradients(unet: UNetSpatioTemporalConditionModel) -> tuple[Tensor, dict[str, Tensor]]:
    """The output of one pass with pose features, and the gradient of every weight."""
    sample, noise, context, ids = _inputs(tokens=5)
    unet.zero_grad()
    output = run_unet(unet, sample, noise, context, ids, torch.randn(B, F, 32, H, W))
    output.square().mean().backward()
    gradients = {name: each.grad for name, each in unet.named_parameters() if each.grad is not None}
    return output.detach(), gradients


def _same(one: tuple[Tensor, dict[str, Tensor]], other: tuple[Tensor, dict[str, Tensor]]) -> None:
    """Weights are float64, so that only the output's float32 differs by a last bit; in float32 the norms of so few
    values make 1e-3 of the other order of sums."""
    assert_same(one[0], other[0])
    assert_same_gradients(one[1], other[1])


def test_channels_last_changes_the_memory_format_alone(tiny_settings: ModelSettings, tmp_path: Path) -> None:
    unet = build_unet(tiny_settings.unet, 4, "distribution").double()
    before = _loss_and_gradients(unet)
    save_weights(unet, tmp_path / "before.safetensors")
    speed_up(unet, compiled=False, channels_last=True)
    assert unet.conv_out.weight.is_contiguous(memory_format=torch.channels_last)
    _same(_loss_and_gradients(unet), before)
    save_weights(unet, tmp_path / "after.safetensors")
    assert (tmp_path / "after.safetensors").read_bytes() == (tmp_path / "before.safetensors").read_bytes()


def test_checkpointing_keeps_no_activation_of_any_transformer_block(tiny_settings: ModelSettings) -> None:
    """Whose matrices are where diffusers' own checkpointing stops: a linear layer keeps its input for its gradient."""
    plain, ours = (build_unet(tiny_settings.unet, 4, "distribution").double() for _ in range(2))
    ours.load_state_dict(plain.state_dict())
    plain.enable_gradient_checkpointing()
    checkpoint_activations(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    torch.manual_seed(0)
    expected, of_diffusers = _kept(plain)
    torch.manual_seed(0)
    found, of_ours = _kept(ours)
    _same(found, expected)
    assert of_ours < 0.5 * of_diffusers


def _kept(unet: UNetSpatioTemporalConditionModel) -> tuple[tuple[Tensor, dict[str, Tensor]], int]:
    """`_loss_and_gradients`, and the bytes that the forward pass kept outside what is computed again."""
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        result = _loss_and_gradients(unet)
    weights = {each.untyped_storage().data_ptr() for each in unet.parameters()}
    return result, sum(size for place, size in kept.items() if place not in weights)


def _one_level() -> UNetSpatioTemporalConditionModel:
    """Of the network's kinds of blocks all that hold attention, once down and twice up: compiling takes a minute."""
    settings = UNetSettings(
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlockSpatioTemporal",),
        up_block_types=("CrossAttnUpBlockSpatioTemporal",),
        layers_per_block=1,
        num_attention_heads=(2,),
        cross_attention_dim=32,
        addition_time_embed_dim=32,
    )
    return build_unet(settings, 4, "distribution").double()


@pytest.mark.slow
@torch.no_grad()
def test_a_compiled_unet_computes_the_same_under_the_same_names() -> None:
    unet, (sample, noise, context, ids) = _one_level(), _inputs(tokens=5)
    names, expected = list(unet.state_dict()), run_unet(unet, sample, noise, context, ids, None)
    torch._dynamo.utils.counters.clear()
    speed_up(unet, compiled=True, channels_last=False)
    compiled = run_unet(unet, sample, noise, context, ids, None)
    assert (compiled - expected).abs().max() < 1e-6 * expected.abs().max()
    assert list(unet.state_dict()) == names
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0


@pytest.mark.slow
def test_gradients_pass_through_the_graph_that_is_compiled() -> None:
    """With gradient checkpointing, as in training; the graph is captured and run without making code of it."""
    unet = _one_level()
    checkpoint_activations(unet)
    expected = _loss_and_gradients(unet)
    unet.compile(backend="aot_eager")
    _same(_loss_and_gradients(unet), expected)


def test_sizes_that_do_not_fit_are_refused(tiny_settings: ModelSettings) -> None:
    with pytest.raises(ValueError, match="2 levels"):
        replace(tiny_settings.unet, num_attention_heads=(1, 1, 1))
    with pytest.raises(ValueError, match="multiple of 32"):
        replace(tiny_settings.unet, block_out_channels=(40, 64))
    with pytest.raises(ValueError, match="even"):
        replace(tiny_settings.unet, addition_time_embed_dim=31)
