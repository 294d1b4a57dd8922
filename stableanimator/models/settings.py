"""Settings of the networks: the denoiser's sizes, and which encoders.

Importable without torch and diffusers, which take seconds: a typo in a configuration is answered before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from stableanimator.limits.checks import (
    LARGEST,
    Bucket,
    FramesPerSecond,
    NotNegative,
    Positive,
    PositiveInt,
    Range,
    Seed,
    checked,
)
from stableanimator.limits.places import AbsolutePath
from stableanimator.perception.settings import SkeletonStyle

Precision = Literal["float32", "bfloat16", "float16"]

IdFusion = Literal["distribution", "addition", "norm", "off"]
"""How face and image features meet (Table V): Eq. 14, plain addition, normalised face, or no face at all."""

Branches = Literal["auto", "together", "apart"]
"""How the branches with and without conditions run: as one batch of two, one after the other in half the memory, or
whichever suits the device."""

DownBlock = Literal["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"]

UpBlock = Literal["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"]


def check_widths(widths: tuple[int, ...], groups: int) -> None:
    """Raise ValueError unless group norms of `groups` fit levels of these widths. diffusers builds blocks with 32."""
    if not widths or any(width % 32 for width in widths):
        raise ValueError(f"block_out_channels {widths}: each must be a multiple of 32")
    if 32 % groups:
        raise ValueError(f"norm_groups must divide 32, not {groups}")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class UNetSettings:
    """Sizes of the U-Net, one value a level from fine to coarse; the defaults are Stable Video Diffusion img2vid-xt."""

    latent_channels: PositiveInt = 4
    """Channels of a latent; the U-Net reads twice as many, noisy frame and reference."""
    block_out_channels: tuple[PositiveInt, ...] = (320, 640, 1280, 1280)
    """Channels; multiples of 32 and of the heads."""
    down_block_types: tuple[DownBlock, ...] = (
        "CrossAttnDownBlockSpatioTemporal",
        "CrossAttnDownBlockSpatioTemporal",
        "CrossAttnDownBlockSpatioTemporal",
        "DownBlockSpatioTemporal",
    )
    """diffusers' names of the blocks on the way down, fine to coarse."""
    up_block_types: tuple[UpBlock, ...] = (
        "UpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
    )
    """diffusers' names of the blocks on the way up, coarse to fine."""
    layers_per_block: Annotated[int, Range(1, 1000)] = 2
    """Residual blocks on the way down; the way up has one more."""
    transformer_layers_per_block: Annotated[int, Range(1, 1000)] = 1
    """Transformer blocks after each residual block."""
    num_attention_heads: tuple[PositiveInt, ...] = (5, 10, 20, 20)
    """Attention heads."""
    cross_attention_dim: PositiveInt = 1024
    """Width of the context: the CLIP image embedding's."""
    addition_time_embed_dim: Annotated[int, Range(2, LARGEST)] = 256
    """Width of the embedding of each micro-condition; even."""
    norm_groups: Annotated[int, Range(1, 32)] = 32
    """Groups of the group norms. At narrow levels 32 groups have one or two channels each, and little is learnt."""

    def __post_init__(self) -> None:
        levels = len(self.block_out_channels)
        lengths = (len(self.down_block_types), len(self.up_block_types), len(self.num_attention_heads))
        if levels < 1 or any(length != levels for length in lengths):
            raise ValueError(
                f"block_out_channels has {levels} levels; down_block_types, up_block_types and num_attention_heads "
                f"must have as many, not {lengths}"
            )
        check_widths(self.block_out_channels, self.norm_groups)
        for channels, heads in zip(self.block_out_channels, self.num_attention_heads, strict=True):
            if channels % heads:
                raise ValueError(f"{channels} channels with {heads} heads: must be a multiple of the heads")
        if self.addition_time_embed_dim % 2:
            raise ValueError("addition_time_embed_dim must be even")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class FaceEncoderSettings:
    """Sizes of the FaceEncoder; the defaults are the released network's."""

    embedding_width: PositiveInt = 512
    """Width of the face embedding: 512 for antelopev2 and buffalo_l."""
    tokens: PositiveInt = 4
    """Face tokens. Released: 4."""
    cross_attention_dim: PositiveInt = 1024
    """Token width: that of the U-Net's context and of the CLIP image embedding."""
    layers: Annotated[int, Range(1, 1000)] = 4
    """Attention blocks. Released: 4."""
    heads: PositiveInt = 16
    """Attention heads. Released: 16."""
    head_dim: PositiveInt = 64
    """Width of a head. Released: 64."""
    feed_forward: PositiveInt = 4
    """Width of the feed-forward layers, in token widths. Released: 4."""
    refine: bool = True
    """Whether the tokens are refined by the image embedding; off is Table II's "w/o Face Encoder"."""
    residual: bool = False
    """Whether the unrefined tokens are added to the refined ones. Released: off, so the tokens start at zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class PoseNetSettings:
    """Widths of the PoseNet; the defaults are the released network's."""

    widths: tuple[PositiveInt, ...] = (16, 32, 64)
    """Channels after each halving of height and width. Their number must give the VAE's factor: 3 for 8."""
    final_width: PositiveInt = 128
    """Channels before the projection to the U-Net's width."""

    def __post_init__(self) -> None:
        if not self.widths:
            raise ValueError("widths must name at least one stage")

    @property
    def factor(self) -> int:
        """Picture size over feature size."""
        return 2 ** len(self.widths)


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class ModelSettings:
    """The trained networks; the defaults are the released sizes."""

    unet: UNetSettings = field(default_factory=UNetSettings)
    """The U-Net."""
    face_encoder: FaceEncoderSettings = field(default_factory=FaceEncoderSettings)
    """The face encoder."""
    pose_net: PoseNetSettings = field(default_factory=PoseNetSettings)
    """The pose network."""
    id_fusion: IdFusion | Literal[False] = "distribution"
    """How face and image features meet: Eq. 14, or Table V's `addition` and `norm`, or `off`: no ID adapters."""
    reference_gain: Positive = 1.0 / 0.18215
    """What the reference latent is multiplied by before the U-Net reads it. Stable Video Diffusion was trained on
    references without its VAE's scaling factor; shards and `Conditioning` carry all latents with it."""

    skeleton: SkeletonStyle = "released"
    """How the skeletons are drawn that PoseNet reads. `ours` for pictures with a shorter side well below 512, in which
    the released lines vanish. A model folder records it, so that inference draws what was trained on."""

    def __post_init__(self) -> None:
        if self.id_fusion is False:
            object.__setattr__(self, "id_fusion", "off")  # YAML reads an unquoted `off` as false
        if self.face_encoder.cross_attention_dim != self.unet.cross_attention_dim:
            raise ValueError(
                f"face_encoder.cross_attention_dim ({self.face_encoder.cross_attention_dim}) must equal "
                f"unet.cross_attention_dim ({self.unet.cross_attention_dim})"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class MicroConditions:
    """Stable Video Diffusion's three numbers beside the noise level."""

    fps_id: Annotated[float, Range(above=-1, high=1000)] = 6.0
    """Frames a second less one. Released: 6."""
    motion_bucket: Bucket = 127.0
    """How much motion, 0 to 255. Released: 127."""
    reference_noise: NotNegative = 0.02
    """Standard deviation of the noise on the reference picture, which lies in [-1, 1]. Released: 0.02."""

    @property
    def ids(self) -> tuple[float, float, float]:
        """In Stable Video Diffusion's order."""
        return self.fps_id, self.motion_bucket, self.reference_noise


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class FrameRates:
    """At which frame rates a denoiser was trained, and what it was told of them. A model folder records it, so that
    inference drives it by the same; the defaults are the released weights'."""

    fps: tuple[FramesPerSecond, ...] = (7.0,)
    """Frames a second of the samples, the densest first. Released: 7, by their `fps_id`."""
    fps_id: NotNegative | None = 6.0
    """The one that it was told of all samples; None: that of each. Released: 6, whatever the spacing."""

    def __post_init__(self) -> None:
        if not self.fps:
            raise ValueError("fps must name at least one rate")

    def id_at(self, fps: float) -> float:
        """The micro-condition `fps_id` of a clip of so many frames a second: Stable Video Diffusion's, one less."""
        return fps - 1.0 if self.fps_id is None else self.fps_id


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class VAESettings:
    """Sizes of a VAE that starts at random; the defaults are Stable Video Diffusion's."""

    block_out_channels: tuple[PositiveInt, ...] = (128, 256, 512, 512)
    """Channels, fine to coarse, multiples of 32; every level but the last halves height and width."""
    layers_per_block: PositiveInt = 2
    """Residual blocks a level."""
    latent_channels: PositiveInt = 4
    """Channels of a latent."""
    scaling_factor: Positive = 0.18215
    """What latents are multiplied by, so that their spread is about 1."""
    norm_groups: Annotated[int, Range(1, 32)] = 32
    """Groups of the group norms, as for the U-Net."""

    def __post_init__(self) -> None:
        check_widths(self.block_out_channels, self.norm_groups)


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class CLIPSettings:
    """Sizes of a random CLIP image encoder; the defaults are ViT-H/14, Stable Video Diffusion's."""

    hidden_size: PositiveInt = 1280
    """Token width."""
    intermediate_size: PositiveInt = 5120
    """Width of the feed-forward layers."""
    layers: PositiveInt = 32
    """Transformer layers."""
    heads: PositiveInt = 16
    """Attention heads; divides hidden_size."""
    image_size: PositiveInt = 224
    """Side of the picture it reads, pixels."""
    patch_size: PositiveInt = 14
    """Side of a patch, pixels; divides image_size."""
    projection_dim: PositiveInt = 1024
    """Width of the embedding: the U-Net's cross_attention_dim."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.heads or self.image_size % self.patch_size:
            raise ValueError("heads must divide hidden_size, and patch_size image_size")


@dataclass(frozen=True, kw_only=True, slots=True)
@checked
class EncoderSettings:
    """Which encoders, and how many frames at a time."""

    svd: AbsolutePath | None = None
    """Folder of Stable Video Diffusion img2vid-xt, with `vae/` and `image_encoder/`. None: random weights of the sizes
    below, good for running every line of code and for nothing else."""
    vae: VAESettings = field(default_factory=VAESettings)
    """Sizes of the random VAE."""
    clip: CLIPSettings = field(default_factory=CLIPSettings)
    """Sizes of the random CLIP image encoder."""
    seed: Seed = 0
    """Seed of the random weights: the same seed gives the same encoders on every machine."""
    precision: Precision = "float32"
    """Of the VAE's encoder and of CLIP; the VAE's decoder is always float32. Half precision changes latents and
    embeddings by rounding, and the fingerprint with them: shards, training and animation must agree. Stable Video
    Diffusion's VAE asks for float32 (`force_upcast`), because its activations can leave the range of float16; bfloat16
    has the range of float32."""
    encode_batch: PositiveInt = 8
    """Pictures encoded at a time; changes memory, not results."""
    decode_chunk: PositiveInt = 4
    """Frames decoded together. The decoder mixes the frames of a chunk, so it changes results; face optimisation
    decodes in the same chunks. Released: 4."""
    checkpoint_decoder: bool = True
    """Compute the decoder's activations again where face optimisation goes back through it: half as many operations
    more, and memory that an 80 GB GPU has at 576x1024 (docs/model.md). The results are the same."""
    tiny_decoder: AbsolutePath | None = None
    """Folder of a `diffusers.AutoencoderTiny` (`config.json` and weights) that was distilled from this VAE: TAESD for
    Stable Video Diffusion's; `jobs.distill_decoder` makes one for any. Face optimisation with `decoder: tiny` takes its
    gradients; nothing else reads it, and what is encoded does not depend on it."""
