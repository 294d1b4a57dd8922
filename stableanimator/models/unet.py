"""diffusers' spatio-temporal U-Net with ID adapters, and with pose features added after its first convolution."""

from __future__ import annotations

from functools import partial

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stableanimator.models.id_adapter import install_id_adapters
from stableanimator.models.settings import IdFusion, UNetSettings
from stableanimator.models.spatio_temporal import begin_without_time, set_norm_groups

TIME_IDS = 3
"""Micro-conditions of Stable Video Diffusion: frames a second, motion bucket, noise on the reference."""


class InputConvolution(nn.Conv2d):
    """The U-Net's first convolution; channels of the input beyond its own are added to its output.

    It is how the pose features reach the U-Net: diffusers' forward hands its input to `conv_in` untouched, so no copy
    of that forward and no state between calls is needed. Names and shapes of the weights stay the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, in + out, h, w], or [N, in, h, w] for no features -> [N, out, h, w]."""
        if x.shape[1] == self.in_channels:
            return super().forward(x)
        sample, features = x.split([self.in_channels, self.out_channels], dim=1)
        return super().forward(sample) + features


def build_unet(settings: UNetSettings, face_tokens: int, fusion: IdFusion) -> UNetSpatioTemporalConditionModel:
    """The U-Net with its ID adapters, at random but for the layers over time, which begin as the identity. At the
    defaults its state dict has the released `unet.pth`'s names and shapes."""
    unet = UNetSpatioTemporalConditionModel(
        in_channels=2 * settings.latent_channels,
        out_channels=settings.latent_channels,
        down_block_types=settings.down_block_types,
        up_block_types=settings.up_block_types,
        block_out_channels=settings.block_out_channels,
        addition_time_embed_dim=settings.addition_time_embed_dim,
        projection_class_embeddings_input_dim=TIME_IDS * settings.addition_time_embed_dim,
        layers_per_block=settings.layers_per_block,
        cross_attention_dim=settings.cross_attention_dim,
        transformer_layers_per_block=settings.transformer_layers_per_block,
        num_attention_heads=settings.num_attention_heads,
    )
    conv_in = InputConvolution(2 * settings.latent_channels, settings.block_out_channels[0], kernel_size=3, padding=1)
    conv_in.load_state_dict(unet.conv_in.state_dict(), assign=True)
    unet.conv_in = conv_in
    set_norm_groups(unet, settings.norm_groups)
    begin_without_time(unet)
    install_id_adapters(unet, face_tokens, fusion)
    return unet


def checkpoint_activations(unet: UNetSpatioTemporalConditionModel) -> None:
    """Keep no activations inside blocks: they are computed again in the backward pass (Chen et al. 2016). In place.

    diffusers' own checkpointing leaves its temporal transformer blocks out, whose activations are most of what is then
    kept (docs/model.md).
    """
    unet.enable_gradient_checkpointing()
    for module in unet.modules():
        if isinstance(module, TransformerSpatioTemporalModel):
            for block in module.temporal_transformer_blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def speed_up(unet: UNetSpatioTemporalConditionModel, *, compiled: bool, channels_last: bool) -> None:
    """Change how a U-Net computes, in place. Results differ by rounding; names, shapes and checkpoints do not.

    Args:
        unet: on its device and in its precision.
        compiled: by `torch.compile`, at the first pass of each shape.
        channels_last: the memory format of its spatial convolutions. The temporal ones read five dimensions, for which
            diffusers copies to the usual format and back.
    """
    if channels_last:
        for module in unet.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)
    if compiled:
        unet.compile()  # the method: `torch.compile(unet)` would put a wrapper's prefix before every name


def run_unet(
    unet: UNetSpatioTemporalConditionModel,
    sample: Tensor,
    c_noise: Tensor,
    context: Tensor,
    added_time_ids: Tensor,
    pose_features: Tensor | None,
) -> Tensor:
    """One pass of the U-Net, in the precision of its weights.

    Args:
        unet: from `build_unet`.
        sample: scaled noisy latents and reference latents [B, F, 2C, h, w].
        c_noise: EDM's noise condition [B].
        context: image tokens, then face tokens [B, T, D].
        added_time_ids: micro-conditions [B, 3].
        pose_features: what is added after the first convolution [B, F, C0, h, w], or None.

    Returns:
        The raw output F of EDM's Eq. 7, float32 [B, F, C, h, w].
    """
    dtype = unet.conv_in.weight.dtype
    inputs = sample.to(dtype)
    if pose_features is not None:
        inputs = torch.cat([inputs, pose_features.to(dtype)], dim=2)
    # Noise levels and micro-conditions stay float32: diffusers casts their sinusoids, and 127 needs no half precision.
    output = unet(inputs, c_noise, context.to(dtype), added_time_ids, return_dict=False)[0]
    return output.float()
