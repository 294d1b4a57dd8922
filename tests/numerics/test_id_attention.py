"""The ID adapter against an attention written out with einsum, weight by weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention

from stableanimator.models.id_adapter import IDAttention
from stableanimator.models.settings import IdFusion

from ..floats import assert_same

pytestmark = pytest.mark.numeric

N, L, D, CONTEXT, HEADS, FACE = 2, 9, 12, 7, 3, 4


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax attention of one head after another, float64."""
    heads = []
    for part in np.split(np.arange(D), HEADS):
        scores = np.einsum("nld,ntd->nlt", q[..., part], k[..., part]) / np.sqrt(D / HEADS)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        heads.append(np.einsum("nlt,ntd->nld", weights / weights.sum(-1, keepdims=True), v[..., part]))
    return np.concatenate(heads, -1)


@pytest.mark.parametrize("fusion", ["distribution", "addition", "norm"])
def test_id_attention_equals_the_written_out_equations(fusion: IdFusion) -> None:
    torch.manual_seed(0)
    attention = Attention(query_dim=D, cross_attention_dim=CONTEXT, heads=HEADS, dim_head=D // HEADS)
    adapter = IDAttention(attention, face_tokens=FACE, fusion=fusion)
    torch.nn.init.normal_(adapter.id_to_k.weight)
    torch.nn.init.normal_(adapter.id_to_v.weight)
    attention.set_processor(adapter)
    hidden, context = torch.randn(N, L, D), torch.randn(N, 2 + FACE, CONTEXT)
    ours = attention(hidden, context).detach().numpy()

    w = {name: value.detach().double().numpy() for name, value in attention.state_dict().items()}
    x, image_tokens, face_tokens = (
        hidden.double().numpy(),
        context[:, :2].double().numpy(),
        context[:, 2:].double().numpy(),
    )
    q = x @ w["to_q.weight"].T
    image = _attend(q, image_tokens @ w["to_k.weight"].T, image_tokens @ w["to_v.weight"].T)
    face = _attend(q, face_tokens @ w["processor.id_to_k.weight"].T, face_tokens @ w["processor.id_to_v.weight"].T)
    if fusion != "addition":
        face = (face - face.mean((1, 2), keepdims=True)) / (face.std((1, 2), ddof=1, keepdims=True) + 1e-5)
    if fusion == "distribution":
        face = face * image.std((1, 2), ddof=1, keepdims=True) + image.mean((1, 2), keepdims=True)
    expected = (face + image) @ w["to_out.0.weight"].T + w["to_out.0.bias"]
    assert_same(ours, expected)
