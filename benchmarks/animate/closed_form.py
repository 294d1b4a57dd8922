"""Windows around a denoiser that is known in closed form and mixes frames: which settings leave the least seam.

Data is normal with a known covariance over time, every value apart: D(x; s) = K (K + s^2 I)^-1 x of a window's frames,
and of the whole clip, which no window can exceed. K has what stays the same all along a clip (half of the variance) and
what changes within a few frames. Both ask for more frames than a window has, as trained models do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Figure
from stableanimator.animate_settings import AnimateSettings
from stableanimator.diffusion.long_video import WindowedDenoiser, windows
from stableanimator.diffusion.sampler import Denoiser, initial_noise, karras_sigmas, sample
from stableanimator.diffusion.settings import SamplerSettings

FRAMES, VALUES = 128, 2048
DEVIATION, LASTING, FRAMES_ALIKE = 0.3, 0.5, 8.0
"""Of the data; share of the variance that stays; frames over which the rest changes."""
SAMPLERS = {
    "25 steps": SamplerSettings(),
    "4 steps": SamplerSettings(steps=4, sigma_min=0.02, sigma_max=20.0, second_order=False),
}
WINDOW = 16
OTHERS = ((0, 0), (4, 0), (8, 0), (8, 3))
"""Overlaps and offsets beside the default ones."""


@dataclass(frozen=True)
class Left:
    """What windows leave in a sample."""

    seam: float
    """Mean change from frame to frame at the borders of windows that stay, over elsewhere."""
    worst: float
    """The largest change of all places in a window's stride over their median."""
    deviation: float
    """Over that of the whole clip's sample: what windows average away."""


def covariance(frames: int) -> Tensor:
    """K, [F, F]."""
    time = torch.arange(frames, dtype=torch.float64)
    changing = torch.exp(-(((time[:, None] - time) / FRAMES_ALIKE) ** 2) / 2)
    return DEVIATION**2 * (LASTING + (1 - LASTING) * changing)


def exact(x: Tensor, sigma: Tensor, frames: slice) -> Tensor:
    """D of one window: it knows nothing of the frames beside."""
    own = covariance(frames.stop - frames.start)
    gain = own @ torch.linalg.inv(own + float(sigma) ** 2 * torch.eye(len(own), dtype=torch.float64))
    return torch.einsum("ij,bjchw->bichw", gain.float(), x)


def sampled(sampler: SamplerSettings, overlap: int | None, offset: int = 0) -> Tensor:
    """A sample [F, VALUES] by windows, or of the whole clip at once."""
    noise = initial_noise((1, FRAMES, 1, 1, VALUES), sampler, torch.Generator().manual_seed(0))
    denoise: Denoiser = lambda x, sigma: exact(x, sigma, slice(0, FRAMES))  # noqa: E731
    if overlap is not None:
        denoise = WindowedDenoiser(exact, FRAMES, WINDOW, overlap, offset, torch.device("cpu"))
    sigmas = karras_sigmas(sampler.steps, sampler.sigma_min, sampler.sigma_max, sampler.rho)
    return sample(denoise, noise, sigmas, sampler)[0, :, 0, 0]


def left_by(clip: Tensor, whole: Tensor, overlap: int) -> Left:
    """By windows of this overlap."""
    changes, stride = clip.diff(dim=0).abs().mean(1).numpy(), WINDOW - overlap
    spans, at = windows(FRAMES, WINDOW, overlap), np.zeros(FRAMES - 1, np.bool_)
    at[[span.start - 1 for span in spans[1:]]] = True
    at[[span.stop - 1 for span in spans[:-1]]] = True
    phases = [changes[WINDOW + place : FRAMES - WINDOW : stride].mean() for place in range(stride)]
    return Left(
        seam=float(changes[at].mean() / changes[~at].mean()),
        worst=float(np.max(phases) / np.median(phases)),
        deviation=float(clip.std() / whole.std()),
    )


def figures() -> list[Figure]:
    """Of the default windows, with others told beside."""
    settings, found = AnimateSettings(), []
    for name, sampler in SAMPLERS.items():
        whole = sampled(sampler, None)
        ours, *others = (
            left_by(sampled(sampler, *each), whole, each[0])
            for each in ((settings.overlap, settings.window_offset), *OTHERS)
        )
        for what in ("seam", "worst", "deviation"):
            told = ", ".join(
                f"{overlap} and {offset}: {getattr(other, what):.3f}"
                for (overlap, offset), other in zip(OTHERS, others, strict=True)
            )
            words = {
                "seam": "change at borders over elsewhere",
                "worst": "largest change of a place in the stride over the median",
                "deviation": "deviation over that of the whole clip at once",
            }[what]
            found.append(
                Figure(
                    f"{name}: {words}", getattr(ours, what), 1.1 if what == "seam" else None,
                    "higher" if what == "deviation" else "lower", note=f"overlap and offset {told}",
                )
            )  # fmt: skip
    return found
