from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0

from stableanimator.models.id_adapter import (
    IDAttention,
    ImageTokenAttention,
    align_distribution,
    fuse,
    normalise,
    restart_id_adapters,
)

from ...floats import assert_same

pytestmark = pytest.mark.numeric

N, L, D, CONTEXT, HEADS = 3, 10, 8, 6, 2


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(query_dim=D, cross_attention_dim=CONTEXT, heads=HEADS, dim_head=D // HEADS)


def test_equation_14_gives_the_face_the_images_mean_and_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    face = 5.0 + 3.0 * torch.randn(N, L, D, generator=generator)
    image = -2.0 + 0.5 * torch.randn(N, L, D, generator=generator)
    aligned = align_distribution(face, image).numpy()
    for n in range(N):
        f, i = face[n].double().numpy(), image[n].double().numpy()
        expected = (f - f.mean()) / (f.std(ddof=1) + 1e-5) * i.std(ddof=1) + i.mean()
        assert_same(aligned[n], expected)
        np.testing.assert_allclose(aligned[n].mean(), i.mean(), atol=1e-5)
        np.testing.assert_allclose(aligned[n].std(ddof=1), i.std(ddof=1), rtol=1e-4)


def test_statistics_are_taken_in_float32_whatever_the_precision() -> None:
    # A mean of 300 with a deviation of 1 is lost where sums are kept in bfloat16 or float16.
    face = (300.0 + torch.randn(1, 4000, 8, generator=torch.Generator().manual_seed(0))).half()
    image = torch.randn(1, 4000, 8, generator=torch.Generator().manual_seed(1)).half()
    aligned = align_distribution(face, image)
    assert aligned.dtype == torch.float16
    np.testing.assert_allclose(aligned.float().numpy().mean(), image.float().numpy().mean(), atol=2e-3)
    np.testing.assert_allclose(aligned.float().numpy().std(), image.float().numpy().std(), rtol=2e-3)


def test_the_ablations_of_table_v() -> None:
    face = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
    image = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    deviation = np.std([1.0, 3.0, 5.0, 7.0], ddof=1)
    assert_same(normalise(face).flatten(), (np.array([1, 3, 5, 7]) - 4) / (deviation + 1e-5))
    assert torch.equal(fuse(face, image, "addition"), torch.tensor([[[11.0, 23.0], [35.0, 47.0]]]))
    assert_same(fuse(face, image, "norm"), normalise(face) + image)
    assert torch.equal(fuse(face, image, "off"), image)
    # The four values are equally spaced in both, so the aligned face is the image itself.
    assert torch.allclose(fuse(face, image, "distribution"), 2 * image, rtol=1e-4)


def test_equal_values_have_finite_gradients() -> None:
    """Face tokens start at zero and dropped image tokens are zero: deviations of 0 must not give NaN slopes."""
    face, image = torch.zeros(1, 4, 3, requires_grad=True), torch.zeros(1, 4, 3, requires_grad=True)
    align_distribution(face, image).sum().backward()
    for each in (face, image):
        assert each.grad is not None
        assert bool(torch.isfinite(each.grad).all())


def test_new_projections_start_as_copies_of_the_attentions_own(attention: Attention) -> None:
    adapter = IDAttention(attention, face_tokens=4, fusion="addition")
    assert torch.equal(adapter.id_to_k.weight, attention.to_k.weight)
    assert torch.equal(adapter.id_to_v.weight, attention.to_v.weight)
    attention.set_processor(adapter)
    with torch.no_grad():
        attention.to_k.weight.add_(1.0)
    assert not torch.equal(adapter.id_to_k.weight, attention.to_k.weight)
    restart_id_adapters(attention)
    assert torch.equal(adapter.id_to_k.weight, attention.to_k.weight)


def test_temporal_attention_reads_the_image_tokens_alone(attention: Attention) -> None:
    hidden, context = torch.randn(N, L, D), torch.randn(N, 5, CONTEXT)
    attention.set_processor(AttnProcessor2_0())
    expected = attention(hidden, context[:, :1])
    attention.set_processor(ImageTokenAttention(face_tokens=4))
    assert_same(attention(hidden, context), expected)
