"""HJB face optimisation (SA++ Algorithm 1): gradients on the predicted sample, through a decoder and ArcFace.

Memory is bounded by one piece of the clip: its graph is built, differentiated and freed before the next, and the loss
is a mean over faces, so the pieces' gradients add up to the gradient of the whole. A piece is a chunk of whole frames,
or the window around one face in a chunk. (A decoder with temporal layers makes chunked decoding a function of its own;
the same chunks as in the final decoding are used.)

Shapes: F frames, C h w latent channels, height, width, H W picture, M points of a face, E embedding width. A hook works
on one clip, [1, F, C, h, w].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stableanimator.diffusion.settings import FaceOptimisationSettings
from stableanimator.errors import require_finite

Decode = Callable[[Tensor, int], Tensor]
"""decode(latents [n, C, h, w], frames_per_chunk) -> pictures [n, 3, H, W] in [-1, 1], differentiable."""
Crop = Callable[[Tensor, Tensor], Tensor]
"""crop(pictures [n, 3, H, W], points [n, M, 2]) -> face crops [n, 3, S, S], differentiable."""
EmbedFace = Callable[[Tensor], Tensor]
"""embed_face(crops [n, 3, S, S]) -> embeddings [n, E] of any length, differentiable."""


class WholeFrame(Protocol):
    """What a decoder of windows is told of the frames that they are cut from; `key` names a chunk."""

    def recording(self, key: int) -> AbstractContextManager[None]:
        """While inside, whole frames are decoded."""
        ...

    def using(self, key: int) -> AbstractContextManager[None]:
        """While inside, windows of them are."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimisedFace:
    """One person's face in a clip."""

    points: Tensor
    """[F, M, 2] pixels of the decoded picture; a missing point is NaN. A frame with fewer than two points does not show
    this face and carries no loss."""
    wanted: Tensor
    """The embedding that it is drawn towards, [E], or one for each frame, [F, E]; of any length."""
    mask: Tensor | None = None
    """[F, h, w] of 0 and 1: what may be changed for it; None: everything."""
    boxes: Tensor | None = None
    """[F, 4] x0, y0, x1, y1 in latents: what the crop sees. Only region `face` reads it."""

    def part(self, frames: slice) -> OptimisedFace:
        """The same in some of the frames."""
        return OptimisedFace(
            points=self.points[frames],
            wanted=self.wanted.expand(len(self.points), -1)[frames],
            mask=None if self.mask is None else self.mask[frames],
            boxes=None if self.boxes is None else self.boxes[frames],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceOptimisationRecord:
    """What one denoising step's optimisation did. Losses are those of the decoder that gave the gradients."""

    step: int
    """Denoising step, from 0."""
    sigma: float
    """Its noise level."""
    before: float
    """Loss of the denoiser's prediction: mean of |1 - cos| over all faces of all frames, 0 to 2."""
    after: float
    """Loss of the optimised sample."""
    carried: float | None = None
    """Loss of what the sampler really goes on with (`sample`, `observe`); None before that is known."""


@dataclass(kw_only=True, slots=True)
class FaceOptimisationReport:
    """What the hook did in one run of the sampler."""

    frames: int
    """Of the clip."""
    frames_with_face: int
    """Those that carry a loss, of whichever person."""
    people: int
    """Whose faces are seen in one of them."""
    faces: int
    """Of all people in all frames: what the losses are means over."""
    skipped: str | None
    """Why nothing was optimised, or None."""
    records: list[FaceOptimisationRecord] = field(default_factory=list)
    """One for each optimised denoising step."""
    final: float | None = None
    """Loss of the final frames as the exact decoder gives them; None before `judge`."""

    @classmethod
    def of_nobody(cls, frames: int, why: str) -> FaceOptimisationReport:
        """Where there is nobody whose face could be optimised."""
        return cls(frames=frames, frames_with_face=0, people=0, faces=0, skipped=why)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """What is decoded in one graph, and the faces that are looked for in it."""

    frames: slice
    rows: slice
    columns: slice
    people: tuple[int, ...]


def face_loss(embedding: Tensor, reference: Tensor) -> Tensor:
    """SA++ Algorithm 1: |1 - cos(Arc(f), Arc(y))| of embeddings [n, E] and [n, E] or [E], any length; returns [n]."""
    return (1.0 - functional.cosine_similarity(embedding, reference, dim=-1)).abs()


class FaceOptimisation:
    """A sampler hook for one clip: make one for each run, pass it to `sample`, and read `report` afterwards.

        hook = FaceOptimisation(settings, encoders.decode, crop, arcface, [face], decode_chunk=4)
        latents = sample(
            denoise, noise, sigmas, sampler, hook=hook, correction=settings.correction, observe=hook.observe
        )

    Args:
        settings: noise levels, steps and rate, and what is decoded.
        decode: the decoder that gives the gradients.
        crop: cuts faces out of pictures, given their points.
        embed_face: ArcFace.
        faces: one for each person.
        decode_chunk: frames that are decoded together, the same as in the final decoding.
        whole_frame: helps `decode` with windows, for the setting `region_statistics`; None: it needs no help.
        first: number of the first frame, where the clip is a part of another one that shares `whole_frame`.

    Raises:
        ValueError: no face, other numbers of frames, or region `face` without boxes.
    """

    def __init__(
        self,
        settings: FaceOptimisationSettings,
        decode: Decode,
        crop: Crop,
        embed_face: EmbedFace,
        faces: Sequence[OptimisedFace],
        decode_chunk: int,
        whole_frame: WholeFrame | None = None,
        first: int = 0,
    ) -> None:
        if decode_chunk < 1:
            raise ValueError("decode_chunk must be at least 1")
        if len({len(face.points) for face in faces}) != 1:
            raise ValueError("there must be a face at least, and all of the same number of frames")
        self._in_windows = settings.region == "face"
        if self._in_windows and any(face.boxes is None for face in faces):
            raise ValueError("region face needs the boxes of every face")
        self.settings = settings
        self._decode, self._crop, self._embed_face = decode, crop, embed_face
        self._faces, self._chunk = tuple(faces), decode_chunk
        # Detached, so that no step's graph reaches the next one. [P, F, E]
        self._wanted = [face.wanted.detach().expand(len(face.points), -1) for face in faces]
        masks = [face.mask for face in faces if face.mask is not None]
        # What may be changed for one of them. [F, 1, h, w]
        self._mask = torch.stack(masks).amax(0).unsqueeze(1) if len(masks) == len(faces) else None
        # A similarity transform needs two points. [P, F]
        self._shows = torch.stack([torch.isfinite(face.points).all(-1).sum(-1) >= 2 for face in faces]).cpu()
        self._count = int(self._shows.sum())
        self._whole_frame = whole_frame if self._in_windows and settings.region_statistics else None
        self._recorded, self._first = False, first
        self.report = FaceOptimisationReport(
            frames=self._shows.shape[1],
            frames_with_face=int(self._shows.any(0).sum()),
            people=int(self._shows.any(1).sum()),
            faces=self._count,
            skipped=None if self._count else "no driven frame has a face",
        )

    def __call__(self, x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        """SA++ Algorithm 1, inner loop: x_op starts as a copy of x_pred and follows its gradient; returns it detached.

        Neither update moves values without a gradient, so what the mask hides stays where it is. Updates that did not
        lower the loss are not taken: the very x_pred comes back.

        Raises:
            RowError: `not_finite`, a loss is NaN or infinite.
        """
        if x_pred.shape[:2] != (1, self.report.frames):
            raise ValueError(f"faces are of {[1, self.report.frames]} frames, latents have {list(x_pred.shape[:2])}")
        settings = self.settings
        outside = not settings.sigma_min <= sigma <= settings.sigma_max
        if self.report.skipped or outside or settings.optimisation_steps == 0:
            return x_pred
        rate = settings.learning_rate * (1.0 - step / steps if settings.decay == "linear" else 1.0)
        x_op = x_pred.detach().clone()
        adam = torch.optim.Adam([x_op], lr=rate)
        self._recorded, before = False, 0.0
        for k in range(settings.optimisation_steps):
            loss, gradient = self.loss_and_gradient(x_op)
            x_op.grad = gradient if self._mask is None else gradient * self._mask.to(gradient)
            before = loss if k == 0 else before
            if settings.update == "adam":
                adam.step()
            else:
                x_op -= rate * x_op.grad / self._size(x_op.grad)
        after = self.loss(x_op)
        require_finite(math.isfinite(before) and math.isfinite(after), f"face losses at denoising step {step}")
        taken = after < before  # else the face was right already, and the updates only led away from it
        carried = None if taken else before
        self.report.records.append(
            FaceOptimisationRecord(step=step, sigma=sigma, before=before, after=after, carried=carried)
        )
        return x_op.detach() if taken else x_pred

    def _size(self, gradient: Tensor) -> Tensor:
        """Root mean square over what may change, of the frames with a face; never 0."""
        faces = self._shows.any(0).to(gradient).reshape(-1, 1, 1, 1)
        may_change = faces if self._mask is None else faces * self._mask.to(gradient)
        count = may_change.expand_as(gradient[0]).sum()
        return ((gradient[0] * faces).square().sum() / count).sqrt().clamp_min(torch.finfo(gradient.dtype).tiny)

    def observe(self, step: int, carried: Tensor) -> None:
        """What the sampler goes on with after an optimised step, for the report."""
        last = self.report.records[-1]
        assert last.step == step
        self.report.records[-1] = replace(last, carried=self.loss(carried))

    @torch.no_grad()
    def judge(self, pictures: Tensor, first: int = 0) -> None:
        """The loss of the final frames [n, 3, H, W] in [-1, 1], whatever decoder gave the gradients.

        All at once, or one stretch after the other: `first` is the number of the first of them.
        """
        if self.report.skipped:
            return
        everybody, starts = range(len(self._faces)), range(first, first + len(pictures), self._chunk)
        losses = [
            self._loss_of(chunk, slice(start, start + len(chunk)), everybody)
            for start, chunk in zip(starts, pictures.split(self._chunk), strict=True)
        ]
        earlier = self.report.final if first else None
        self.report.final = (earlier or 0.0) + float(sum(losses))
        require_finite(math.isfinite(self.report.final), "face losses of the final frames")

    def part(self, frames: slice) -> FaceOptimisation:
        """The same of some of the frames, with a report of its own."""
        faces = [face.part(frames) for face in self._faces]
        networks = (self._decode, self._crop, self._embed_face)
        return FaceOptimisation(self.settings, *networks, faces, self._chunk, self._whole_frame, frames.start)

    def loss_and_gradient(self, latents: Tensor) -> tuple[float, Tensor]:
        """The loss of latents [1, F, C, h, w] and its gradient, one piece in memory at a time."""
        gradient, total = torch.zeros_like(latents), 0.0
        self._record(latents)
        with torch.enable_grad():
            for piece in self._pieces(latents):
                where = (0, piece.frames, slice(None), piece.rows, piece.columns)
                leaf = latents[where].detach().requires_grad_()
                with self._helped(piece):  # the backward pass of a checkpointed decoder decodes again
                    loss = self._piece_loss(leaf, piece)
                    # Asking for this one gradient leaves the parameters of decoder and ArcFace without any.
                    gradient[where] += torch.autograd.grad(loss, leaf)[0]
                total += float(loss.detach())
        return total, gradient

    @torch.no_grad()
    def loss(self, latents: Tensor) -> float:
        """The loss of latents [1, F, C, h, w]: the mean over all faces of all frames."""
        self._record(latents)
        total = 0.0
        for piece in self._pieces(latents):
            with self._helped(piece):
                total += float(self._piece_loss(latents[0, piece.frames, :, piece.rows, piece.columns], piece))
        return total

    def _pieces(self, latents: Tensor) -> list[_Piece]:
        """Those in which there is a face."""
        height, width = latents.shape[-2:]
        pieces = []
        for frames in self._chunks_with_a_face():
            people = tuple(person for person, shows in enumerate(self._shows[:, frames]) if bool(shows.any()))
            if self._in_windows:
                pieces += [self._window(frames, person, height, width) for person in people]
            else:
                whole = (slice(0, height), slice(0, width))
                pieces.append(_Piece(frames=frames, rows=whole[0], columns=whole[1], people=people))
        return pieces

    def _chunks_with_a_face(self) -> list[slice]:
        frames = self._shows.shape[1]
        chunks = [slice(f, min(f + self._chunk, frames)) for f in range(0, frames, self._chunk)]
        return [chunk for chunk in chunks if bool(self._shows[:, chunk].any())]

    def _window(self, frames: slice, person: int, height: int, width: int) -> _Piece:
        """Around all of a person's boxes in a chunk: one place for its frames, so that layers over time see the same
        part of each."""
        boxes = self._faces[person].boxes
        assert boxes is not None
        shown = boxes[frames][self._shows[person, frames].to(boxes.device)]
        margin = self.settings.region_margin
        left, top = (max(math.floor(low) - margin, 0) for low in shown[:, :2].amin(0).tolist())
        right, bottom = (math.ceil(high) + margin for high in shown[:, 2:].amax(0).tolist())
        rows, columns = slice(top, min(bottom, height)), slice(left, min(right, width))
        return _Piece(frames=frames, rows=rows, columns=columns, people=(person,))

    def _record(self, latents: Tensor) -> None:
        """Show the decoder the whole frames, once for each prediction."""
        if self._whole_frame is None or self._recorded:
            return
        self._recorded = True
        with torch.no_grad():
            for frames in self._chunks_with_a_face():
                with self._whole_frame.recording(self._first + frames.start):
                    self._decode(latents[0, frames], frames.stop - frames.start)

    def _helped(self, piece: _Piece) -> AbstractContextManager[None]:
        return nullcontext() if self._whole_frame is None else self._whole_frame.using(self._first + piece.frames.start)

    def _piece_loss(self, latents: Tensor, piece: _Piece) -> Tensor:
        """Of latents [n, C, h, w] of one piece."""
        pictures = self._decode(latents, len(latents))
        factor = pictures.shape[-1] // latents.shape[-1]
        return self._loss_of(
            pictures, piece.frames, piece.people, (piece.columns.start * factor, piece.rows.start * factor)
        )

    def _loss_of(
        self, pictures: Tensor, frames: slice, people: Sequence[int], corner: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """The share of the mean that frames' pictures [n, 3, H, W] have: the sum over their faces, divided by the
        number of all faces. `corner` is where the pictures' top left pixel lies in the frame, x and y."""
        device, total = pictures.device, pictures.new_zeros(())
        for person in people:
            present = self._shows[person, frames].to(device)
            if not bool(present.any()):
                continue
            points = self._faces[person].points[frames].to(device)[present]
            crops = self._crop(pictures[present], points - points.new_tensor(corner))
            wanted = self._wanted[person][frames].to(device)[present]
            total = total + face_loss(self._embed_face(crops), wanted).sum()
        return total / self._count
