"""What the training loop asks of what it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jobs.training.sample_order import Indices, Pass
from jobs.training.settings import LoopSettings
from pipelines.shards.pictures import Pictures, read_pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a task has to say of its module at a validation, beside the loss."""

    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Rows by the table's name."""
    pictures: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """RGB [H, W, 3] by name."""


class TrainingTask(Protocol):
    """What is trained, on what. It travels to workers and their loader processes, so it opens files late."""

    def groups(self) -> list[Indices]:
        """Numbers of the training samples, one array for each set that may share a batch."""

    def validation_groups(self) -> list[Indices]:
        """The same for held-out samples; empty for none."""

    def load(self, piece: Pass) -> Any:
        """The samples of a pass as one batch on the CPU. The same pass gives the same batch in every process."""

    def build(self) -> nn.Module:
        """The module with its first weights, the same in every process; what shall not learn requires no gradient."""

    def loss(self, module: nn.Module, batch: Any, piece: Pass, device: torch.device) -> Tensor:
        """Mean loss over a pass; random numbers follow from the pass alone. `module` is `build`'s in DeepSpeed's hands:
        call it, do not reach into it."""

    def examine(self, module: nn.Module) -> Findings:
        """More than the loss at a validation. It is called on every worker, since the weights may be spread over them,
        and asked of the same things on each; the first worker reports it."""

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        """Write a state dict of `build`'s module (fp32, on the CPU) where people and other jobs read it."""


class OpensLate:
    """For tasks: properties cached by `functools.cached_property` do not travel; each process opens its own. There is
    nothing to examine unless a task says so."""

    def examine(self, module: nn.Module) -> Findings:
        """Nothing more."""
        return Findings()

    def __getstate__(self) -> dict[str, Any]:
        kinds = type(self).__mro__
        opened = {name for kind in kinds for name, value in vars(kind).items() if isinstance(value, cached_property)}
        return {name: value for name, value in self.__dict__.items() if name not in opened}


class OnPictures(OpensLate):
    """For tasks that learn from pairs of pictures of clips.

    Args:
        loop: how long.
        training: stem of the training pictures (`pipelines.shards.pictures`).
        held_out: of held-out ones, or None.
    """

    def __init__(self, loop: LoopSettings, training: Path, held_out: Path | None) -> None:
        self._loop, self._training, self._held_out = loop, training, held_out

    @cached_property
    def pictures(self) -> Pictures:
        """Training pairs."""
        return read_pictures(self._training)

    @cached_property
    def held_out(self) -> Pictures | None:
        """Pairs of held-out clips."""
        return None if self._held_out is None else read_pictures(self._held_out)

    def groups(self) -> list[Indices]:
        """All training pairs may share a batch."""
        return [np.arange(len(self.pictures))]

    def validation_groups(self) -> list[Indices]:
        """And all held-out ones."""
        return [] if self.held_out is None else [np.arange(len(self.held_out))]

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self._loop.steps or self._loop.epochs * -(-len(self.pictures) // self._loop.batch_size)
