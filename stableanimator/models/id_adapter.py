"""The distribution-aware ID adapter (SA++ III-B, Eq. 13-14) as an attention processor of diffusers.

The U-Net's context is one sequence, image tokens first and face tokens last. Spatial cross-attention reads both, each
with keys and values of its own; temporal cross-attention reads the image tokens alone, as in the released model.

Shapes: N frames of the batch, L query tokens, T context tokens, D channels.
"""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

from stableanimator.models.settings import IdFusion

EPSILON = 1e-5
"""Added to sigma_face, as in the released code."""


def distribution(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation over tokens and channels, per frame, float32: [N, L, D] -> two [N, 1, 1]."""
    z = z.float()
    return z.mean((1, 2), keepdim=True), z.std((1, 2), keepdim=True)


def normalise(face: Tensor) -> Tensor:
    """The ablation "Norm": (z_face - mu_face) / sigma_face, [N, L, D]."""
    mean, deviation = distribution(face)
    return ((face.float() - mean) / (deviation + EPSILON)).to(face.dtype)


def align_distribution(face: Tensor, image: Tensor) -> Tensor:
    """SA++ Eq. 14: z_face with the mean and the standard deviation of z_img, both [N, L, D].

    Statistics are over tokens and channels of a frame, in float32 whatever the inputs' precision.
    """
    face_mean, face_deviation = distribution(face)
    image_mean, image_deviation = distribution(image)
    aligned = (face.float() - face_mean) * (image_deviation / (face_deviation + EPSILON)) + image_mean
    return aligned.to(face.dtype)


def fuse(face: Tensor, image: Tensor, fusion: IdFusion) -> Tensor:
    """z_bar of SA++ Eq. 14, or of its ablations: [N, L, D] twice -> [N, L, D]."""
    if fusion == "distribution":
        return align_distribution(face, image) + image
    if fusion == "norm":
        return normalise(face) + image
    if fusion == "addition":
        return face + image
    return image


class IDAttention(nn.Module):
    """SA++ Eq. 13-14 in one cross-attention: image tokens by the U-Net's weights, face tokens by `id_to_k`, `id_to_v`.

        attention.set_processor(IDAttention(attention, face_tokens=4, fusion="distribution"))

    Args:
        attention: the cross-attention that it will serve; the new projections start as copies of its own.
        face_tokens: how many tokens at the end of the context are the face's.
        fusion: how the two results meet.
    """

    def __init__(self, attention: Attention, face_tokens: int, fusion: IdFusion) -> None:
        super().__init__()
        self.face_tokens = face_tokens
        self.fusion: IdFusion = fusion
        width, context = attention.to_k.weight.shape
        self.id_to_k = nn.Linear(context, width, bias=False)
        self.id_to_v = nn.Linear(context, width, bias=False)
        self.start_from(attention)

    @torch.no_grad()
    def start_from(self, attention: Attention) -> None:
        """Copy the attention's own key and value projections."""
        self.id_to_k.weight.copy_(attention.to_k.weight)
        self.id_to_v.weight.copy_(attention.to_v.weight)

    def forward(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Queries [N, L, D] and context [N, T, context width] -> [N, L, D]; names are those diffusers calls with."""
        assert attention_mask is None, "spatial cross-attention of the spatio-temporal U-Net has no mask"
        image_context = encoder_hidden_states[:, : -self.face_tokens]
        face_context = encoder_hidden_states[:, -self.face_tokens :]
        query = attn.to_q(hidden_states)
        image = _attend(query, attn.to_k(image_context), attn.to_v(image_context), attn.heads)
        face = _attend(query, self.id_to_k(face_context), self.id_to_v(face_context), attn.heads)
        output = attn.to_out[0](fuse(face, image, self.fusion))
        return attn.to_out[1](output) / attn.rescale_output_factor


class ImageTokenAttention(AttnProcessor2_0):
    """Cross-attention that leaves the face tokens aside: what the temporal blocks use."""

    def __init__(self, face_tokens: int) -> None:
        super().__init__()
        self.face_tokens = face_tokens

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """As its parent, on the context without its last `face_tokens` tokens."""
        return super().__call__(attn, hidden_states, encoder_hidden_states[:, : -self.face_tokens], attention_mask)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """SA++ Eq. 13, one cross-attention: [N, L, D], [N, T, D], [N, T, D] -> [N, L, D]."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def install_id_adapters(unet: nn.Module, face_tokens: int, fusion: IdFusion) -> None:
    """Give a spatio-temporal U-Net its ID adapters, in place; with `off` it stays as it is.

    `...transformer_blocks.N.attn2` gets an `IDAttention` (32 tensors `processor.id_to_{k,v}.weight` at full size),
    `...temporal_transformer_blocks.N.attn2` an `ImageTokenAttention`.
    """
    if fusion == "off":
        return
    for name, module in unet.named_modules():
        if not name.endswith(".attn2"):
            continue
        if ".temporal_transformer_blocks." in name:
            module.set_processor(ImageTokenAttention(face_tokens))
        elif ".transformer_blocks." in name:
            module.set_processor(IDAttention(module, face_tokens, fusion))


def restart_id_adapters(unet: nn.Module) -> None:
    """Copy the U-Net's own key and value projections into its ID adapters again, after loading other U-Net weights."""
    for module in unet.modules():
        if isinstance(module, Attention) and isinstance(module.processor, IDAttention):
            module.processor.start_from(module)
