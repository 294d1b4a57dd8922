"""Training of U-Net, FaceEncoder and PoseNet as a training task."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs.training.sample_order import Indices, Pass
from jobs.training.settings import TrainSettings
from jobs.training.task import OpensLate
from pipelines.shards.reader import ShardRows
from pipelines.storage.store import Collection
from stableanimator.alignment.aligner import Aligner
from stableanimator.alignment.aligner_folder import load_aligner_folder
from stableanimator.models.animator import Animator
from stableanimator.models.checkpoints import load_svd_unet, save_model_folder, start_from
from stableanimator.models.settings import FrameRates, ModelSettings
from stableanimator.models.spatio_temporal import leave_time_out
from stableanimator.models.unet import checkpoint_activations, speed_up
from stableanimator.training import (
    StepDraws,
    TrainingBatch,
    freeze_all_but,
    generator,
    join,
    make_sample,
    training_loss,
)

_HELD_OUT = 1 << 32  # added to the seed for held-out samples, so that they share no random numbers with training's


class DenoiserTask(OpensLate):
    """Training of U-Net, FaceEncoder and PoseNet: Eq. 25 on windows of shard rows.

    Args:
        settings: samples, loss and seed.
        model: sizes of the networks.
        shards: what to train on.
        aligner: folder of the aligner that the model carries, or None.
        config: what is written beside the weights.
    """

    def __init__(
        self,
        settings: TrainSettings,
        model: ModelSettings,
        shards: Collection,
        aligner: Path | None,
        config: dict[str, Any],
    ) -> None:
        self.settings, self.model, self.config = settings, model, config
        self._shards, self._aligner_folder = shards, aligner

    @cached_property
    def rows(self) -> ShardRows:
        """Training rows."""
        return ShardRows(self._shards, "train")

    @cached_property
    def held_out(self) -> ShardRows:
        """Rows of held-out videos."""
        return ShardRows(self._shards, "heldout")

    @cached_property
    def aligner(self) -> Aligner | None:
        """On the CPU."""
        return None if self._aligner_folder is None else load_aligner_folder(self._aligner_folder)

    def groups(self) -> list[Indices]:
        return self.rows.groups

    def validation_groups(self) -> list[Indices]:
        """Rows spread evenly over the held-out ones."""
        count = len(self.held_out)
        kept = np.unique(np.linspace(0, count - 1, min(count, self.settings.validation_rows)).round().astype(np.int64))
        return [group[np.isin(group, kept)] for group in self.held_out.groups]

    def load(self, piece: Pass) -> TrainingBatch:
        rows, seed = (self.held_out, self._seed(True)) if piece.validation else (self.rows, self._seed(False))
        return join(
            [
                make_sample(
                    rows[draw.index],
                    self.settings.step,
                    generator(seed, draw.epoch, draw.index),
                    self.aligner,
                    self.model.skeleton,
                )
                for draw in piece.draws
            ]
        )

    def build(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.loop.seed)
            animator = Animator(self.model)
        if self.settings.svd is not None:
            load_svd_unet(animator, self.settings.svd)
        if self.settings.start is not None:
            start_from(animator, self.settings.start)
        freeze_all_but(animator, self.settings.step.trainable)
        if not self.settings.step.temporal:
            leave_time_out(animator.unet)
        if self.settings.step.gradient_checkpointing:
            checkpoint_activations(animator.unet)
        # Not channels_last: ZeRO lays the weights out anew and loses their memory format.
        speed_up(animator.unet, compiled=self.settings.step.compile, channels_last=False)
        return animator

    def loss(self, module: nn.Module, batch: TrainingBatch, piece: Pass, device: torch.device) -> Tensor:
        draws = StepDraws(
            seed=self._seed(piece.validation),
            step=piece.step,
            batch_size=piece.batch_size,
            positions=[draw.position for draw in piece.draws],
        )
        return training_loss(module, batch.to(device), draws, self.settings.step).mean()

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        with torch.device("meta"):
            animator = Animator(self.model)
        animator.load_state_dict(state, assign=True)
        rates = FrameRates(fps=self.rows.rates, fps_id=self.settings.step.fps_id)
        save_model_folder(folder, animator, self.aligner, rates, self.config)

    def _seed(self, validation: bool) -> int:
        return self.settings.loop.seed + (_HELD_OUT if validation else 0)
