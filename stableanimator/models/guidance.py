"""Classifier-free guidance that grows over the frames of a clip.

denoise = guided(animator.denoise, animator.prepare(conditioning), guidance_scales(1.0, 3.0, frames))
latents = sample(denoise, noise, sigmas, settings)
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from stableanimator.models.animator import Prepared
from stableanimator.models.settings import Branches

log = logging.getLogger(__name__)


def guidance_scales(first: float, last: float, frames: int) -> Tensor:
    """Guidance that grows linearly over the frames, [F]."""
    return torch.linspace(first, last, frames)


Denoise = Callable[[Tensor, Tensor, Prepared], Tensor]
"""(noisy latents [B, F, C, h, w], noise level, conditions of the same clips) -> predicted clean latents."""


def guided(
    denoise: Denoise, prepared: Prepared, scale_per_frame: Tensor, branches: Branches = "auto"
) -> Callable[[Tensor, Tensor], Tensor]:
    """A `denoise(x, sigma)` for the sampler, with the conditions bound: D = D_u + scale * (D_c - D_u).

    Where every scale is 1 the unconditional branch is not run.

    Args:
        denoise: the denoiser, or what wraps one.
        prepared: the conditions; the other branch is `prepared.unconditional()`.
        scale_per_frame: [F], of every clip.
        branches: `auto` is `apart` on a CPU, where one batch of two takes the time of two batches; on a GPU it is
            `together` until the memory does not hold it, and `apart` from then on.
    """
    if bool((scale_per_frame == 1.0).all()):
        return lambda x, sigma: denoise(x, sigma, prepared)
    on_gpu = prepared.context.device.type == "cuda"
    together = branches == "together" or (branches == "auto" and on_gpu)
    return Guided(denoise, prepared, scale_per_frame, together=together, may_part=branches == "auto")


class Guided:
    """Guidance of a sampler's run, by both branches; it remembers when memory did not hold them together.

    Args:
        denoise, prepared, scale_per_frame: as for `guided`.
        together: whether the branches begin as one batch.
        may_part: whether they go on one after the other where the GPU's memory does not hold that batch.
    """

    def __init__(
        self, denoise: Denoise, prepared: Prepared, scale_per_frame: Tensor, *, together: bool, may_part: bool
    ) -> None:
        self._denoise = denoise
        self._with, self._without = prepared, prepared.unconditional()
        self._scale = scale_per_frame.reshape(1, -1, 1, 1, 1)
        self._together, self._may_part = together, may_part

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Noisy latents [B, F, C, h, w] and one noise level -> guided prediction [B, F, C, h, w]."""
        without, conditional = self._branches(x, sigma)
        return without + self._scale.to(without) * (conditional - without)

    def _branches(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        if self._together:
            try:
                both = self._denoise(torch.cat([x, x]), sigma, Prepared.join([self._without, self._with]))
                return both[: len(x)], both[len(x) :]
            except torch.cuda.OutOfMemoryError:
                if not self._may_part:
                    raise
            # Not inside `except`: there the error still holds what the failed batch has allocated.
            torch.cuda.empty_cache()
            self._together = False
            log.warning("the GPU's memory does not hold both branches of guidance; they run one after the other")
        return self._denoise(x, sigma, self._without), self._denoise(x, sigma, self._with)
