"""What diffusers' spatio-temporal blocks leave open: the groups of their norms, and layers over time that begin as
nothing or are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention import TemporalBasicTransformerBlock
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from diffusers.models.resnet import SpatioTemporalResBlock, TemporalResnetBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn


def set_norm_groups(module: nn.Module, groups: int) -> None:
    """Let every group norm have this many groups, in place. Names and shapes of the weights do not tell, so whoever
    loads them must say it again."""
    for each in module.modules():
        if isinstance(each, nn.GroupNorm):
            each.num_groups = groups


def temporal_layers(module: nn.Module) -> Iterator[nn.Module]:
    """Whatever mixes frames or knows their place: residual and transformer blocks over time, embeddings of the frames'
    places, and the blends with the layers of single frames."""
    for each in module.modules():
        if isinstance(each, SpatioTemporalResBlock):
            yield each.temporal_res_block
            yield each.time_mixer
        elif isinstance(each, TransformerSpatioTemporalModel):
            yield each.temporal_transformer_blocks
            yield each.time_pos_embed
            yield each.time_mixer
        elif isinstance(each, TemporalDecoder):
            yield each.time_conv_out


@torch.no_grad()
def begin_without_time(module: nn.Module) -> None:
    """Let the layers over time begin as the identity, in place: clips are then what their frames alone would be, and
    training begins from there (as AnimateDiff's motion modules do, arXiv 2307.04725, 4.2)."""
    for layer in temporal_layers(module):
        for each in layer.modules():
            if isinstance(each, TemporalResnetBlock):
                _zero(each.conv2)
            elif isinstance(each, TemporalBasicTransformerBlock):
                attentions = [part.to_out[0] for part in (each.attn1, each.attn2) if part is not None]
                for last in (each.ff_in.net[-1], each.ff.net[-1], *attentions):
                    _zero(last)
            elif isinstance(each, nn.Conv3d) and each is layer:  # the decoder's last
                _zero(each)
                nn.init.dirac_(each.weight)
    for each in module.modules():
        if isinstance(each, TransformerSpatioTemporalModel):
            _zero(each.time_pos_embed.linear_2)


def leave_time_out(module: nn.Module) -> None:
    """Skip the layers over time for good, in place: every frame is computed alone, and what is skipped does not learn.
    For training on pictures, which it makes twice as fast. Names and shapes stay."""
    for layer in temporal_layers(module):
        layer.requires_grad_(False)
    for each in module.modules():
        if isinstance(each, SpatioTemporalResBlock):
            each.temporal_res_block.forward = _unchanged
        elif isinstance(each, TransformerSpatioTemporalModel):
            each.time_pos_embed.forward = torch.zeros_like
            for block in each.temporal_transformer_blocks:
                block.forward = _unchanged
        elif isinstance(each, TemporalDecoder):
            each.time_conv_out.forward = _unchanged


def _unchanged(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
    return hidden


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
