"""How long an animation takes and how much memory, on the machine that an actor is given. No Ray here."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jobs.pairs.animate import AnimatePair
from jobs.pairs.animate_job import AnimateJob
from jobs.pairs.cost import Cost
from jobs.pairs.settings import LatencySettings
from stableanimator.animate import Driven, Reference, animate
from stableanimator.media.framing import Framing, Size
from stableanimator.perception.skeleton import FACE

_GIB = 2**30
_CPU_INFO = Path("/proc/cpuinfo")


class TimeAnimations:
    """`actor({"variant": name})` animates somebody who holds still, again and again, and returns a row: the variant,
    `seconds` of each animation after the first, `first_seconds`, `peak_gib`, `machine`, `threads`.

    From a reference and aligned poses to frames; finding the person and writing the video are not in it.

    Raises:
        CheckpointError, WeightsError: as `AnimatePair`.
    """

    def __init__(self, job: AnimateJob, latency: LatencySettings) -> None:
        self.job, self.latency = job, latency
        self.models = AnimatePair(job).models

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Raises torch.OutOfMemoryError where the card is too small."""
        settings = self.job.settings.variants[item["variant"]]
        frames, size = self.latency.frames, self.latency.size
        settings = replace(settings, sizes=(size,), fit="cover", max_frames=None)
        width = self.models.animator.settings.face_encoder.embedding_width
        reference, driven = still_person(size, frames, self.models.rates.fps[0], width)
        on_gpu = self.models.device.type == "cuda"
        costs = []
        for _ in range(1 + self.latency.repeats):
            with Cost(on_gpu) as cost:
                animate(self.models, reference, driven, settings)
            costs.append(cost)
        seconds = [each.seconds for each in costs]
        return {
            "variant": item["variant"],
            "first_seconds": seconds[0],
            "seconds": seconds[1:],
            "peak_gib": max(each.peak_bytes for each in costs) / _GIB,
            "machine": torch.cuda.get_device_name() if on_gpu else _cpu_name(),
            "threads": torch.get_num_threads(),
        }


def _cpu_name() -> str:
    """As `AMD EPYC 9B14, 2 cores`."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def still_person(size: Size, frames: int, fps: float, embedding_width: int) -> tuple[Reference, Driven]:
    """A picture of noise, and somebody in its middle who holds still: a face in every frame."""
    height, width = size
    random = np.random.default_rng(0)
    pose = np.full((133, 3), 0.9, np.float32)
    pose[:, :2] = random.uniform((0.4 * width, 0.1 * height), (0.6 * width, 0.9 * height), (133, 2))
    pose[FACE, 2] = 0  # of the face, nose and eyes are known
    pose[:3, :2] = np.array([[0.5, 0.3], [0.55, 0.25], [0.45, 0.25]]) * (width, height)
    reference = Reference(
        picture=random.integers(0, 256, (height, width, 3), dtype=np.uint8),
        keypoints=pose[None],
        face_box=np.array([0.4 * width, 0.15 * height, 0.6 * width, 0.4 * height], np.float32),
        face_embedding=random.normal(size=embedding_width).astype(np.float32),
    )
    poses = np.repeat(pose[None, None], frames, 0)
    return reference, Driven(poses=poses, fps=fps, framing=Framing.cover(size, size), joints_in_picture=1.0)
