"""The FaceEncoder's attention against torch's own multi-head attention with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from stableanimator.models.face_encoder import FaceEncoder, TokenAttention
from stableanimator.models.settings import FaceEncoderSettings

from ..floats import assert_same

pytestmark = pytest.mark.numeric

SETTINGS = FaceEncoderSettings(embedding_width=6, tokens=3, cross_attention_dim=16, layers=2, heads=2, head_dim=8)


def _reference(block: TokenAttention, image: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    image, tokens = block.norm1(image), block.norm2(tokens)
    both = torch.cat([image, tokens], 1)
    output, _ = functional.multi_head_attention_forward(
        tokens.transpose(0, 1), both.transpose(0, 1), both.transpose(0, 1), 16, 2,
        torch.cat([block.to_q.weight, block.to_kv.weight]), None, None, None, False, 0.0, block.to_out.weight, None,
        need_weights=False,
    )  # fmt: skip
    return output.transpose(0, 1)


def test_face_encoder_equals_a_composition_of_torchs_attention() -> None:
    torch.manual_seed(0)
    encoder = FaceEncoder(SETTINGS)
    for parameter in encoder.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    face, image = torch.randn(2, 6), torch.randn(2, 1, 16)
    tokens = encoder.norm(encoder.proj(face).reshape(2, 3, 16))
    fusion = encoder.fusion_model
    projected = fusion.proj_in(image)
    for attention, feed_forward in fusion.layers:
        tokens = tokens + _reference(attention, projected, tokens)
        tokens = tokens + feed_forward(tokens)
    expected = fusion.norm_out(fusion.proj_out(tokens))
    assert_same(encoder(face, image), expected)
