"""The full size on a GPU, where there is one: seconds and memory of a forward pass and of a training pass, bf16.

Weights are random, which changes neither. It is what `benchmarks.model.cost` counts, on a real machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.harness import Figure, half_range
from benchmarks.model.cost import FRAMES, SIZES, blank_clip
from stableanimator.media.framing import Size
from stableanimator.models.animator import Animator
from stableanimator.models.settings import ModelSettings
from stableanimator.models.unet import checkpoint_activations

_REPEATS = 3
_GIB = 2**30


def cuda_figures(model: ModelSettings, frames: int = FRAMES, size: Size = SIZES[0]) -> list[Figure]:
    """Forward, and forward and backward with gradient checkpointing, of one clip on the current CUDA device.

    Where memory does not suffice the values are NaN and the note says so.
    """
    torch.manual_seed(0)
    animator = Animator(model).to("cuda", torch.bfloat16)
    x, _, conditioning = blank_clip(model, frames, size)
    x, sigma = torch.randn_like(x).cuda(), torch.ones(1, device="cuda")
    for value in (conditioning.reference_latent, conditioning.clip_embedding, conditioning.face_embedding):
        value.normal_()
    conditioning.pose.uniform_(-1, 1)
    conditioning.added_time_ids.fill_(1)
    conditioning = conditioning.to("cuda")

    @torch.no_grad()
    def forward() -> None:
        animator.eval().denoise(x, sigma, conditioning)

    def backward() -> None:
        animator.train().denoise(x, sigma, conditioning).square().mean().backward()
        animator.zero_grad()

    checkpoint_activations(animator.unet)
    where = f"{frames} x {size[0]}x{size[1]} bf16 on {torch.cuda.get_device_name()}"
    return [*_measured("forward", forward, where), *_measured("forward and backward, checkpointing", backward, where)]


def _measured(name: str, work: Callable[[], None], where: str) -> list[Figure]:
    """Median seconds, and the most memory that PyTorch had allocated, weights included."""
    seconds: list[float] = []
    note = f"{_REPEATS} repeats after one to warm up; weights are in the memory"
    torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(1 + _REPEATS):
            torch.cuda.synchronize()
            started = time.perf_counter()
            work()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
    except torch.OutOfMemoryError:
        seconds, note = [float("nan")], "out of memory"
    peak = torch.cuda.max_memory_allocated() / _GIB if len(seconds) > 1 else float("nan")
    timed = seconds[1:] or seconds
    return [
        Figure(f"seconds of {name}, {where}", statistics.median(timed), None, "lower", "s", half_range(timed), note),
        Figure(f"memory of {name}, {where}", peak, None, "lower", "GiB", note=note),
    ]
