"""Drawn people who move to and fro for ever, and what animates them: the small base model with tiny.yaml's sampler.

The base model's layers over time are the identity, so that windows could not show in what it makes. `mixing` is the
same model with layers over time at random, small enough to keep its pictures: what a frame becomes then depends on its
place in its window, as it does in a model that was trained on clips.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from diffusers.models.attention import TemporalBasicTransformerBlock
from diffusers.models.resnet import TemporalResnetBlock

from benchmarks.embedded.__main__ import models_of, settings_of
from benchmarks.embedded.judge import Judge, Judged, Pictures
from benchmarks.embedded.people import Person, in_one_shot
from stableanimator.animate import Driven, Driving, Models, aligned
from stableanimator.animate_settings import AnimateSettings
from stableanimator.models.spatio_temporal import temporal_layers

KINDS = ("gesture", "wave", "talk")
WAY = 26
"""Frames of one way; to and fro are 50."""
MIXED = 0.05
"""Standard deviation of the random weights over time: a frame at a window's end is off by a grey level, as
much as these people's pictures change from one frame to the next."""


@dataclass(frozen=True)
class Bench:
    """What a process needs."""

    models: Models
    settings: AnimateSettings
    judge: Judge


@dataclass(frozen=True)
class Loop:
    """Somebody who moves to and fro, and what is seen in the true frames."""

    person: Person
    """Of one period."""
    truth: Pictures
    """[P, H, W, 3] as the animation frames them."""
    seen: Judged

    @property
    def period(self) -> int:
        """Frames."""
        return len(self.truth)

    def moments(self, frames: int) -> npt.NDArray[np.int64]:
        """[F] which moment of the period each frame of a long drive shows."""
        return np.arange(frames) % self.period

    def driven(self, frames: int) -> Driven:
        """A drive of any length."""
        poses = self.person.driving.keypoints[self.moments(frames)]
        drive = Driving(keypoints=poses, height=self.person.driving.height, width=self.person.driving.width, fps=8.0)
        return aligned(self.person.reference, drive, bench().settings)


@lru_cache(maxsize=1)
def bench() -> Bench:
    """This process's own."""
    torch.set_num_threads(1)
    config = settings_of(["encoders.checkpoint_decoder=false"])
    settings = replace(config.animate.variants["plain"], alignment="none", face_optimisation=False)
    return Bench(models_of(config), settings, Judge())


def loops(count: int, seed: int) -> list[Loop]:
    """The first `count` people from a seed on whose face is seen in the reference and in most true frames."""
    found: list[Loop] = []
    while len(found) < count:
        person = in_one_shot(KINDS[seed % len(KINDS)], seed, bench().judge, WAY)
        seed += 1
        if person is None:
            continue
        there = [*range(WAY), *range(WAY - 2, 0, -1)]
        driving = replace(person.driving, keypoints=person.driving.keypoints[there])
        person = replace(person, driving=driving, truth=person.truth[there])
        truth = aligned(person.reference, driving, bench().settings).framing.pictures(person.truth)
        seen = bench().judge(truth)
        if np.mean([identity is not None for identity in seen.identities]) >= 0.9:
            found.append(Loop(person, truth, seen))
    return found


def mixing(models: Models, scale: float = MIXED, seed: int = 0) -> Models:
    """The same networks, the denoiser's layers over time at random."""
    animator = copy.deepcopy(models.animator)
    generator = torch.Generator().manual_seed(seed)
    for layer in temporal_layers(animator.unet):
        for each in layer.modules():
            lasts = []
            if isinstance(each, TemporalResnetBlock):
                lasts = [each.conv2]
            elif isinstance(each, TemporalBasicTransformerBlock):
                lasts = [each.ff_in.net[-1], each.ff.net[-1], each.attn1.to_out[0]]
            for last in lasts:
                last.weight.data = scale * torch.randn(last.weight.shape, generator=generator)
    return replace(models, animator=animator)
