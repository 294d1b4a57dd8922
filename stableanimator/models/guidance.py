"""Classifier-free guidance that grows over the first frames of a clip.

denoise = guided(animator.denoise, animator.prepare(conditioning), guidance_scales(1.0, 3.0, frames, window))
latents = sample(denoise, noise, sigmas, settings)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from stableanimator.models.animator import Prepared
from stableanimator.models.settings import Branches

log = logging.getLogger(__name__)


def guidance_scales(first: float, last: float, frames: int, window: int) -> Tensor:
    """Guidance that grows linearly over the first window of a clip, or a clip that is shorter, and stays there; [F].

    A clip of one window has the released values. Were they those of a frame's place in its window, a longer clip would
    change with every window; were they spread over the whole clip, its end would look other than its beginning.
    """
    ramp = torch.linspace(first, last, min(frames, window))
    return torch.cat([ramp, torch.full((frames - len(ramp),), last)])


Denoise = Callable[[Tensor, Tensor, Prepared], Tensor]
"""(noisy latents [B, F, C, h, w], noise level, conditions of the same clips) -> predicted clean latents."""
ALL = slice(None)
"""Frames: all of them."""


class Conditions(Protocol):
    """What a clip is made from, for some of its frames at a time; `Prepared` is one that knows all of them."""

    @property
    def device(self) -> torch.device:
        """Where they are."""
        ...

    def window(self, frames: slice) -> Prepared:
        """Of some of the frames."""
        ...


class GuidedDenoise(Protocol):
    """A denoiser with its conditions bound."""

    def __call__(self, x: Tensor, sigma: Tensor, frames: slice = ALL) -> Tensor:
        """Noisy latents [B, n, C, h, w] of these frames, one noise level -> the prediction, of the same shape."""
        ...


def guided(
    denoise: Denoise, conditions: Conditions, scale_per_frame: Tensor, branches: Branches = "auto"
) -> GuidedDenoise:
    """A `denoise(x, sigma)` for the sampler, with the conditions bound: D = D_u + scale * (D_c - D_u).

    Where every scale is 1 the unconditional branch is not run.

    Args:
        denoise: the denoiser, or what wraps one.
        conditions: of all frames; the other branch is their `unconditional()`.
        scale_per_frame: [F], of every clip.
        branches: `auto` is `apart` on a CPU, where one batch of two takes the time of two batches; on a GPU it is
            `together` until the memory does not hold it, and `apart` from then on.
    """
    if bool((scale_per_frame == 1.0).all()):
        return lambda x, sigma, frames=ALL: denoise(x, sigma, conditions.window(frames))
    on_gpu = conditions.device.type == "cuda"
    together = branches == "together" or (branches == "auto" and on_gpu)
    return Guided(denoise, conditions, scale_per_frame, together=together, may_part=branches == "auto")


class Guided:
    """Guidance of a sampler's run, by both branches; it remembers when memory did not hold them together.

    Args:
        denoise, conditions, scale_per_frame: as for `guided`.
        together: whether the branches begin as one batch.
        may_part: whether they go on one after the other where the GPU's memory does not hold that batch.
    """

    def __init__(
        self, denoise: Denoise, conditions: Conditions, scale_per_frame: Tensor, *, together: bool, may_part: bool
    ) -> None:
        self._denoise, self._conditions = denoise, conditions
        self._scale = scale_per_frame.reshape(1, -1, 1, 1, 1)
        self._together, self._may_part = together, may_part

    def __call__(self, x: Tensor, sigma: Tensor, frames: slice = ALL) -> Tensor:
        """Noisy latents [B, n, C, h, w] of these frames and one noise level -> guided prediction [B, n, C, h, w]."""
        conditions = self._conditions.window(frames)
        without, conditional = self._branches(x, sigma, conditions, conditions.unconditional())
        return without + self._scale[:, frames].to(without) * (conditional - without)

    def _branches(self, x: Tensor, sigma: Tensor, given: Prepared, nothing: Prepared) -> tuple[Tensor, Tensor]:
        if self._together:
            try:
                both = self._denoise(torch.cat([x, x]), sigma, Prepared.join([nothing, given]))
                return both[: len(x)], both[len(x) :]
            except torch.cuda.OutOfMemoryError:
                if not self._may_part:
                    raise
            # Not inside `except`: there the error still holds what the failed batch has allocated.
            torch.cuda.empty_cache()
            self._together = False
            log.warning("the GPU's memory does not hold both branches of guidance; they run one after the other")
        return self._denoise(x, sigma, nothing), self._denoise(x, sigma, given)
