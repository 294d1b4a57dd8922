"""Reference picture + driving poses -> frames: the one inference path.

    models = Models(animator=..., rates=..., aligner=..., encoders=..., arcface=...)
    reference = Reference(...)
    driven = aligned(reference, Driving(...), AnimateSettings(), models.aligner)
    animation = animate(models, reference, driven, AnimateSettings())
    write_mp4("out.mp4", animation.frames, driven.fps)

Poses are aligned to the reference, which is cut around its people, and drawn; reference and skeletons become
conditions; EDM's sampler runs the guided denoiser, with HJB face optimisation as its hook, of a long drive by
overlapping windows (`stableanimator.diffusion.long_video`); the latents are decoded in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stableanimator.alignment.aligner import Aligner
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.hjb import FaceOptimisation, FaceOptimisationReport
from stableanimator.diffusion.long_video import (
    FaceOptimisationInParts,
    WindowedDenoiser,
    fused,
    part_by_part,
    windows,
)
from stableanimator.diffusion.sampler import at_once, initial_noise, karras_sigmas, sample
from stableanimator.driving import align_driving, joints_in_picture, skeleton_pictures
from stableanimator.errors import ConfigError, require_finite
from stableanimator.inference.conditions import ClipConditions
from stableanimator.inference.cut import framing_of as framing_of
from stableanimator.inference.inputs import Animation, Driven, Driving, Models, Reference
from stableanimator.inference.inputs import ReferenceFace as ReferenceFace
from stableanimator.inference.optimised_faces import face_hook
from stableanimator.media.frame_store import room
from stableanimator.media.tensors import to_pictures
from stableanimator.models.guidance import guidance_scales, guided
from stableanimator.perception.person_boxes import inside, only


@torch.no_grad()
def aligned(
    reference: Reference, driving: Driving, settings: AnimateSettings, aligner: Aligner | None = None
) -> Driven:
    """Driven poses brought to the reference, and both into the frame of the animation.

    The reference is cut around the people who are animated, or padded (`framing_of`), and the driving video around the
    same part of its picture, so that a clip that drives itself stays where it is.

    Raises:
        ValueError: other numbers of people, or alignment `learned` without an aligner.
    """
    people = driving.keypoints.shape[1]
    if people < 1 or len(reference.keypoints) != people:
        raise ValueError(f"{len(reference.keypoints)} people in the reference are driven by {people}")
    framing = framing_of(reference, settings.sizes, settings.fit, settings.multiple)
    source = (driving.height, driving.width)
    framings = (framing.like(source), framing)
    scope, name = settings.alignment_scope, settings.alignment
    poses = align_driving(driving.keypoints, reference.keypoints, framings, name, scope, aligner, driving.misalignment)
    driven = Driven(poses=poses, fps=driving.fps, framing=framing, joints_in_picture=0.0)
    shown = only(driven.poses_in_frames, inside(driving.keypoints, source))
    share = joints_in_picture(shown, reference.keypoints, framing.source, framing.kept.size)
    return replace(driven, joints_in_picture=share)


@dataclass(kw_only=True)
class Sampled:
    """A clip as latents; its pictures are decoded when they are asked for.

    clip = sampled(models, reference, driven, settings)
    write_mp4("out.mp4", clip.frames(), driven.fps)       # of any length, a few pictures in memory at a time
    """

    models: Models
    settings: AnimateSettings
    latents: Tensor
    """[F, C, h, w], scaled."""
    skeletons: npt.NDArray[np.uint8]
    """[F, H, W, 3] what the model was driven by; of a long clip in a file."""
    inner: tuple[slice, slice]
    """Rows and columns of the decoded pictures that are no padding: those that leave."""
    hook: FaceOptimisation | FaceOptimisationInParts | None
    report: FaceOptimisationReport | None
    """Of HJB face optimisation; its loss of the final frames is known when all of them were decoded."""

    @torch.no_grad()
    def frames(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Pictures uint8 RGB [H, W, 3], one after the other. Chunks of a clip of several windows overlap by half
        and are fused as windows are, so that every frame has the same weights; those of one window lie side by side.

        Raises:
            RowError: `not_finite`, frames or their face loss are NaN or infinite.
        """
        encoders, count, first = self.models.encoders, len(self.latents), 0
        spans, chunk = [slice(0, count)], encoders.settings.decode_chunk
        if count > self.settings.window:
            spans = windows(count, chunk, chunk // 2)
        with at_rest(idle_networks(self.models, self.settings, "decoding"), self.settings.offload):
            for pictures in fused(spans, lambda span: encoders.decode(self.latents[span].to(self.models.device))):
                require_finite(bool(torch.isfinite(pictures).all()), "decoded frames")
                if self.hook is not None:
                    self.hook.judge(pictures, first)
                first += len(pictures)
                yield from to_pictures(pictures)[:, *self.inner]


@torch.no_grad()
def animate(
    models: Models, reference: Reference, driven: Driven, settings: AnimateSettings, seed: int = 0
) -> Animation:
    """Animate one reference by one drive. The same inputs and seed give the same frames.

    Raises:
        ValueError: more frames than `max_frames`, none, an embedding of another width, or a setting that needs a model
            which is not there.
        ConfigError: a size that the model does not take.
        InputError: a long clip does not fit into the temporary folder.
        RowError: `not_finite`, something that networks made is NaN or infinite.
    """
    clip = sampled(models, reference, driven, settings, seed)
    frames = room(clip.skeletons.shape, np.uint8)
    for number, frame in enumerate(clip.frames()):
        frames[number] = frame
    return Animation(frames=frames, skeletons=clip.skeletons, face_optimisation=clip.report)


@torch.no_grad()
def sampled(
    models: Models,
    reference: Reference,
    driven: Driven,
    settings: AnimateSettings,
    seed: int = 0,
    progress: Callable[[Iterator[int]], Iterator[int]] | None = None,
) -> Sampled:
    """As `animate`, for a clip that is decoded later, or whose pictures are not wanted all at once.

    Args:
        progress: wraps the iterator of denoising steps, for a bar.
    """
    _check(models, reference, driven, settings)
    poses, size, sampler, device = driven.poses, driven.framing.size, settings.sampler, models.device
    frames, window = len(poses), settings.window
    skeletons = skeleton_pictures(poses, *size, models.animator.settings.skeleton)
    generator = torch.Generator().manual_seed(seed)
    denoise = guided(
        models.animator.denoise,
        ClipConditions(models, reference, driven, skeletons, settings, generator),
        guidance_scales(*settings.guidance, frames, window),
        settings.branches,
    )
    hook, report = _face_optimisation(models, reference, driven, settings)
    factor = models.encoders.factor
    shape = (1, frames, models.encoders.latent_channels, size[0] // factor, size[1] // factor)
    noise = initial_noise(shape, sampler, generator, window)
    with at_rest(idle_networks(models, settings, "sampling"), settings.offload):
        latents = sample(
            WindowedDenoiser(denoise, frames, window, settings.overlap, settings.window_offset, device),
            noise if frames > window else noise.to(device),
            karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho),
            sampler,
            hook=hook,
            correction=settings.hjb.correction,
            observe=hook.observe if hook else None,
            generator=generator,
            progress=progress,
            over_frames=part_by_part(window) if frames > window else at_once,
        )
    require_finite(all(bool(torch.isfinite(frame).all()) for frame in latents[0]), "latents")
    inner = driven.framing.inner
    return Sampled(
        models=models,
        settings=settings,
        latents=latents[0],
        skeletons=skeletons[:, *inner],
        inner=inner,
        hook=hook,
        report=report,
    )


def _face_optimisation(
    models: Models, reference: Reference, driven: Driven, settings: AnimateSettings
) -> tuple[FaceOptimisation | FaceOptimisationInParts | None, FaceOptimisationReport | None]:
    """The hook, and the report that it will fill; what there is no use for is None."""
    frames, people = driven.poses.shape[:2]
    if not settings.face_optimisation:
        return None, None
    if not any(reference.faces[:people]):
        return None, FaceOptimisationReport.of_nobody(frames, "the reference shows no face")
    whole = face_hook(models, reference, driven.poses, driven.framing.size, settings.hjb)
    if frames <= settings.window:
        return whole, whole.report
    chunk = models.encoders.settings.decode_chunk
    parts = FaceOptimisationInParts(whole, max(settings.window // chunk, 1) * chunk, models.device)
    return parts, whole.report


def idle_networks(models: Models, settings: AnimateSettings, stage: Literal["sampling", "decoding"]) -> list[nn.Module]:
    """What a stage does without. The VAE's decoder is of use while frames are sampled where it gives gradients."""
    encoders = models.encoders
    unused: list[nn.Module] = [encoders.clip, encoders.vae.encoder, encoders.vae.quant_conv]
    if stage == "decoding":
        return [*unused, models.animator]
    decoded = settings.face_optimisation and settings.hjb.decoder == "exact"
    return unused if decoded else [*unused, encoders.vae.decoder]


@contextmanager
def at_rest(networks: Sequence[nn.Module], on: bool = True) -> Iterator[None]:
    """Networks on the CPU while inside, if `on`; back where they were after."""
    places = [(network, next(network.parameters()).device) for network in networks] if on else []
    for network, _ in places:
        network.to("cpu")
    try:
        yield
    finally:
        for network, place in places:
            network.to(place)


def _check(models: Models, reference: Reference, driven: Driven, settings: AnimateSettings) -> None:
    frames = len(driven.poses)
    if frames < 1:
        raise ValueError("there is no driving frame")
    if settings.max_frames is not None and frames > settings.max_frames:
        raise ValueError(f"{frames} driving frames, and max_frames is {settings.max_frames}")
    height, breadth = driven.framing.size
    if height % models.multiple or breadth % models.multiple:
        raise ConfigError(
            f"animate.settings: {height}x{breadth} pixels do not fit this model, whose sides are multiples of "
            f"{models.multiple}; change sizes, or multiple for fit: native"
        )
    width = models.animator.settings.face_encoder.embedding_width
    if reference.face_embedding is not None and reference.face_embedding.shape != (width,):
        raise ValueError(f"face embedding is {reference.face_embedding.shape}, the model reads {width} values")
    if settings.face_optimisation and models.arcface is None:
        raise ValueError("face optimisation needs ArcFace")
    if settings.face_optimisation and settings.hjb.decoder == "tiny" and models.encoders.tiny is None:
        raise ValueError("hjb.decoder: tiny needs encoders.tiny_decoder")
