"""Reference picture + driving poses -> frames: the one inference path.

    models = Models(animator=..., rates=..., aligner=..., encoders=..., arcface=...)
    reference = Reference(...)
    driven = aligned(reference, Driving(...), AnimateSettings(), models.aligner)
    animation = animate(models, reference, driven, AnimateSettings())
    write_mp4("out.mp4", animation.frames, driven.fps)

Poses are aligned to the reference, which is cut around its people, and drawn; reference and skeletons become conditions
(`stableanimator.clip_conditions`); EDM's sampler runs the guided denoiser, with HJB face optimisation as its hook, of a
long drive by overlapping windows (`stableanimator.diffusion.long_video`); the latents are decoded in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.similarity import Similarity
from stableanimator.animate_settings import AnimateSettings
from stableanimator.clip_conditions import ClipConditions
from stableanimator.diffusion.hjb import FaceOptimisation, FaceOptimisationReport
from stableanimator.diffusion.long_video import (
    FaceOptimisationInParts,
    WindowedDenoiser,
    fused,
    part_by_part,
    windows,
)
from stableanimator.diffusion.sampler import at_once, initial_noise, karras_sigmas, sample
from stableanimator.driving import (
    BODY,
    align_driving,
    joints_in_picture,
    skeleton_pictures,
)
from stableanimator.errors import CheckpointError
from stableanimator.media.frame_store import room
from stableanimator.media.framing import Framing, Size, nearest_size
from stableanimator.media.tensors import to_pictures
from stableanimator.models.animator import Animator
from stableanimator.models.encoders import Encoders
from stableanimator.models.guidance import guidance_scales, guided
from stableanimator.models.settings import FrameRates
from stableanimator.optimised_faces import face_hook
from stableanimator.perception.arcface import ArcFace
from stableanimator.perception.person_boxes import in_picture, inside, only, person_box, visible

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """The networks of inference, all on one device and in evaluation mode; the aligner stays on the CPU.

    Raises:
        CheckpointError: the denoiser was not trained on what these encoders give.
    """

    animator: Animator
    rates: FrameRates
    """At which frame rates the animator was trained."""
    encoders: Encoders
    aligner: Aligner | None = None
    arcface: ArcFace | None = None
    """Needed by HJB face optimisation alone."""

    def __post_init__(self) -> None:
        model, encoders = self.animator.settings, self.encoders
        pairs = {
            "latent channels": (model.unet.latent_channels, encoders.latent_channels),
            "pixels a latent": (model.pose_net.factor, encoders.factor),
            "image embedding width": (model.unet.cross_attention_dim, encoders.embedding_width),
        }
        if self.arcface is not None:
            pairs["face embedding width"] = (model.face_encoder.embedding_width, self.arcface.embedding_width)
        for name, (wanted, given) in pairs.items():
            if wanted != given:
                raise CheckpointError(
                    f"{name}: the model was made for {wanted}, the encoders give {given}; use the encoders (sections "
                    "encoders and perception.faces) that it was trained with"
                )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.encoders.parameters()).device


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceFace:
    """What is known of the face of one more person of a reference."""

    box: Array
    """[4] x0, y0, x1, y1 in pixels of the picture."""
    embedding: Array
    """[E] as ArcFace's network returns it, of any length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The people to animate."""

    picture: npt.NDArray[np.uint8]
    """uint8 RGB [H, W, 3], any size."""
    keypoints: Array
    """[P, 133, 3] in its pixels; the first person is the main one, whose face the networks are shown (the released ones
    know one)."""
    face_box: Array | None
    """[4] x0, y0, x1, y1 of the first person's face, in its pixels; None: none was found."""
    face_embedding: Array | None
    """[E] as ArcFace's network returns it, of any length; None: no face was found. The networks are then shown zeros,
    as the released ones are."""
    other_faces: tuple[ReferenceFace | None, ...] = ()
    """Of the people after the first, in their order; None, or no entry: no face was found. Face optimisation draws the
    faces of all towards their own."""

    @property
    def faces(self) -> list[ReferenceFace | None]:
        """Of everybody, in the order of the keypoints."""
        main = None
        if self.face_box is not None and self.face_embedding is not None:
            main = ReferenceFace(box=self.face_box, embedding=self.face_embedding)
        return [main, *self.other_faces]


@dataclass(frozen=True, kw_only=True, slots=True)
class Driving:
    """The motion to follow."""

    keypoints: Array
    """[F, P, 133, 3] in pixels of the driving video; person i drives the reference's person i. Joints outside the
    picture are drawn and decide nothing."""
    height: int
    """Of the driving video, pixels."""
    width: int
    fps: float
    """Frames a second of these poses: the animation plays at the same."""
    misalignment: Similarity | None = None
    """Applied to the poses first, in image heights about the clip's centroid: what MisAlign100 does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Driven:
    """What the model is driven by: known before anything dear is done."""

    poses: Array
    """[F, P, 133, 3] in pixels of the animation."""
    fps: float
    """Frames a second."""
    framing: Framing
    """How the reference picture becomes the model's. The truth of a self-driven pair is cut around the same middle."""
    joints_in_picture: float
    """Share of the joints that lie in the animation, 0 to 1 (`stableanimator.driving.joints_in_picture`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Animation:
    """What came out. Of a long clip the arrays lie in files that go with them (`stableanimator.media.frame_store`)."""

    frames: npt.NDArray[np.uint8]
    """uint8 RGB [F, H, W, 3]."""
    skeletons: npt.NDArray[np.uint8]
    """What the model was driven by, the same shape."""
    face_optimisation: FaceOptimisationReport | None
    """Losses of HJB face optimisation; None without it."""


@torch.no_grad()
def aligned(
    reference: Reference, driving: Driving, settings: AnimateSettings, aligner: Aligner | None = None
) -> Driven:
    """Driven poses brought to the reference, and both into the frame of the animation.

    The reference is cut around the people who are animated (`framing_of`), and the driving video around the same part
    of its picture, so that a clip that drives itself stays where it is.

    Raises:
        ValueError: other numbers of people, or alignment `learned` without an aligner.
    """
    people = driving.keypoints.shape[1]
    if people < 1 or len(reference.keypoints) != people:
        raise ValueError(f"{len(reference.keypoints)} people in the reference are driven by {people}")
    framing, source = framing_of(reference, settings.sizes), (driving.height, driving.width)
    framings = (Framing.cover(source, framing.size, framing.middle), framing)
    scope, name = settings.alignment_scope, settings.alignment
    poses = align_driving(driving.keypoints, reference.keypoints, framings, name, scope, aligner, driving.misalignment)
    shown = only(poses, inside(driving.keypoints, source))
    share = joints_in_picture(shown, reference.keypoints, framing.source, framing.size)
    return Driven(poses=poses, fps=driving.fps, framing=framing, joints_in_picture=share)


_HEAD = 0.5
"""How far a head reaches beyond its face's box on each side, as a share of the box."""


def framing_of(reference: Reference, sizes: Sequence[Size]) -> Framing:
    """The cut of a reference picture: of the size whose shape is nearest, around all of its people; where these have no
    room, around the first; whatever else is cut away, the first one's head is not, where its face was found."""
    height, width, _ = reference.picture.shape
    people = in_picture(reference.keypoints, (height, width))
    seen = [person_box(pose[None]) for pose in people if visible(pose[BODY]).any()]
    heads = [] if reference.face_box is None else [_head(reference.face_box)]
    corners = np.array([*seen, *heads])
    if not len(corners):
        return Framing.cover((height, width), nearest_size(height, width, sizes))
    all_of_them = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    return Framing.keeping((height, width), nearest_size(height, width, sizes), [all_of_them, *seen[:1], *heads])


def _head(face: Array) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(side) for side in face)
    more_x, more_y = _HEAD * (x1 - x0), _HEAD * (y1 - y0)
    return x0 - more_x, y0 - more_y, x1 + more_x, y1 + more_y


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
    hook: FaceOptimisation | FaceOptimisationInParts | None
    report: FaceOptimisationReport | None
    """Of HJB face optimisation; its loss of the final frames is known when all of them were decoded."""

    @torch.no_grad()
    def frames(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Pictures uint8 RGB [H, W, 3], one after the other. Chunks of a clip of several windows overlap by half and are
        fused as windows are, so that every frame has the same weights; those of one window lie side by side."""
        encoders, count, first = self.models.encoders, len(self.latents), 0
        spans, chunk = [slice(0, count)], encoders.settings.decode_chunk
        if count > self.settings.window:
            spans = windows(count, chunk, chunk // 2)
        with at_rest(idle_networks(self.models, self.settings, "decoding"), self.settings.offload):
            for pictures in fused(spans, lambda span: encoders.decode(self.latents[span].to(self.models.device))):
                if self.hook is not None:
                    self.hook.judge(pictures, first)
                first += len(pictures)
                yield from to_pictures(pictures)


@torch.no_grad()
def animate(
    models: Models, reference: Reference, driven: Driven, settings: AnimateSettings, seed: int = 0
) -> Animation:
    """Animate one reference by one drive. The same inputs and seed give the same frames.

    Raises:
        ValueError: more frames than `max_frames`, none, an embedding of another width, or a setting that needs a model
            which is not there.
        InputError: a long clip does not fit into the temporary folder.
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
    return Sampled(models=models, settings=settings, latents=latents[0], skeletons=skeletons, hook=hook, report=report)


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
    width = models.animator.settings.face_encoder.embedding_width
    if reference.face_embedding is not None and reference.face_embedding.shape != (width,):
        raise ValueError(f"face embedding is {reference.face_embedding.shape}, the model reads {width} values")
    if settings.face_optimisation and models.arcface is None:
        raise ValueError("face optimisation needs ArcFace")
    if settings.face_optimisation and settings.hjb.decoder == "tiny" and models.encoders.tiny is None:
        raise ValueError("hjb.decoder: tiny needs encoders.tiny_decoder")
