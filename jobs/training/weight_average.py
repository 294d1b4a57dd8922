"""The running mean of the weights (EMA), which small and long trainings are exported by.

It is kept where DeepSpeed keeps the fp32 weights: with ZeRO each worker averages its own share of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from jobs.training.keeping.soundness import fp32_weights

TAG = "ema"
"""DeepSpeed's name for a checkpoint with the mean in place of the weights."""


class WeightAverage:
    """m <- d m + (1 - d) w after each step, with d = min(decay, (1 + t) / (10 + t)) at step t, so that the first
    weights are soon forgotten (as TensorFlow's ExponentialMovingAverage does).

    Args:
        engine: DeepSpeed's.
        decay: 0 to below 1.
    """

    def __init__(self, engine: Any, decay: float) -> None:
        self._engine, self._decay = engine, decay
        self.mean = [weight.detach().clone() for weight in self._weights()]
        """Of this worker's share."""

    def _weights(self) -> list[Tensor]:
        return fp32_weights(self._engine)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step `step`, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [weight.detach() for weight in self._weights()], 1 - decay)

    @contextmanager
    def in_place_of_weights(self) -> Iterator[None]:
        """The optimiser's fp32 weights are the mean, for a checkpoint to be written."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def take_weights(self) -> None:
        """The mean becomes what the weights are: after a checkpoint of the mean was loaded."""
        for mean, weight in zip(self.mean, self._weights(), strict=True):
            mean.copy_(weight)

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, weight in zip(self.mean, self._weights(), strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)
