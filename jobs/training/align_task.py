"""Alignment pretraining as a training task. Imports no diffusion model, which would double its workers' start."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jobs.training.dis_report import Scores, clip_rows, dis_rows, metrics
from jobs.training.sample_order import Indices, Pass
from jobs.training.task import Findings, OpensLate
from stableanimator.alignment.aligner import Aligner, alignment_loss
from stableanimator.alignment.scoring.drives import Drive, drives_of_clip, procedural_drives
from stableanimator.alignment.scoring.evaluate import compare
from stableanimator.alignment.scoring.pictures import worst_cases
from stableanimator.alignment.settings import AlignmentScope, AlignSettings
from stableanimator.alignment.training_data.pose_clips import Poses
from stableanimator.alignment.training_data.training_pairs import AlignmentPairs

SCOPES: tuple[AlignmentScope, ...] = ("frame", "steady", "clip")

Clips = Sequence[Poses]


class AlignTask(OpensLate):
    """Alignment pretraining: Eq. 12 on pairs of poses.

    Args:
        settings: pairs, network and seed.
        clips: poses [F, 18, 3] of training clips in image heights.
        held_out: the same of held-out clips.
        held_out_names: of those clips.
        config: what is written beside the weights, for people.
    """

    def __init__(
        self,
        settings: AlignSettings,
        clips: Clips,
        held_out: Clips,
        held_out_names: Sequence[str],
        config: dict[str, Any],
    ) -> None:
        self.settings, self.config = settings, config
        self._clips, self._held_out, self._names = clips, held_out, list(held_out_names)

    @cached_property
    def _pairs(self) -> AlignmentPairs:
        return AlignmentPairs(self.settings, self._clips)

    @cached_property
    def _validation(self) -> AlignmentPairs:
        return AlignmentPairs(self.settings, self._held_out, "validation")

    @cached_property
    def drives(self) -> list[Drive]:
        """What Dis is measured on: held-out clips, or procedural people where there are none."""
        return evaluation_drives(self.settings, self._names, self._held_out)

    @cached_property
    def _baselines(self) -> Scores:
        """They do not change while the network learns."""
        others = tuple(name for name in self.settings.evaluation.methods if name != "learned")
        return compare(others, SCOPES, self.drives)

    def scores(self, aligner: nn.Module) -> Scores:
        """Dis of every alignment on every drive."""
        return {**self._baselines, **compare(("learned",), SCOPES, self.drives, aligner)}

    def groups(self) -> list[Indices]:
        return [np.arange(self.settings.steps * self.settings.batch_size)]

    def validation_groups(self) -> list[Indices]:
        return [np.arange(self.settings.validation_pairs)]

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

    def examine(self, module: nn.Module) -> Findings:
        """Dis of every alignment, by framing and by clip, and pictures of the worst cases."""
        scores, worst = self.scores(module), self.settings.evaluation.worst
        pictures = {}
        if worst:
            picture = worst_cases(self.drives, scores["learned", "clip"], worst, "learned", "clip", module)
            pictures["worst_cases"] = picture
        rows = dis_rows(scores, self.drives)
        return Findings(
            metrics=metrics(rows),
            tables={"dis": rows, "dis_by_clip": clip_rows(scores, self.drives)},
            pictures=pictures,
        )

    def export(self, folder: Path, state: dict[str, Tensor]) -> None:
        from stableanimator.alignment.aligner_folder import save_aligner_folder

        save_aligner_folder(folder, self.settings.aligner, state, self.config)


def evaluation_drives(settings: AlignSettings, names: Sequence[str], held_out: Clips) -> list[Drive]:
    """Drives of held-out clips, or of procedural people where no held-out clip can be used."""
    evaluation, pairs = settings.evaluation, settings.pairs
    drives = [
        drive
        for name, poses in list(zip(names, held_out, strict=True))[: evaluation.clips]
        for drive in drives_of_clip(
            name,
            poses,
            settings.misalignment,
            count=evaluation.drives_per_clip,
            frames=evaluation.frames,
            seed=settings.seed,
            minimum_joints=pairs.minimum_joints,
            person=name.split(":")[0],  # the video's id of a shot's
        )
    ]
    return drives or procedural_drives(
        pairs.procedural,
        settings.misalignment,
        evaluation.clips * evaluation.drives_per_clip,
        settings.seed,
        pairs.minimum_joints,
    )
