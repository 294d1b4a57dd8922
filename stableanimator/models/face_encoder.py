"""FaceEncoder (SA++ III-B): an ArcFace embedding becomes tokens, refined by attention over the image embedding.

Names and shapes are those of the released `face_encoder.pth`.
Shapes: B pictures, E embedding width, K face tokens, T image tokens, D token width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stableanimator.models.settings import FaceEncoderSettings


class TokenAttention(nn.Module):
    """Tokens attend to [image embedding, tokens] together."""

    def __init__(self, settings: FaceEncoderSettings) -> None:
        super().__init__()
        width, inner = settings.cross_attention_dim, settings.heads * settings.head_dim
        self.heads = settings.heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """Image embedding [B, T, D] and tokens [B, K, D] -> [B, K, D]."""
        tokens = self.norm2(tokens)
        key, value = self.to_kv(torch.cat([self.norm1(image), tokens], dim=1)).chunk(2, dim=-1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.to_q(tokens), key, value))
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _feed_forward(width: int, factor: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, factor * width, bias=False),
        nn.GELU(),
        nn.Linear(factor * width, width, bias=False),
    )


class TokenFusion(nn.Module):
    """Blocks of attention over the image embedding and feed-forward; `proj_out` starts at zero."""

    def __init__(self, settings: FaceEncoderSettings) -> None:
        super().__init__()
        width = settings.cross_attention_dim
        self.proj_in = nn.Linear(width, width)
        self.proj_out = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList([TokenAttention(settings), _feed_forward(width, settings.feed_forward)])
            for _ in range(settings.layers)
        )
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, tokens: Tensor, image: Tensor) -> Tensor:
        """Tokens [B, K, D] and image embedding [B, T, D] -> [B, K, D]."""
        image = self.proj_in(image)
        for attention, feed_forward in self.layers:
            tokens = tokens + attention(image, tokens)
            tokens = tokens + feed_forward(tokens)
        return self.norm_out(self.proj_out(tokens))


class FaceEncoder(nn.Module):
    """Face embeddings and image embeddings -> face tokens for the ID adapters.

    The released weights were trained on ArcFace embeddings as the network returns them, not on unit vectors; measures,
    shards and references hold them so.
    """

    def __init__(self, settings: FaceEncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.cross_attention_dim
        self.proj = nn.Sequential(
            nn.Linear(settings.embedding_width, 2 * settings.embedding_width),
            nn.GELU(),
            nn.Linear(2 * settings.embedding_width, settings.tokens * width),
        )
        self.norm = nn.LayerNorm(width)
        self.fusion_model = TokenFusion(settings)
        if not settings.refine:
            self.fusion_model.requires_grad_(False)

    def forward(self, embedding: Tensor, image: Tensor) -> Tensor:
        """Face embedding [B, E] and CLIP image embedding [B, T, D] -> tokens [B, K, D]."""
        tokens = self.norm(self.proj(embedding).unflatten(-1, (self.settings.tokens, -1)))
        if not self.settings.refine:
            return tokens
        refined = self.fusion_model(tokens, image)
        return tokens + refined if self.settings.residual else refined
