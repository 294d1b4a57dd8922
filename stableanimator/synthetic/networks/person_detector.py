"""A person detector with the interface of YOLOX (arXiv 2107.08430) as DWPose's code runs it.

    images [1, 3, 256, 256] BGR grey levels  ->  output [1, 1344, 6]

A row is, for a cell of stride 8, 16 or 32: the box's centre from the cell's corner and its size, (x, y) / stride and
log(size / stride); that there is something; that it is a person.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.synthetic.networks.backbone import Backbone, ConvUnit, Pyramid, focal_loss, giou_loss, rows_of
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.training import Batch

SIDE = 256
STRIDES = (8, 16, 32)
_LONGEST = ((0.0, 72.0), (48.0, 160.0), (112.0, 1e9))
"""Longer sides of the people that each stride looks for, pixels."""
_REACH = 1.3  # cells within so many strides of a person's centre look for them
_UNSURE = 1.3  # beyond these by up to this factor, a stride may find someone or not
_LEAST_SIDE = 8.0


class PersonDetector(nn.Module):
    """`forward` gives raw rows [B, 1344, 6]: box as in a file, the last two as logits."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 72, 96)
        self.backbone = Backbone(widths, (1, 1, 1, 1))
        self.pyramid = Pyramid(widths, 48)
        self.towers = nn.ModuleList(ConvUnit(48, 48) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(48, 6, 3, 1, 1) for _ in STRIDES)
        for head in self.heads:
            nn.init.constant_(head.bias, 0.0)
            with torch.no_grad():
                head.bias[4] = -4.0

    def forward(self, picture: Tensor) -> Tensor:
        levels = self.pyramid(self.backbone(picture / 127.5 - 1))
        found = [head(tower(level)) for level, tower, head in zip(levels, self.towers, self.heads, strict=True)]
        return torch.cat([rows_of(level, 6) for level in found], 1)

    def export(self, picture: Tensor) -> Tensor:
        """The output of a file."""
        rows = self(picture)
        return torch.cat([rows[..., :4], torch.sigmoid(rows[..., 4:])], -1)


def cells_of(side: int) -> NDArray[np.float32]:
    """[N, 3] column, row, stride of each row of the output."""
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[: side // stride, : side // stride]
        rows.append(np.stack([x, y, np.full_like(x, stride)], -1).reshape(-1, 3))
    return np.concatenate(rows).astype(np.float32)


def targets_of(
    boxes: NDArray[np.float32], cells: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For people [M, 4] of one picture: score [N] (1 person, 0 nobody, -1 either is right) and corners [N, 4]."""
    score, truth = np.zeros(len(cells), np.float32), np.zeros((len(cells), 4), np.float32)
    truth[:, 2:] = 1
    stride = cells[:, 2]
    centres = (cells[:, :2] + 0.5) * stride[:, None]
    limits = np.array([_LONGEST[STRIDES.index(int(one))] for one in stride])
    sides = boxes[:, 2:] - boxes[:, :2]
    for number in np.argsort(-sides.prod(-1)):
        box, longer = boxes[number], float(sides[number].max())
        away = np.abs(centres - (box[:2] + box[2:]) / 2)
        near = (away <= np.minimum(_REACH * stride[:, None], np.maximum(sides[number] / 2, stride[:, None] / 2))).all(1)
        if longer < _LEAST_SIDE:
            score[near] = -1
            continue
        fits = (longer >= limits[:, 0]) & (longer <= limits[:, 1])
        nearly = (longer >= limits[:, 0] / _UNSURE) & (longer <= limits[:, 1] * _UNSURE)
        score[near & nearly] = -1
        score[near & fits] = 1
        truth[near & fits] = box
    return score, truth


def person_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Focal loss of there being someone, GIoU of the boxes, cross entropy of the class."""
    found = network(batch["picture"]).float()
    cells = batch["cells"][0]
    centre = (found[..., :2] + cells[:, :2]) * cells[:, 2:]
    half = torch.exp(found[..., 2:4].clamp(max=6)) * cells[:, 2:] / 2
    corners = torch.cat([centre - half, centre + half], -1)
    score = batch["score"]
    positive = score == 1
    count = positive.sum().clamp(min=1)
    scores = (focal_loss(found[..., 4], score.clamp(min=0)) * (score >= 0)).sum() / count
    boxes = giou_loss(corners[positive], batch["corners"][positive]).sum() / count
    people = F.softplus(-found[..., 5][positive]).sum() / count  # there is no other class
    parts = {"score": scores.item(), "giou": boxes.item()}
    return 2 * scores + 2 * boxes + 0.2 * people, parts


class PersonSamples:
    """Scenes with the targets of their people."""

    def __init__(self, scenes: SceneSamples) -> None:
        self._scenes = scenes
        self._cells = cells_of(scenes.side)

    def __call__(self, generator: np.random.Generator, count: int) -> Batch:
        """A batch: picture [B, 3, S, S] BGR, score [B, N], corners [B, N, 4], cells [B, N, 3]."""
        scenes = [self._scenes.draw(generator) for _ in range(count)]
        made = [targets_of(scene.person_boxes, self._cells) for scene in scenes]
        score, corners = (torch.from_numpy(np.stack(one)) for one in zip(*made, strict=True))
        return {
            "picture": self._scenes.tensor(scenes).flip(1).contiguous(memory_format=torch.channels_last),
            "score": score,
            "corners": corners,
            "cells": torch.from_numpy(self._cells).expand(count, -1, -1),
        }
