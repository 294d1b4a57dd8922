"""Clips of any length: overlapping windows, fused at every denoising step.

A denoiser that was trained on clips of some length predicts a longer one window by window. Where windows overlap, their
predictions are averaged with weights that fall towards the windows' ends, and the sampler takes one step on all frames
(MimicMotion, arXiv 2406.19680, progressive latent fusion). No frame is made from another one's pixels, so nothing adds
up along a clip. Decoding in chunks is fused the same way.

    denoise = WindowedDenoiser(denoise_window, frames, 16, 4, 5, device)
    latents = sample(denoise, noise, sigmas, settings, over_frames=part_by_part(16))

Latents of all frames lie in the machine's main memory, or in a file (`stableanimator.media.frame_store`); what is
computed at one time, on the device, is a window. A clip of one window is sampled as if there were no windows.

F frames of a clip   n of a window   C h w latent channels, height, width
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from stableanimator.diffusion.hjb import FaceOptimisation, FaceOptimisationRecord
from stableanimator.diffusion.sampler import OverFrames, empty_latents

WindowDenoiser = Callable[[Tensor, Tensor, slice], Tensor]
"""denoise(x [1, n, C, h, w], sigma, which frames of the clip) -> x_pred of the same shape."""


def windows(frames: int, window: int, overlap: int, offset: int = 0) -> list[slice]:
    """Stretches of `window` frames that cover a clip, in order; neighbours share `overlap` of them, or more where the
    first and the last one are moved into the clip. A clip that is not longer is one stretch.

    Args:
        offset: frames by which all begin earlier; where windows meet differs with it.
    """
    length, stride = min(window, frames), window - overlap
    begins = range(-(offset % stride), max(frames - overlap, 1), stride)
    starts = sorted({min(max(begin, 0), frames - length) for begin in begins})
    return [slice(start, start + length) for start in starts]


def triangle(length: int) -> Tensor:
    """Weights of a window's frames, [n]: MimicMotion's, 1 in the middle and 1 / n at both ends."""
    rising = (torch.arange(length, dtype=torch.float32) + 0.5) * 2 / length
    return torch.minimum(rising, 2 - rising)


def fused(spans: Sequence[slice], values_of: Callable[[slice], Tensor]) -> Iterator[Tensor]:
    """Weighted means of what overlapping stretches say of their frames, in the order of the frames.

    Each stretch is asked once, in order, and frames leave as soon as no later stretch speaks of them: memory holds two
    stretches. What only one stretch speaks of is as it says, bit for bit.

    Args:
        spans: from `windows`.
        values_of: [n, ...] of a stretch.
    """
    weights = [triangle(span.stop - span.start) for span in spans]
    totals = torch.zeros(spans[-1].stop)
    for span, weight in zip(spans, weights, strict=True):
        totals[span] += weight
    ends = [*(after.start for after in spans[1:]), spans[-1].stop]
    open_sums: Tensor | None = None  # of the frames that the last stretch shares with the next one
    for span, weight, end in zip(spans, weights, ends, strict=True):
        values = values_of(span)
        share = (weight / totals[span]).to(values).reshape(-1, *[1] * (values.ndim - 1))
        values = values * share
        if open_sums is not None:
            values[: len(open_sums)] += open_sums
        done = end - span.start
        yield values[:done]
        open_sums = values[done:]


class WindowedDenoiser:
    """A `denoise(x, sigma)` of all frames for the sampler, by a denoiser of windows.

    Args:
        denoise: of one window.
        frames: of the clip.
        window, overlap: as `windows` takes them.
        offset: frames by which windows begin earlier at each evaluation than at the one before, so that no frame is
            always at a window's end; 0: they stay where they are.
        device: where windows are computed. Latents of more than one window come from elsewhere and go back.
    """

    def __init__(
        self, denoise: WindowDenoiser, frames: int, window: int, overlap: int, offset: int, device: torch.device
    ) -> None:
        self._denoise, self._frames, self._device = denoise, frames, device
        self._window, self._overlap, self._offset = window, overlap, offset
        self._evaluations = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Noisy latents [1, F, C, h, w] -> predicted ones, where `x` is."""
        spans = windows(self._frames, self._window, self._overlap, self._evaluations * self._offset)
        self._evaluations += 1
        if len(spans) == 1:
            return self._denoise(x, sigma, spans[0])
        level = sigma.to(self._device)
        result, start = empty_latents(x.shape), 0
        for values in fused(spans, lambda span: self._denoise(x[:, span].to(self._device), level, span)[0]):
            result[0, start : start + len(values)] = values
            start += len(values)
        return result


def part_by_part(frames: int) -> OverFrames:
    """The sampler's arithmetic on so many frames at a time, for latents that do not fit into memory."""

    def over_frames(function: Callable[..., Tensor], *latents: Tensor) -> Tensor:
        result = empty_latents(latents[0].shape)
        for start in range(0, result.shape[1], frames):
            part = slice(start, start + frames)
            result[:, part] = function(*(each[:, part] for each in latents))
        return result

    return over_frames


class FaceOptimisationInParts:
    """Face optimisation of a long clip as a sampler hook: each part on its own, one of them on the device at a time.

    A part has its own mean of losses, as a clip of its length has, and its own decision whether updates are taken. The
    report is that of the whole clip, with means over all its faces.

    Args:
        whole: of the whole clip.
        frames: of a part; a multiple of its decoding chunk.
        device: where parts are computed.
    """

    def __init__(self, whole: FaceOptimisation, frames: int, device: torch.device) -> None:
        self.report, self._whole, self._device = whole.report, whole, device
        starts = [*range(0, whole.report.frames, frames), whole.report.frames]
        self._parts = [(slice(*ends), whole.part(slice(*ends))) for ends in pairwise(starts)]

    def __call__(self, x_pred: Tensor, step: int, steps: int, sigma: float) -> Tensor:
        """As `FaceOptimisation`; `x_pred` itself comes back where no part has changed."""
        result: Tensor | None = None
        for frames, hook in self._parts:
            before = x_pred[:, frames].to(self._device)
            after = hook(before, step, steps, sigma)
            if after is not before:
                if result is None:
                    result = empty_latents(x_pred.shape).copy_(x_pred)
                result[:, frames] = after
        if self._records(step):
            self.report.records.append(self._mean(step, sigma))
        return x_pred if result is None else result

    def observe(self, step: int, carried: Tensor) -> None:
        """What the sampler goes on with after an optimised step, for the report."""
        for frames, hook in self._parts:
            if hook.report.records:
                hook.observe(step, carried[:, frames].to(self._device))
        self.report.records[-1] = self._mean(step, self.report.records[-1].sigma)

    def judge(self, pictures: Tensor, first: int = 0) -> None:
        """As `FaceOptimisation.judge`."""
        self._whole.judge(pictures, first)

    def _records(self, step: int) -> list[tuple[int, FaceOptimisationRecord]]:
        """What the parts with a face did in a step, and how many faces each has."""
        reports = [hook.report for _, hook in self._parts if hook.report.records]
        return [(report.faces, report.records[-1]) for report in reports if report.records[-1].step == step]

    def _mean(self, step: int, sigma: float) -> FaceOptimisationRecord:
        found = self._records(step)
        faces = sum(count for count, _ in found)
        known = all(record.carried is not None for _, record in found)
        return FaceOptimisationRecord(
            step=step,
            sigma=sigma,
            before=sum(count * record.before for count, record in found) / faces,
            after=sum(count * record.after for count, record in found) / faces,
            carried=sum(count * (record.carried or 0.0) for count, record in found) / faces if known else None,
        )
