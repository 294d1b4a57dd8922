"""The learnable pose alignment (StableAnimator++, Eq. 1 and 9-12): reference pose, driven pose -> similarity transform.

B frames   J = 18 skeleton nodes (OpenPose-18)   D width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stableanimator.alignment.baselines import svd, svd_no_arms
from stableanimator.alignment.poses import NODES, visible_joints
from stableanimator.alignment.settings import AlignerSettings
from stableanimator.alignment.similarity import Similarity, fit_similarity, mean_point, rotation_matrix

_CONTRAST = 5.0
"""What differences of aligned poses are multiplied by on their way in: they are about a fifth of a body's radius."""

_MOST = 0.25
"""By how much, as a logarithm, the network may raise or lower a joint's weight. With more it learned how procedural or
few real people move, and half bodies of others came out up to 4 % worse than without a network."""
_ARMS = (3, 4, 6, 7)
_ARM_WEIGHT = -3.0
"""Logarithm of the weight of elbows and wrists before training, a twentieth of another joint's: what is trained starts
as the SVD without arms, and still fits poses that show little else."""


class AttentionBlock(nn.Module):
    """One module of the paper: attention (self, or cross to `context`) and a feed-forward network."""

    def __init__(self, settings: AlignerSettings, cross: bool) -> None:
        super().__init__()
        width = settings.width
        self.norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width) if cross else None
        self.attention = nn.MultiheadAttention(width, settings.heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, settings.expansion * width),
            nn.GELU(),
            nn.Linear(settings.expansion * width, width),
        )

    def forward(self, tokens: Tensor, hidden: Tensor, context: Tensor | None = None) -> Tensor:
        """Tokens [B, J, D]; `hidden` [B, J] names the keys that nothing may attend to."""
        query = self.norm(tokens)
        keys = query if self.context_norm is None else self.context_norm(context)
        tokens = tokens + self.attention(query, keys, keys, key_padding_mask=hidden, need_weights=False)[0]
        return tokens + self.feed_forward(tokens)


class Encoder(nn.Module):
    """Encoder_m of Eq. 1, Encoder_svd of Eq. 9: one token a skeleton node, position embeddings, self-attention."""

    def __init__(self, settings: AlignerSettings, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, settings.width)
        self.position = nn.Parameter(0.02 * torch.randn(NODES, settings.width))
        self.blocks = nn.ModuleList(AttentionBlock(settings, cross=False) for _ in range(settings.encoder_modules))

    def forward(self, nodes: Tensor, hidden: Tensor) -> Tensor:
        """Nodes [B, J, channels] -> tokens [B, J, D]."""
        tokens = self.project(nodes) + self.position
        for block in self.blocks:
            tokens = block(tokens, hidden)
        return tokens


class Aligner(nn.Module):
    """Predicts the transform of a driven pose that undoes its misalignment against the reference.

        aligner = Aligner(AlignerSettings())
        aligned = aligner(reference, driven).apply(driven[..., :2])

    The last layer starts at zero: before training `absolute` is the identity, `residual` the SVD alignment, and
    `weights` the SVD alignment in which elbows and wrists hardly count.
    """

    def __init__(self, settings: AlignerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder_m = Encoder(settings, channels=6)
        self.encoder_svd = Encoder(settings, channels=3)
        self.fusion = nn.ModuleList(AttentionBlock(settings, cross=True) for _ in range(settings.fusion_modules))
        self.head = nn.Sequential(
            nn.LayerNorm(settings.width),
            nn.Linear(settings.width, settings.width),
            nn.GELU(),
            nn.Linear(settings.width, 1 if settings.mode == "weights" else 5),
        )
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, reference: Tensor, driven: Tensor) -> Similarity:
        """Poses [B, 18, 3] (x, y, score) in image heights -> transforms [B] of the driven poses.

        Joints below score 0.3 or not finite are masked. A driven pose without a visible joint gets the identity.
        """
        points, target = driven[..., :2], reference[..., :2]
        seen, wanted = visible_joints(driven), visible_joints(reference)
        if self.settings.mode == "absolute":
            fitted = svd(reference, driven).apply(points)
            change = self._transform(self._tokens(points, target, fitted, seen, wanted), seen)
            return change.where(seen.any(-1), Similarity.identity(change.scale.shape, points.dtype, points.device))
        base = svd(reference, driven) if self.settings.mode == "residual" else svd_no_arms(reference, driven)
        fitted = base.apply(points)
        # What is left is predicted in the reference's own frame, its centre and size taken out, so that a pose's
        # place and size in the picture need not be learned.
        origin, size = _frame(target, wanted, fitted, seen)
        frame = Similarity.identity(size.shape, size.dtype, size.device)._replace(scale=size, translation=origin)
        into = frame.invert()
        fitted, target = into.apply(fitted), into.apply(target)
        # Encoder_m sees the driven pose as what the SVD left of the difference.
        difference = _CONTRAST * torch.where((seen & wanted)[..., None], fitted - target, 0)
        tokens = self._tokens(difference, target, fitted, seen, wanted)
        if self.settings.mode == "residual":
            change = self._transform(tokens, seen)
        else:
            change = fit_similarity(fitted, target, seen & wanted, weights=self._weights(tokens).to(fitted))
        return frame.compose(change).compose(into).compose(base).where(seen.any(-1), base)

    def _tokens(self, driven: Tensor, reference: Tensor, fitted: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
        """Eq. 1 and 9 on points [B, J, 2]: tokens [B, J, D]."""
        dtype = self.encoder_m.project.weight.dtype
        driven, reference, fitted = (
            torch.where(mask[..., None], points, 0).to(dtype)
            for points, mask in ((driven, seen), (reference, wanted), (fitted, seen))
        )
        seen_flag, wanted_flag = seen[..., None].to(dtype), wanted[..., None].to(dtype)
        hidden = _hidden(seen | wanted)
        f_m = self.encoder_m(torch.cat([reference, wanted_flag, driven, seen_flag], -1), hidden)
        tokens: Tensor = self.encoder_svd(torch.cat([fitted, seen_flag], -1), _hidden(seen))
        for block in self.fusion:
            tokens = block(tokens, hidden, f_m)
        return tokens

    def _transform(self, tokens: Tensor, seen: Tensor) -> Similarity:
        """Eq. 10: the head on the mean of the visible joints' tokens; zeros are the identity."""
        cosine, sine, log_scale, x, y = self.head(mean_point(tokens, seen)).float().unbind(-1)
        length = torch.hypot(1 + cosine, sine).clamp(min=1e-6)
        rotation = rotation_matrix((1 + cosine) / length, sine / length)
        return Similarity(rotation, torch.exp(log_scale), torch.stack([x, y], -1))

    def _weights(self, tokens: Tensor) -> Tensor:
        """Weights of the joints [B, J], above 0."""
        start = torch.zeros(NODES, device=tokens.device)
        start[list(_ARMS)] = _ARM_WEIGHT
        # A sine comes back from beyond its maximum; a tanh would be driven to where it has no gradient left.
        return torch.exp(start + _MOST * torch.sin(self.head(tokens)[..., 0].float()))


def alignment_loss(aligned: Tensor, truth: Tensor) -> Tensor:
    """Eq. 12: mean Euclidean distance, over visible joints and then over frames, in image heights.

    Args:
        aligned: points [..., 18, 2].
        truth: keypoints [..., 18, 3]; its visible joints count, and `aligned` must have them all. Frames without any
            are left out.
    """
    visible = visible_joints(truth)
    difference = torch.where(visible[..., None], aligned - truth[..., :2], 0)
    distance = torch.linalg.vector_norm(difference, dim=-1).sum(-1) / visible.sum(-1).clamp(min=1)
    return distance.sum() / visible.any(-1).sum().clamp(min=1)


def _hidden(visible: Tensor) -> Tensor:
    """Keys [B, J] to mask: those not visible; none where no node is visible, since softmax over nothing is NaN."""
    return ~visible & visible.any(-1, keepdim=True)


def _frame(target: Tensor, wanted: Tensor, fitted: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Centre [B, 2] and root-mean-square radius [B] of the reference, or of the driven pose where it has no joints."""
    has_target = wanted.any(-1)
    visible = torch.where(has_target[..., None], wanted, seen)
    points = torch.where(has_target[..., None, None], target, fitted)
    origin = mean_point(points, visible)
    radii = torch.where(visible[..., None], points - origin[..., None, :], 0).square().sum((-1, -2))
    size = (radii / visible.sum(-1).clamp(min=1)).sqrt()
    return origin, torch.where(size > 1e-3, size, 1)
