"""The running mean of the weights (EMA), which small and long trainings are exported by.

It is kept where DeepSpeed keeps the fp32 weights: with ZeRO each worker averages its own share of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

TAG = "ema"
"""DeepSpeed's name for a checkpoint with the mean in place of the weights."""

_SHARES = (
    "single_partition_of_fp32_groups",  # ZeRO 1 and 2
    "fp32_partitioned_groups_flat",  # ZeRO 3
    "fp32_groups_flat_partition",  # its optimiser for bf16
)


class WeightAverage:
    """m <- d m + (1 - d) w after each step, with d = min(decay, (1 + t) / (10 + t)) at step t, so that the first
    weights are soon forgotten (as TensorFlow's ExponentialMovingAverage does).

    Args:
        engine: DeepSpeed's.
        decay: 0 to below 1.
    """

    def __init__(self, engine: Any, decay: float) -> None:
        self._engine, self._decay = engine, decay
        self._mean = [weight.detach().clone() for weight in self._weights()]

    def _weights(self) -> list[Tensor]:
        """This worker's share of the fp32 weights."""
        for name in _SHARES:
            if hasattr(self._engine.optimizer, name):
                return list(getattr(self._engine.optimizer, name))
        return [parameter for parameter in self._engine.module.parameters() if parameter.requires_grad]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step `step`, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._mean, [weight.detach() for weight in self._weights()], 1 - decay)

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
        for mean, weight in zip(self._mean, self._weights(), strict=True):
            mean.copy_(weight)

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, weight in zip(self._mean, self._weights(), strict=True):
            held = weight.detach().clone()
            weight.copy_(mean)
            mean.copy_(held)
