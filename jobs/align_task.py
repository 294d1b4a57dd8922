"""Alignment pretraining as a training task. Imports no diffusion model, which would double its workers' start."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jobs.sample_order import Indices, Pass
from jobs.training_task import OpensLate
from stableanimator.alignment.aligner import Aligner, alignment_loss
from stableanimator.alignment.settings import AlignSettings
from stableanimator.alignment.training_pairs import AlignmentPairs

Clips = Sequence[npt.NDArray[np.float32]]


class AlignTask(OpensLate):
    """Alignment pretraining: Eq. 12 on pairs of poses.

    Args:
        settings: pairs, network and seed.
        clips: poses [F, 18, 3] of training clips in image heights.
        held_out: the same of held-out clips.
        validation_pairs: held-out pairs of which the loss is also measured.
        config: what is written beside the weights, for people.
    """

    def __init__(
        self, settings: AlignSettings, clips: Clips, held_out: Clips, validation_pairs: int, config: dict[str, Any]
    ) -> None:
        self.settings, self.config = settings, config
        self._clips, self._held_out = clips, held_out
        self._validation_pairs = min(validation_pairs, settings.evaluation_pairs)

    @cached_property
    def _pairs(self) -> AlignmentPairs:
        return AlignmentPairs(self.settings, self._clips)

    @cached_property
    def _validation(self) -> AlignmentPairs:
        return AlignmentPairs(self.settings, self._held_out, "evaluation")

    def groups(self) -> list[Indices]:
        return [np.arange(self.settings.steps * self.settings.batch_size)]

    def validation_groups(self) -> list[Indices]:
        return [np.arange(self._validation_pairs)]

    def load(self, piece: Pass) -> dict[str, Tensor]:
        pairs = self._validation if piece.validation else self._pairs
        return pairs.batch([draw.index for draw in piece.draws])

    def build(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return Aligner(self.settings.aligner)

    def loss(self, module: nn.Module, batch: dict[str, Tensor], piece: Pass, device: torch.device) -> Tensor:
        reference, driven, truth = (batch[name].to(device) for name in ("reference", "driven", "truth"))
        return alignment_loss(module(reference, driven).apply(driven[..., :2]), truth)

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        from stableanimator.alignment.aligner_folder import save_aligner_folder

        save_aligner_folder(folder, self.settings.aligner, state, self.config)
