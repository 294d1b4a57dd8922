"""A face detector with five landmarks, with the interface of SCRFD (arXiv 2105.04714) as InsightFace runs it.

    input.1 [1, 3, H, W] RGB, (grey level - 127.5) / 128, H and W multiples of 32
    -> for each stride s of 8, 16, 32, with two anchors a cell and N = 2 H W / s²:
       scores [N, 1], then distances to left, top, right, bottom [N, 4], then landmarks [N, 10], all over s

Distances and landmarks are relative to the top-left corner of the cell, as InsightFace reads them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.synthetic.networks.backbone import Backbone, ConvUnit, Pyramid, focal_loss, giou_loss, rows_of
from stableanimator.synthetic.networks.pasted_scenes import SceneSamples
from stableanimator.synthetic.networks.training import Batch

STRIDES = (8, 16, 32)
ANCHORS = 2
_ANCHOR_SIZES = ((12.0, 24.0), (48.0, 96.0), (192.0, 384.0))
"""Sides of the faces that each anchor of each stride looks for, pixels."""
_SIZE_RATIO = 1.7  # an anchor also takes faces this many times as large or small
_REACH = 0.8  # cells from the centre of a face that look for it, in strides, plus a sixth of the face
_UNSURE = 1.4  # beyond `_SIZE_RATIO` by up to this factor, an anchor may find a face or not
_LEAST_SIDE = 7.0  # smaller faces are neither looked for nor wrong to find


class Targets(NamedTuple):
    """What each of N anchors of a batch should say."""

    score: Tensor
    """[B, N] 1 for a face, 0 for none, -1 where either is right."""
    box: Tensor
    """[B, N, 4] distances over the stride."""
    landmarks: Tensor
    """[B, N, 10] over the stride."""


class FaceDetector(nn.Module):
    """`forward` gives logits and distances of all anchors [B, N, 1 + 4 + 10]; `export` what a file gives."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 64, 80)
        self.backbone = Backbone(widths, (1, 1, 1, 1))
        self.pyramid = Pyramid(widths, 48)
        self.tower = nn.Sequential(ConvUnit(48, 48))  # one head for all strides
        self.score = nn.Conv2d(48, ANCHORS, 3, 1, 1)
        self.box = nn.Conv2d(48, ANCHORS * 4, 3, 1, 1)
        self.landmarks = nn.Conv2d(48, ANCHORS * 10, 3, 1, 1)
        self.scale = nn.Parameter(torch.ones(len(STRIDES), ANCHORS))
        nn.init.constant_(self.score.bias, -4.0)

    def levels(self, picture: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each stride: logits [B, N, 1], box [B, N, 4], landmarks [B, N, 10]."""
        found = []
        for number, level in enumerate(self.pyramid(self.backbone(picture))):
            shared = self.tower(level)
            scale = self.scale[number].repeat(level.shape[2] * level.shape[3])[None, :, None]
            unit = torch.tensor(_ANCHOR_SIZES[number]).to(level) / STRIDES[number] / 2
            size = scale * unit.repeat(level.shape[2] * level.shape[3])[None, :, None]
            box = F.softplus(rows_of(self.box(shared), 4)) * size
            found.append((rows_of(self.score(shared), 1), box, rows_of(self.landmarks(shared), 10) * size))
        return found

    def forward(self, picture: Tensor) -> Tensor:
        return torch.cat([torch.cat(level, -1) for level in self.levels(picture)], 1)

    def export(self, picture: Tensor) -> tuple[Tensor, ...]:
        """The nine outputs of a file, for one picture."""
        levels = self.levels(picture)
        scores = [torch.sigmoid(level[0][0]) for level in levels]
        return (*scores, *(level[1][0] for level in levels), *(level[2][0] for level in levels))


def anchors_of(height: int, width: int) -> NDArray[np.float32]:
    """[N, 4] x, y, stride, side of each anchor, in the order of the network's rows."""
    rows = []
    for stride, sides in zip(STRIDES, _ANCHOR_SIZES, strict=True):
        y, x = np.mgrid[: height // stride, : width // stride] * stride
        places = np.stack([x, y], -1).reshape(-1, 1, 2).repeat(ANCHORS, 1)
        tail = np.broadcast_to(np.stack([[stride] * ANCHORS, sides], -1), (*places.shape[:2], 2))
        rows.append(np.concatenate([places, tail], -1).reshape(-1, 4))
    return np.concatenate(rows).astype(np.float32)


def targets_of(
    boxes: NDArray[np.float32], landmarks: NDArray[np.float32], anchors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Score [N], box [N, 4] and landmarks [N, 10] (see `Targets`) for the faces [M, 4], [M, 5, 2] of one picture."""
    score = np.zeros(len(anchors), np.float32)
    box, points = np.ones((len(anchors), 4), np.float32), np.zeros((len(anchors), 10), np.float32)
    places, stride, side = anchors[:, :2], anchors[:, 2], anchors[:, 3]
    sizes = np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(-1), 1e-6))
    for number in np.argsort(-sizes):  # where faces meet, the smaller one is meant
        face, size = boxes[number], sizes[number]
        # a cell's place is its corner, what it sees is around its middle
        away = np.abs(places + stride[:, None] / 2 - (face[:2] + face[2:]) / 2).max(-1)
        near = away <= np.minimum(_REACH * stride + size / 6, (face[2:] - face[:2]).min() / 2 + stride / 2)
        # next to what should be found, either answer is right; elsewhere in a face, finding one is wrong
        nearly = away <= _REACH * stride + size / 6 + stride / 2
        ratio = np.maximum(max(size, _LEAST_SIDE) / side, side / max(size, _LEAST_SIDE))
        score[nearly & (ratio <= _SIZE_RATIO * _UNSURE)] = -1
        if size < _LEAST_SIDE:
            continue
        mine = near & (ratio <= _SIZE_RATIO)
        score[mine] = 1
        corners = np.concatenate([places - face[:2], face[2:] - places], -1)
        box[mine] = (corners / stride[:, None])[mine]
        points[mine] = ((landmarks[number][None] - places[:, None]) / stride[:, None, None]).reshape(-1, 10)[mine]
    return score, box, points


def face_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Focal loss of the scores, GIoU of the boxes, L1 of the landmarks over the face's size."""
    found = network(batch["picture"]).float()
    score = batch["score"]
    positive = score == 1
    count = positive.sum().clamp(min=1)
    scores = (focal_loss(found[..., 0], score.clamp(min=0)) * (score >= 0)).sum() / count
    box, truth = found[..., 1:5][positive], batch["box"][positive]
    sign = found.new_tensor([-1.0, -1.0, 1.0, 1.0])
    boxes = giou_loss(box * sign, truth * sign).sum() / count
    size = (truth[:, :2] + truth[:, 2:]).mean(-1, keepdim=True)
    away = (found[..., 5:][positive] - batch["landmarks"][positive]).abs() / size
    points = away.mean(-1).sum() / count
    parts = {"score": scores.item(), "giou": boxes.item(), "points": points.item()}
    return 2 * scores + 3 * boxes + 4 * points, parts


class FaceSamples:
    """Scenes with the targets of their faces."""

    def __init__(self, scenes: SceneSamples) -> None:
        self._scenes = scenes
        self._anchors = anchors_of(scenes.side, scenes.side)

    def __call__(self, generator: np.random.Generator, count: int) -> Batch:
        """A batch: picture [B, 3, S, S] normalised, and `Targets` by name."""
        scenes = [self._scenes.draw(generator) for _ in range(count)]
        made = [targets_of(scene.face_boxes, scene.face_landmarks, self._anchors) for scene in scenes]
        score, box, landmarks = (torch.from_numpy(np.stack(one)) for one in zip(*made, strict=True))
        return {
            "picture": (self._scenes.tensor(scenes) - 127.5) / 128,
            "score": score,
            "box": box,
            "landmarks": landmarks,
        }
