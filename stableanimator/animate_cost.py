"""What an animation with face optimisation costs in each mode, counted on tensors without data.

The modes are what is decoded for the gradient (whole frames, or a window around the face) and what decodes it (the VAE,
or a small decoder). Nothing is loaded and nothing is run: the full size takes half a minute anywhere.

F frames   h w height, width of a latent   C its channels
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from stableanimator.animate import Models, idle_networks
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.hjb import Decode, face_loss
from stableanimator.diffusion.sampler import karras_sigmas
from stableanimator.diffusion.settings import DecoderName, Region
from stableanimator.media.framing import Size
from stableanimator.models.animator import Animator, Conditioning
from stableanimator.models.counting import count_flops, fake_tensors, peak_bytes
from stableanimator.models.encoders import Encoders, tiny_autoencoder
from stableanimator.models.settings import EncoderSettings, FrameRates, ModelSettings
from stableanimator.perception.arcface import CROP_SIZE

TAESD = (64, 3)
"""Width, and residual blocks of a stage."""
SEEN = 1.6
"""Sides of what the recogniser sees, in sides of the face's box."""
_DECODED = 2
"""Times that each frame of a long drive is decoded, by chunks that overlap by half."""
_LATENTS = 6
"""Arrays of latents of a long drive at one time: the sample, and what one step of second order makes of it."""
MODES: tuple[tuple[Region, DecoderName], ...] = (
    ("frame", "exact"),
    ("face", "exact"),
    ("frame", "tiny"),
    ("face", "tiny"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateCost:
    """One animation of one window of frames of one person, in one mode. Memory is of the whole process on a GPU,
    weights included; a longer drive needs no more of it."""

    region: Region
    decoder: DecoderName
    sampling_bytes: int
    """Most at one time while conditions are made and frames are sampled, face optimisation left out."""
    optimising_bytes: int
    """While a step is optimised."""
    decoding_bytes: int
    """While the final frames are decoded."""
    sampling_flops: int
    """Of the denoiser, all steps."""
    optimising_flops: int
    """Of face optimisation, all steps."""
    decoding_flops: int
    """Of the final frames."""
    frame_flops: float
    """Of each frame more, in a drive that is longer than a window: overlapping windows, and chunks of decoding."""
    frame_bytes: int
    """Of each of a longer drive's frames in main memory or in the temporary folder: latents, skeleton and picture."""

    @property
    def peak_bytes(self) -> int:
        """The most of all."""
        return max(self.sampling_bytes, self.optimising_bytes, self.decoding_bytes)


def animate_costs(
    model: ModelSettings,
    encoders: EncoderSettings,
    settings: AnimateSettings,
    size: Size,
    precision: torch.dtype,
    face_share: float = 10 / 72,
    recogniser: Callable[[], nn.Module] | None = None,
    tiny: tuple[int, int] = TAESD,
) -> list[AnimateCost]:
    """Of a window of frames, or `settings.max_frames` where these are fewer, for all `MODES`.

    Args:
        model: sizes of the denoiser.
        encoders: sizes of VAE and image encoder; `svd` and `tiny_decoder` are not read.
        settings: sampler and face optimisation; region and decoder are those of the modes.
        size: height and width in pixels.
        precision: of the denoiser's weights.
        face_share: side of the face's box in every frame over the picture's shorter side.
        recogniser: makes one that reads [n, 3, 112, 112]; None: it is not counted.
        tiny: width of the small decoder, and residual blocks of a stage.
    """
    steps = _steps(settings)
    with fake_tensors(precision):
        animator = Animator(model).eval()
        torch.set_default_dtype(torch.float32)
        coder = Encoders(replace(encoders, svd=None, tiny_decoder=None))
        coder.tiny = tiny_autoencoder(coder.factor, coder.latent_channels, *tiny).decoder.requires_grad_(False)
        arcface = recogniser().eval().requires_grad_(False) if recogniser else None
        counts = _Counts(Models(animator=animator, rates=FrameRates(), encoders=coder), settings, size, arcface, *steps)
        return [counts.cost(region, decoder, face_share) for region, decoder in MODES]


def _steps(settings: AnimateSettings) -> tuple[int, int]:
    """Evaluations of the denoiser, by one branch of guidance; and steps that face optimisation changes."""
    sampler, hjb = settings.sampler, settings.hjb
    levels = karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)[:-1].tolist()
    optimised = [hjb.sigma_min <= level <= hjb.sigma_max for level in levels]
    if not sampler.second_order:
        return len(levels), sum(optimised)
    corrected = [hjb.correction != "euler" or not each for each in optimised[:-1]]
    return len(levels) + sum(corrected), sum(optimised)


class _Counts:
    """What all modes share is counted once. `passes` and `optimised` are `_steps`'s."""

    def __init__(
        self,
        models: Models,
        settings: AnimateSettings,
        size: Size,
        arcface: nn.Module | None,
        passes: int,
        optimised: int,
    ) -> None:
        self.models, self.settings, self.arcface, self.optimised = models, settings, arcface, optimised
        coder = models.encoders
        self.frames = frames = min(settings.window, settings.max_frames or settings.window)
        self.pixels = 3 * size[0] * size[1]
        self.latent = (coder.latent_channels, size[0] // coder.factor, size[1] // coder.factor)
        picture = torch.empty(1, 3, *size)
        branches = 1 if settings.guidance == (1.0, 1.0) else 2
        at_once = 1 if settings.branches == "apart" else branches
        with torch.no_grad():
            self.denoising = peak_bytes(lambda: denoise(models.animator, frames, size, at_once))
            self.sampling = branches * passes * count_flops(lambda: denoise(models.animator, frames, size))
            self.encoding = max(peak_bytes(lambda: coder.encode(picture)), peak_bytes(lambda: coder.embed(picture)))
            everything = torch.empty(frames, *self.latent)
            self.decoding = peak_bytes(lambda: coder.decode(everything))
            self.decoded = count_flops(lambda: coder.decode(everything))

    def cost(self, region: Region, decoder: DecoderName, face_share: float) -> AnimateCost:
        """In one mode."""
        hjb, coder = replace(self.settings.hjb, region=region, decoder=decoder), self.models.encoders
        settings = replace(self.settings, hjb=hjb, face_optimisation=True)
        decode: Decode = coder.decode if decoder == "exact" else coder.decode_tiny
        frames, (channels, height, width) = self.frames, self.latent
        window = height, width
        if region == "face":
            side = math.ceil(SEEN * face_share * min(height, width)) + 2 * hjb.region_margin
            window = min(side, height), min(side, width)
        chunk = torch.empty(min(coder.settings.decode_chunk, frames), channels, *window)
        chunks = math.ceil(frames / len(chunk))
        memory = peak_bytes(partial(self._iteration, decode, chunk, True))
        with torch.no_grad():
            forward = count_flops(partial(self._iteration, decode, chunk, False))
        # Besides its iterations each optimised step tells the losses of two samples.
        flops = hjb.optimisation_steps * count_flops(partial(self._iteration, decode, chunk, True)) + 2 * forward
        flops *= chunks
        if region == "face" and decoder == "exact" and hjb.region_statistics:
            memory, flops = max(memory, self.decoding), flops + self.decoded
        flops, latents = self.optimised * flops, 4 * channels * height * width
        kept = {stage: self._weights(settings, stage) for stage in ("sampling", "decoding")}
        return AnimateCost(
            region=region,
            decoder=decoder,
            sampling_bytes=max(self._weights(settings, None) + self.encoding, kept["sampling"] + self.denoising),
            # Gradient and both moments of Adam beside the sample.
            optimising_bytes=kept["sampling"] + memory + 5 * frames * latents,
            decoding_bytes=kept["decoding"] + self.decoding,
            sampling_flops=self.sampling,
            optimising_flops=flops,
            decoding_flops=self.decoded,
            frame_flops=self.sampling / (settings.window - settings.overlap)
            + (flops + _DECODED * self.decoded) / frames,
            frame_bytes=_LATENTS * latents + 2 * self.pixels,
        )

    def _weights(self, settings: AnimateSettings, stage: str | None) -> int:
        """Bytes of the networks that are on the GPU in a stage."""
        coder = self.models.encoders
        tiny = coder.tiny if settings.hjb.decoder == "tiny" else None
        networks = [self.models.animator, coder.vae, coder.clip, tiny, self.arcface]
        idle = idle_networks(self.models, settings, stage) if stage and settings.offload else []  # type: ignore[arg-type]
        return sum(_bytes(network) for network in networks if network) - sum(map(_bytes, idle))

    def _iteration(self, decode: Decode, latents: Tensor, gradient: bool) -> None:
        """Of one chunk, with a face in every frame of it."""
        leaf = latents.clone().requires_grad_(gradient)
        pictures = decode(leaf, len(leaf))
        crops = functional.interpolate(pictures, (CROP_SIZE, CROP_SIZE), mode="bilinear")
        loss = crops.mean()
        if self.arcface is not None:
            found = self.arcface(crops)
            loss = face_loss(found, torch.empty(found.shape[1:])).mean()
        if gradient:
            loss.backward()  # the counter knows no `autograd.grad`


def _bytes(network: nn.Module) -> int:
    return sum(each.numel() * each.element_size() for each in (*network.parameters(), *network.buffers()))


def blank_clip(model: ModelSettings, frames: int, size: Size, clips: int = 1) -> tuple[Tensor, Tensor, Conditioning]:
    """Noisy latents [B, F, C, h, w], a noise level [B] and conditions of B clips; uninitialised."""
    height, width = size
    factor, channels = model.pose_net.factor, model.unet.latent_channels
    h, w = height // factor, width // factor

    def blank(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32)

    conditioning = Conditioning(
        reference_latent=blank(clips, channels, h, w),
        clip_embedding=blank(clips, 1, model.unet.cross_attention_dim),
        face_embedding=blank(clips, model.face_encoder.embedding_width),
        pose=blank(clips, frames, 3, height, width),
        added_time_ids=blank(clips, 3),
    )
    return blank(clips, frames, channels, h, w), blank(clips), conditioning


def denoise(animator: Animator, frames: int, size: Size, clips: int = 1) -> Tensor:
    """One forward pass."""
    return animator.denoise(*blank_clip(animator.settings, frames, size, clips))
