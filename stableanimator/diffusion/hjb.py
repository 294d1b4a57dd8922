"""HJB face optimisation (SA++ Algorithm 1): Adam on the predicted sample, through the VAE decoder and ArcFace.

Memory is bounded by one chunk of decoded frames: each chunk's graph is built, differentiated and freed before the
next, and the loss is a mean over frames, so the chunks' gradients add up to the gradient of the whole. (A decoder with
temporal layers makes chunked decoding a function of its own; the same chunks as in the final decoding are used.)

Shapes: B clips, F frames, C h w latent channels, height, width, H W picture, M points of a face, E embedding width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from stableanimator.diffusion.settings import FaceOptimisationSettings

Decode = Callable[[Tensor, int], Tensor]
"""decode(latents [n, C, h, w], frames_per_chunk) -> pictures [n, 3, H, W] in [-1, 1], differentiable."""
Crop = Callable[[Tensor, Tensor], Tensor]
"""crop(pictures [n, 3, H, W], points [n, M, 2]) -> face crops [n, 3, S, S], differentiable."""
EmbedFace = Callable[[Tensor], Tensor]
"""embed_face(crops [n, 3, S, S]) -> embeddings [n, E] of any length, differentiable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceOptimisationRecord:
    """What one denoising step's optimisation did."""

    step: int
    """Denoising step, from 0."""
    sigma: float
    """Its noise level."""
    before: float
    """Loss of the denoiser's prediction: mean of |1 - cos| over the frames with a face, 0 to 2."""
    after: float
    """Loss of the optimised sample."""
    carried: float | None = None
    """Loss of what the sampler really goes on with (`sample`, `observe`); None before that is known."""


@dataclass(kw_only=True, slots=True)
class FaceOptimisationReport:
    """What the hook did in one run of the sampler."""

    frames: int
    """Frames of all clips."""
    frames_with_face: int
    """Those that carry a loss."""
    skipped: str | None
    """Why nothing was optimised, or None."""
    records: list[FaceOptimisationRecord] = field(default_factory=list)
    """One for each optimised denoising step."""


def face_loss(embedding: Tensor, reference: Tensor) -> Tensor:
    """SA++ Algorithm 1: |1 - cos(Arc(f), Arc(y))| of embeddings [n, E] and [n, E] or [E], any length; returns [n]."""
    return (1.0 - functional.cosine_similarity(embedding, reference, dim=-1)).abs()


class FaceOptimisation:
    """A sampler hook: make one for each run, pass it to `sample`, and read `report` afterwards.

        hook = FaceOptimisation(settings, encoders.decode, crop, arcface, reference, points, decode_chunk=4)
        latents = sample(
            denoise, noise, sigmas, sampler, hook=hook, correction=settings.correction, observe=hook.observe
        )

    Args:
        settings: noise levels, steps and rate.
        decode: the VAE's decoder.
        crop: cuts faces out of pictures, given their points.
        embed_face: ArcFace.
        reference: embedding of the reference face, [E], one for each clip [B, E], or for each of its frames [B, F, E].
        points: where the face is in each driven frame, pixels of the decoded picture, [B, F, M, 2], or [F, M, 2] for
            one clip; a missing point is NaN. A frame with fewer than two points has no face and carries no loss.
        decode_chunk: frames that are decoded together, the same as in the final decoding.
        mask: what may be changed, [B, F, h, w] or [F, h, w] of 0 and 1 at latent size; None: everything.
    """

    def __init__(
        self,
        settings: FaceOptimisationSettings,
        decode: Decode,
        crop: Crop,
        embed_face: EmbedFace,
        reference: Tensor,
        points: Tensor,
        decode_chunk: int,
        mask: Tensor | None = None,
    ) -> None:
        if decode_chunk < 1:
            raise ValueError("decode_chunk must be at least 1")
        self.settings = settings
        self._decode, self._crop, self._embed_face = decode, crop, embed_face
        self._points = points if points.ndim == 4 else points.unsqueeze(0)
        # Detached, so that no step's graph reaches the next one. [B, F, E]
        wanted = reference.detach() if reference.ndim == 3 else reference.detach().unsqueeze(-2)
        self._reference = wanted.expand(*self._points.shape[:2], -1)
        self._mask = None if mask is None else (mask if mask.ndim == 4 else mask.unsqueeze(0)).unsqueeze(2)
        # A similarity transform needs two points. [B, F]
        self._has_face = torch.isfinite(self._points).all(-1).sum(-1) >= 2
        self._chunk = decode_chunk
        count = int(self._has_face.sum())
        self.report = FaceOptimisationReport(
            frames=self._has_face.numel(),
            frames_with_face=count,
            skipped=None if count else "no driven frame has a face",
        )

    def __call__(self, x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        """SA++ Algorithm 1, inner loop: x_op starts as a copy of x_pred and follows Adam; returns it detached.

        Adam leaves values without a gradient where they are, so what the mask hides does not move.
        """
        if x_pred.shape[:2] != self._has_face.shape:
            raise ValueError(
                f"points are for {list(self._has_face.shape)} frames, latents have {list(x_pred.shape[:2])}"
            )
        settings = self.settings
        outside = not settings.sigma_min <= sigma <= settings.sigma_max
        if self.report.skipped or outside or settings.optimisation_steps == 0:
            return x_pred
        rate = settings.learning_rate * (1.0 - step / steps if settings.decay == "linear" else 1.0)
        x_op = x_pred.detach().clone()
        adam = torch.optim.Adam([x_op], lr=rate)
        before = 0.0
        for k in range(settings.optimisation_steps):
            loss, gradient = self.loss_and_gradient(x_op)
            x_op.grad = gradient if self._mask is None else gradient * self._mask.to(gradient)
            before = loss if k == 0 else before
            adam.step()
        record = FaceOptimisationRecord(step=step, sigma=sigma, before=before, after=self.loss(x_op))
        self.report.records.append(record)
        return x_op.detach()

    def observe(self, step: int, carried: Tensor) -> None:
        """What the sampler goes on with after an optimised step, for the report."""
        last = self.report.records[-1]
        assert last.step == step
        self.report.records[-1] = replace(last, carried=self.loss(carried))

    def loss_and_gradient(self, latents: Tensor) -> tuple[float, Tensor]:
        """The loss of latents [B, F, C, h, w] and its gradient, one chunk in memory at a time."""
        gradient, total = torch.zeros_like(latents), 0.0
        with torch.enable_grad():
            for clip, frames in self._chunks():
                chunk = latents[clip, frames].detach().requires_grad_()
                loss = self._chunk_loss(chunk, clip, frames)
                # Asking for this one gradient leaves the parameters of decoder and ArcFace without any.
                (gradient[clip, frames],) = torch.autograd.grad(loss, chunk)
                total += float(loss.detach())
        return total, gradient

    @torch.no_grad()
    def loss(self, latents: Tensor) -> float:
        """The loss of latents [B, F, C, h, w]: the mean over all frames with a face, of all clips."""
        return sum(float(self._chunk_loss(latents[clip, frames], clip, frames)) for clip, frames in self._chunks())

    def _chunks(self) -> list[tuple[int, slice]]:
        """(clip, frames) of each chunk in which a frame has a face."""
        clips, frames = self._has_face.shape
        chunks = [
            (b, slice(f, min(f + self._chunk, frames))) for b in range(clips) for f in range(0, frames, self._chunk)
        ]
        return [(clip, chunk) for clip, chunk in chunks if bool(self._has_face[clip, chunk].any())]

    def _chunk_loss(self, chunk: Tensor, clip: int, frames: slice) -> Tensor:
        """This chunk's share of the mean: the sum over its faces, divided by the number of all faces."""
        present = self._has_face[clip, frames].to(chunk.device)
        pictures = self._decode(chunk, len(chunk))[present]
        points = self._points[clip, frames].to(chunk.device)[present]
        reference = self._reference[clip, frames].to(chunk.device)[present]
        return face_loss(self._embed_face(self._crop(pictures, points)), reference).sum() / self.report.frames_with_face
