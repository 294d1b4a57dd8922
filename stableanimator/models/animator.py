"""The denoiser: U-Net, PoseNet and FaceEncoder assembled, and EDM preconditioning around them.

    predicted = animator.denoise(x, sigma, conditioning)          # one noise level, as in training

    prepared = animator.prepare(conditioning)                     # many noise levels, as in sampling: FaceEncoder and
    predicted = animator.denoise(x, sigma, prepared)              # PoseNet do not depend on the level and run once

Shapes: B clips, F frames, C h w latent channels, height, width, H W picture, T context tokens, D context width, E face
embedding width, C0 channels after the U-Net's first convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from stableanimator.diffusion.edm import preconditioning
from stableanimator.models.face_encoder import FaceEncoder
from stableanimator.models.pose_net import PoseNet
from stableanimator.models.settings import MicroConditions, ModelSettings
from stableanimator.models.unet import build_unet, run_unet

CONDITIONS = ("clip", "reference", "face", "pose")
"""What can be dropped, the columns of `Conditioning.keep`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """Everything that one batch of clips is made from."""

    reference_latent: Tensor
    """[B, C, h, w] reference picture (noise-augmented), mean of the VAE times its scaling factor."""
    clip_embedding: Tensor
    """[B, 1, D] CLIP image embedding of the reference."""
    face_embedding: Tensor
    """[B, E] face embedding of the reference, as ArcFace's network returns it (norm about 20)."""
    pose: Tensor
    """[B, F, 3, H, W] skeleton pictures in [-1, 1], black is -1."""
    added_time_ids: Tensor
    """[B, 3] micro-conditions, from `added_time_ids`."""
    keep: Tensor | None = None
    """[B, 4] bool, columns of `CONDITIONS`: False replaces that condition by zeros. None keeps all."""

    def to(self, device: torch.device | str) -> Conditioning:
        """On another device."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in values.items() if value is not None})

    def kept(self, condition: str, value: Tensor) -> Tensor:
        """`value` [B, ...] with zeros in the clips that drop `condition`."""
        if self.keep is None:
            return value
        keep = self.keep[:, CONDITIONS.index(condition)].to(value.device)
        return value * keep.to(value.dtype).reshape(-1, *[1] * (value.ndim - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What the U-Net reads of a `Conditioning`, the same at every noise level; made by `Animator.prepare`."""

    reference: Tensor
    """[B, C, h, w] reference latents times `reference_gain`, float32."""
    context: Tensor
    """[B, T, D] image token, then face tokens, in the precision of the FaceEncoder."""
    pose_features: Tensor
    """[B, F, C0, h, w] what is added after the first convolution, in the precision of the PoseNet."""
    added_time_ids: Tensor
    """[B, 3] micro-conditions."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.context.device

    def window(self, frames: Tensor | slice) -> Prepared:
        """The same conditions for some of the frames: indices [n] or a slice."""
        return replace(self, pose_features=self.pose_features[:, frames])

    def unconditional(self) -> Prepared:
        """Guidance's other branch, as released: no image, no reference, no face, no pose."""
        return replace(
            self,
            reference=torch.zeros_like(self.reference),
            context=torch.zeros_like(self.context),
            pose_features=torch.zeros_like(self.pose_features),
        )

    @staticmethod
    def join(parts: Sequence[Prepared]) -> Prepared:
        """The clips of all parts as one batch, in order; the parts have the same frames and sizes."""
        names = [each.name for each in fields(Prepared)]
        return Prepared(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def drop_conditions(
    conditioning: Conditioning, probability: float, generator: torch.Generator | None = None
) -> Conditioning:
    """Conditioning dropout of training, as released (after InstructPix2Pix 3.2.1).

    One draw p a clip: the image embedding is dropped for p < 2q, the reference latent for q <= p < 3q, so each alone
    and both together with probability q each. The face tokens are made before, from the undropped embedding.
    """
    clips = len(conditioning.reference_latent)
    p = torch.rand(clips, generator=generator)
    keep = torch.ones(clips, len(CONDITIONS), dtype=torch.bool)
    keep[:, CONDITIONS.index("clip")] = p >= 2 * probability
    keep[:, CONDITIONS.index("reference")] = (p < probability) | (p >= 3 * probability)
    keep = keep.to(conditioning.pose.device)
    return replace(conditioning, keep=keep if conditioning.keep is None else keep & conditioning.keep)


def added_time_ids(micro: MicroConditions, clips: int) -> Tensor:
    """The U-Net's micro-conditions for a batch, float32 [B, 3]."""
    return torch.tensor([micro.ids]).repeat(clips, 1)


class Animator(nn.Module):
    """StableAnimator++'s denoiser D(x; sigma).

    Args:
        settings: sizes and ablations. The weights start at random; `stableanimator.models.checkpoints` loads others.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet = build_unet(settings.unet, settings.face_encoder.tokens, settings.id_fusion or "off")
        self.pose_net = PoseNet(settings.pose_net, settings.unet.block_out_channels[0])
        self.face_encoder = FaceEncoder(settings.face_encoder)
        if settings.id_fusion == "off":
            self.face_encoder.requires_grad_(False)  # nothing reads its tokens

    def forward(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """`denoise`, under the name by which wrappers for distributed training call a module."""
        return self.denoise(x, sigma, conditioning)

    def prepare(self, conditioning: Conditioning) -> Prepared:
        """Run FaceEncoder and PoseNet; differentiable."""
        reference = conditioning.kept("reference", conditioning.reference_latent.float())
        return Prepared(
            reference=reference * self.settings.reference_gain,
            context=self.context(conditioning),
            pose_features=self.pose_features(conditioning),
            added_time_ids=conditioning.added_time_ids,
        )

    def denoise(self, x: Tensor, sigma: Tensor, conditioning: Conditioning | Prepared) -> Tensor:
        """EDM Eq. 7: D(x; sigma) = c_skip x + c_out F(c_in x; c_noise).

        Levels, scales and the sum are float32 whatever the precision of the weights.

        Args:
            x: noisy latents [B, F, C, h, w], scaled.
            sigma: noise levels [B], or one for all.
            conditioning: for the same clips and frames, prepared or not.

        Returns:
            The predicted clean latents, float32 [B, F, C, h, w].

        Raises:
            ValueError: the skeleton pictures do not have the latents' clips, frames and size.
        """
        prepared = conditioning if isinstance(conditioning, Prepared) else self.prepare(conditioning)
        clips, frames, _, height, width = x.shape
        features = prepared.pose_features
        given, wanted = [*features.shape[:2], *features.shape[3:]], [clips, frames, height, width]
        if given != wanted:
            raise ValueError(
                f"skeleton pictures for latents [clips, frames, height, width] {given} do not fit latents {wanted}"
            )
        x, sigma = x.float(), sigma.to(x.device).float().expand(clips)
        c = preconditioning(sigma)
        c_skip, c_out, c_in = (value.reshape(-1, 1, 1, 1, 1) for value in (c.c_skip, c.c_out, c.c_in))
        output = run_unet(
            self.unet,
            torch.cat([c_in * x, prepared.reference.unsqueeze(1).expand_as(x)], dim=2),
            c.c_noise,
            prepared.context,
            prepared.added_time_ids,
            features,
        )
        return c_skip * x + c_out * output

    def context(self, conditioning: Conditioning) -> Tensor:
        """What cross-attention reads: image token, then face tokens (none where `id_fusion` is off), [B, T, D]."""
        dtype = self.face_encoder.norm.weight.dtype
        image = conditioning.clip_embedding.to(dtype)
        tokens = [conditioning.kept("clip", image)]
        if self.settings.id_fusion != "off":
            face = self.face_encoder(conditioning.face_embedding.to(dtype), image)
            tokens.append(conditioning.kept("face", face))
        return torch.cat(tokens, dim=1)

    def pose_features(self, conditioning: Conditioning) -> Tensor:
        """PoseNet's features of every frame [B, F, C0, h, w], zeros where the pose is dropped."""
        pictures = conditioning.pose.to(self.pose_net.scale.dtype)
        features = self.pose_net(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        return conditioning.kept("pose", features)
