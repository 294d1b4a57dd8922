"""The frozen encoders: Stable Video Diffusion's VAE and CLIP image encoder, loaded, or random at small widths.

Shapes: N frames of one clip, C h w latent channels, height, width, H W picture, D CLIP embedding width.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.limits.checks import shown
from stableanimator.models.settings import EncoderSettings
from stableanimator.models.spatio_temporal import set_norm_groups
from stableanimator.paths import local_path, read_json

NORM_GROUPS = "norm_num_groups"
"""Where a VAE's config.json says how many groups its norms have; without it they have diffusers' 32."""
_DEEPEST, _WIDEST = 1000, 65_536
"""Layers and channels of a network, thirty times those of Stable Video Diffusion and more."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""OpenAI CLIP's normalisation, per RGB channel of [0, 1]."""
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class Encoders(nn.Module):
    """VAE and CLIP image encoder, frozen, in evaluation mode; float32 but for the setting `precision`.

    Raises:
        WeightsError: the folder of Stable Video Diffusion, or a part of it, or that of the tiny decoder is missing or
            unreadable, or the tiny decoder is another VAE's.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        if settings.svd is None:
            self.vae, self.clip = random_encoders(settings)
        else:
            self.vae = _load(AutoencoderKLTemporalDecoder, settings.svd, "vae")
            set_norm_groups(self.vae, getattr(self.vae.config, NORM_GROUPS, 32))
            self.clip = _load(CLIPVisionModelWithProjection, settings.svd, "image_encoder")
        self._dtype = getattr(torch, settings.precision)
        if self._dtype != torch.float32:
            for part in (self.vae.encoder, self.vae.quant_conv, self.clip):
                part.to(self._dtype)
        self.tiny = None if settings.tiny_decoder is None else self._load_tiny(settings.tiny_decoder)
        if settings.checkpoint_decoder:
            self.vae.enable_gradient_checkpointing()
        self.requires_grad_(False).eval()

    @property
    def factor(self) -> int:
        """Picture size over latent size."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    @property
    def embedding_width(self) -> int:
        """Width of the CLIP image embedding."""
        return int(self.clip.config.projection_dim)

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by, so that their spread is about 1."""
        return float(self.vae.config.scaling_factor)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of everything that latents and embeddings depend on: weights, sizes, scaling factor, precision.

        Where the weights lie, batch sizes and the decoding chunk do not enter.
        """
        digest = hashlib.sha256()
        sizes = {"factor": self.factor, "scaling": self.scaling_factor, "image": self.clip.config.image_size}
        sizes |= {"patch": self.clip.config.patch_size, "heads": self.clip.config.num_attention_heads}
        if self._dtype != torch.float32:  # said only then, so that what was encoded before keeps its fingerprint
            sizes |= {"precision": self.settings.precision}
        digest.update(json.dumps(sizes, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if name.startswith("tiny."):  # makes neither latents nor embeddings
                continue
            digest.update(f"{name}{list(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] -> latents, float32 [N, C, h, w]: posterior's mean times scaling factor.

        Raises:
            ValueError: height or width is not a multiple of the factor.
            ConfigError: activations left the range of `precision`.
        """
        if frames.shape[-2] % self.factor or frames.shape[-1] % self.factor:
            raise ValueError(f"pictures of {list(frames.shape[-2:])} are not multiples of the VAE's {self.factor}")
        batches = frames.to(self._dtype).split(self.settings.encode_batch)
        means = torch.cat([self.vae.encode(batch).latent_dist.mode() for batch in batches]).float()
        if self._dtype == torch.float16 and not bool(torch.isfinite(means).all()):
            raise ConfigError("encoders.precision: the VAE's encoder overflows in float16; set bfloat16 or float32")
        return means * self.scaling_factor

    def decode(self, latents: Tensor, frames_per_chunk: int | None = None) -> Tensor:
        """Latents [N, C, h, w] of consecutive frames of one clip -> pictures [N, 3, H, W], about [-1, 1], not clamped.

        Differentiable. Chunks start at frame 0; each is decoded jointly, on its own.

        Args:
            latents: scaled, as `encode` gives them.
            frames_per_chunk: by default the setting `decode_chunk`.
        """
        chunks = (latents.float() / self.scaling_factor).split(frames_per_chunk or self.settings.decode_chunk)
        return torch.cat([self.vae.decode(chunk, num_frames=len(chunk)).sample for chunk in chunks])

    def decode_tiny(self, latents: Tensor, _: int = 1) -> Tensor:
        """The same by the small decoder, each frame alone: [N, C, h, w] -> [N, 3, H, W], about [-1, 1], differentiable.

        Its latents have the scaling factor in them, as TAESD's; values beyond 3 are squeezed.

        Raises:
            ValueError: there is none (`tiny_decoder`).
        """
        if self.tiny is None:
            raise ValueError("there is no tiny decoder; set encoders.tiny_decoder")
        pictures: Tensor = self.tiny(latents.float())
        return pictures

    def _load_tiny(self, path: str) -> nn.Module:
        """The decoder alone, which fits the VAE."""
        folder = str(local_path(path))
        network = _pretrained(AutoencoderTiny, folder, "encoders.tiny_decoder")
        blocks = len(network.config.decoder_block_out_channels)
        found = (network.config.upsampling_scaling_factor ** (blocks - 1), network.config.latent_channels)
        if found != (self.factor, self.latent_channels):
            raise WeightsError(
                f"encoders.tiny_decoder: {folder} is for {found[0]} pixels a latent of {found[1]} channels, the VAE "
                f"has {self.factor} and {self.latent_channels}; name one that was distilled from this VAE"
            )
        return network.decoder

    @torch.no_grad()
    def embed(self, frames: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1] -> CLIP image embeddings, float32 [N, 1, D]."""
        pictures = clip_pixels(frames.float(), int(self.clip.config.image_size)).to(self._dtype)
        batches = pictures.split(self.settings.encode_batch)
        return torch.cat([self.clip(batch).image_embeds for batch in batches]).float().unsqueeze(1)


def clip_pixels(frames: Tensor, side: int) -> Tensor:
    """Stable Video Diffusion's preprocessing for CLIP: [N, 3, H, W] in [-1, 1] -> normalised [N, 3, side, side].

    A Gaussian against aliasing, then bicubic resizing with aligned corners and without regard to the aspect ratio, then
    CLIP's mean and standard deviation. Overshoots of the bicubic are kept.
    """
    height, width = frames.shape[-2:]
    smooth = _blur(_blur(frames, width / side, dim=-1), height / side, dim=-2)
    resized = functional.interpolate(smooth, size=(side, side), mode="bicubic", align_corners=True)
    mean = torch.tensor(CLIP_MEAN).to(resized).reshape(-1, 1, 1)
    deviation = torch.tensor(CLIP_DEVIATION).to(resized).reshape(-1, 1, 1)
    return ((resized + 1.0) / 2.0 - mean) / deviation


def _blur(x: Tensor, factor: float, dim: int) -> Tensor:
    """Gaussian of standard deviation (factor - 1) / 2, cut at twice that, along one dimension, edges reflected."""
    sigma = max((factor - 1.0) / 2.0, 0.001)
    taps = int(max(4.0 * sigma, 3.0)) | 1  # odd
    offsets = torch.arange(taps, dtype=x.dtype, device=x.device) - taps // 2
    kernel = torch.exp(-(offsets**2) / (2.0 * sigma**2))
    kernel = kernel / kernel.sum()
    rows = x.movedim(dim, -1)
    padded = functional.pad(rows.flatten(0, -2).unsqueeze(1), (taps // 2, taps // 2), mode="reflect")
    return functional.conv1d(padded, kernel.reshape(1, 1, -1)).reshape(rows.shape).movedim(-1, dim)


def save_encoders(
    folder: str | Path, vae: AutoencoderKLTemporalDecoder, clip: CLIPVisionModelWithProjection, half: bool
) -> None:
    """Write encoders as Stable Video Diffusion's folder has them, `vae/` and `image_encoder/`; `half` in 16 bits, under
    the names of its 16-bit variant. The modules are left in that precision."""
    variant, precision = ("fp16", torch.float16) if half else (None, torch.float32)
    for name, part in (("vae", vae), ("image_encoder", clip)):
        part.to(precision).save_pretrained(Path(folder) / name, variant=variant)


def tiny_autoencoder(factor: int, channels: int, width: int, blocks: int = 3) -> AutoencoderTiny:
    """A decoder of TAESD's kind for a VAE, at random; its encoder is a stub that nothing reads.

    Args:
        factor: the VAE's pixels a latent, a power of two: 8 gives TAESD's own four stages.
        channels: of a latent.
        width: of every layer; TAESD: 64.
        blocks: residual blocks of every stage but the last, which has one; TAESD: 3.
    """
    stages = factor.bit_length()
    return AutoencoderTiny(
        encoder_block_out_channels=(width,),
        num_encoder_blocks=(0,),
        decoder_block_out_channels=(width,) * stages,
        num_decoder_blocks=(*((blocks,) * (stages - 1)), 1),
        latent_channels=channels,
    )


def random_encoders(settings: EncoderSettings) -> tuple[AutoencoderKLTemporalDecoder, CLIPVisionModelWithProjection]:
    """Encoders with weights drawn from the seed, without touching the global random state."""
    vae, clip = settings.vae, settings.clip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        autoencoder = AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * len(vae.block_out_channels),
            block_out_channels=vae.block_out_channels,
            layers_per_block=vae.layers_per_block,
            latent_channels=vae.latent_channels,
            scaling_factor=vae.scaling_factor,
        )
        set_norm_groups(autoencoder, vae.norm_groups)
        autoencoder.register_to_config(**{NORM_GROUPS: vae.norm_groups})
        image_encoder = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=clip.hidden_size,
                intermediate_size=clip.intermediate_size,
                num_hidden_layers=clip.layers,
                num_attention_heads=clip.heads,
                image_size=clip.image_size,
                patch_size=clip.patch_size,
                projection_dim=clip.projection_dim,
                hidden_act="gelu",
            )
        )
    return autoencoder, image_encoder


def _load(kind: Any, svd: str, part: str) -> Any:
    """One part of Stable Video Diffusion's folder, in float32, never from the network."""
    folder = os.path.join(local_path(svd), part)
    if not os.path.isdir(folder):
        raise WeightsError(
            f"encoders.svd: {folder} is missing; it must be the folder of Stable Video Diffusion img2vid-xt with vae/ "
            "and image_encoder/, or leave encoders.svd out for random encoders"
        )
    names = os.listdir(folder)
    only_half = any(".fp16." in name for name in names) and not any(
        name.endswith("model.safetensors") for name in names
    )
    variant = "fp16" if only_half else None
    return _pretrained(kind, folder, "encoders.svd", variant)


def _pretrained(kind: Any, folder: str, setting: str, variant: str | None = None) -> Any:
    """A network of diffusers or transformers, in float32, from safetensors alone: no pickle is read."""
    try:
        described = read_json(Path(folder) / "config.json")
        if not isinstance(described, dict):
            raise ValueError("its config.json does not describe a network")
        for name, value in described.items():
            _check_size(name, value)
        with warnings.catch_warnings(action="ignore"):  # of a folder that is refused
            return kind.from_pretrained(
                folder, local_files_only=True, variant=variant, torch_dtype=torch.float32, use_safetensors=True
            )
    except Exception as error:  # both libraries raise of every kind for a damaged description
        raise WeightsError(f"{setting}: {folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from error


def _check_size(name: str, value: Any) -> None:
    """Refuse a network of more layers or channels than any has: it would be built before its weights are looked at."""
    for each in value if isinstance(value, list) else [value]:
        number = isinstance(each, int | float) and not isinstance(each, bool)
        deep = "layer" in name or ("block" in name and "channels" not in name)
        if number and not abs(each) <= (_DEEPEST if deep else _WIDEST):
            raise ValueError(f"its config.json has {name} {shown(each)}")
    if isinstance(value, list) and len(value) > _DEEPEST:
        raise ValueError(f"its config.json has {len(value)} values of {name}")
