from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stableanimator.models.face_encoder import FaceEncoder
from stableanimator.models.settings import FaceEncoderSettings

from ...floats import assert_same

pytestmark = pytest.mark.numeric

SETTINGS = FaceEncoderSettings(embedding_width=6, tokens=3, cross_attention_dim=16, layers=1, heads=2, head_dim=8)


def _encoder(settings: FaceEncoderSettings) -> FaceEncoder:
    torch.manual_seed(0)
    return FaceEncoder(settings)


def _unrefined(encoder: FaceEncoder, face: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(encoder.proj(face).reshape(-1, 3, 16), (16,))


def test_an_untrained_encoder_gives_no_face_tokens_unless_residual() -> None:
    face, image = torch.randn(2, 6), torch.randn(2, 1, 16)
    assert torch.equal(_encoder(SETTINGS)(face, image), torch.zeros(2, 3, 16))
    residual = _encoder(replace(SETTINGS, residual=True))
    assert_same(residual(face, image), _unrefined(residual, face))


def test_without_refinement_the_image_is_not_read() -> None:
    encoder = _encoder(replace(SETTINGS, refine=False))
    face = torch.randn(2, 6)
    tokens = encoder(face, torch.randn(2, 1, 16))
    assert_same(tokens, _unrefined(encoder, face))
    assert torch.equal(tokens, encoder(face, torch.randn(2, 1, 16)))
    trainable = {name.split(".")[0] for name, each in encoder.named_parameters() if each.requires_grad}
    assert trainable == {"proj", "norm"}


def test_refinement_reads_the_image() -> None:
    encoder = _encoder(SETTINGS)
    torch.nn.init.normal_(encoder.fusion_model.proj_out.weight)
    face, image = torch.randn(2, 6), torch.randn(2, 1, 16)
    assert (encoder(face, image) - encoder(face, image + 1.0)).abs().max() > 1e-3


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replace(SETTINGS, tokens=0)
