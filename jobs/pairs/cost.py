"""What a piece of work takes: seconds, and memory at its peak."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_PEAK = "5"
"""What Linux forgets the process's peak at."""


class Cost:
    """with Cost(on_gpu) as cost:
        animate(...)
    cost.seconds, cost.peak_bytes

    Memory is what PyTorch had allocated on the GPU, or all of the process on a CPU; weights are in both. Where the peak
    cannot be forgotten, that on a CPU is the process's since it began.
    """

    def __init__(self, on_gpu: bool) -> None:
        self.on_gpu = on_gpu
        self.seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> Cost:
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            with contextlib.suppress(OSError):
                _CLEAR.write_text(_PEAK)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._started
        self.peak_bytes = (
            int(torch.cuda.max_memory_allocated())
            if self.on_gpu
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
