"""A SimCC network (arXiv 2107.03332) for 133 keypoints, with the interface of DWPose's.

    input [B, 3, 192, 144]  ->  simcc_x [B, 133, 288], simcc_y [B, 133, 384]

The peak of each axis is the probability that the keypoint is seen, so that the score which DWPose's code reads off, the
lower of the two peaks, is a probability.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.perception.dwpose import IMAGENET_MEAN, IMAGENET_STD, KEYPOINT_COUNT, crop_warp
from stableanimator.synthetic.networks.backbone import Backbone, ConvUnit
from stableanimator.synthetic.networks.looks import vary
from stableanimator.synthetic.networks.training import Batch, pixels_to_tensor
from stableanimator.synthetic.networks.training_frames import TrainingFrames
from stableanimator.synthetic.truth import OUTSIDE, SEEN

HEIGHT, WIDTH = 192, 144
_BINS_PER_PIXEL = 2
_SPREAD = 3.0  # of the target along an axis, bins
_STRIDE = 16
_LEAST_JOINTS = 3
_BODY = 17
_WEIGHTS = np.concatenate([np.full(_BODY, 4.0), np.full(6, 2.0), np.ones(KEYPOINT_COUNT - _BODY - 6)])
"""Of the keypoints in the loss: body, feet, the rest."""
_HIDDEN_WEIGHT = 0.2  # of the place of what cannot be seen


class PoseNetwork(nn.Module):
    """`forward` gives logits (x [B, 133, 288], y [B, 133, 384], seen [B, 133]); `export` what a file gives."""

    def __init__(self) -> None:
        super().__init__()
        widths = (40, 80, 128)
        self.backbone = Backbone(widths, (1, 2, 3))
        self.context = ConvUnit(widths[-1], widths[-1], 5)
        self.heat = nn.Conv2d(widths[-1], KEYPOINT_COUNT, 1)
        cells = (HEIGHT // _STRIDE) * (WIDTH // _STRIDE)
        self.embed = nn.Sequential(nn.Linear(cells, 160), nn.ReLU())
        self.x = nn.Linear(160, WIDTH * _BINS_PER_PIXEL)
        self.y = nn.Linear(160, HEIGHT * _BINS_PER_PIXEL)
        self.seen = nn.Sequential(nn.Linear(160, 32), nn.ReLU(), nn.Linear(32, 1))
        self.prior = nn.Parameter(torch.zeros(KEYPOINT_COUNT))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heat = self.heat(self.context(self.backbone(picture)[-1]))
        tokens = self.embed(heat.flatten(2))
        return self.x(tokens), self.y(tokens), self.seen(tokens)[..., 0] + self.prior

    def export(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """simcc_x and simcc_y of a file."""
        x, y, seen = self(picture)
        score = torch.sigmoid(seen)[..., None]
        return tuple(score * torch.exp(axis - axis.max(-1, keepdim=True).values) for axis in (x, y))


def pose_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy of each axis against a bell around the truth, and of being seen."""
    x, y, seen = (logits.float() for logits in network(batch["picture"]))
    weight = batch["weight"]
    axes = [_axis_loss(logits, batch["bins"][..., axis]) for axis, logits in enumerate((x, y))]
    place = ((axes[0] + axes[1]) * weight).sum() / weight.sum().clamp(min=1)
    visible = F.binary_cross_entropy_with_logits(seen, batch["seen"], reduction="none")
    known = batch["known"]
    visibility = (visible * known).sum() / known.sum()
    with torch.no_grad():
        found = torch.stack([x.argmax(-1), y.argmax(-1)], -1)
        error = (found - batch["bins"]).norm(dim=-1)[:, :_BODY] / _BINS_PER_PIXEL
        shown = batch["seen"][:, :_BODY] > 0
    return place + 2 * visibility, {"place": place.item(), "seen": visibility.item(), "px": error[shown].mean().item()}


def _axis_loss(logits: Tensor, place: Tensor) -> Tensor:
    """Cross entropy with a bell around each place; [B, 133]."""
    bells = _bells(logits.shape[-1]).to(logits.device)
    target = bells[place.round().long()]
    return torch.logsumexp(logits, -1) - (target * logits).sum(-1)


@lru_cache
def _bells(bins: int) -> Tensor:
    """[bins, bins] the target distribution of each place."""
    places = torch.arange(bins, dtype=torch.float32)
    return torch.softmax(-((places - places[:, None]) ** 2) / (2 * _SPREAD**2), -1)


class PoseSamples:
    """Crops of people, roughly centred, as a person detector would give them."""

    def __init__(self, frames: TrainingFrames) -> None:
        self._frames = frames
        joints = (frames.frames.visibility[..., :_BODY] == SEEN).sum(-1)
        present = np.isfinite(frames.frames.person_boxes).all(-1)
        self._people = np.argwhere(present & (joints >= _LEAST_JOINTS))

    def __call__(self, generator: np.random.Generator, count: int) -> Batch:
        """A batch: picture [B, 3, H, W] normalised; bins [B, 133, 2]; weight, seen and known [B, 133]."""
        chosen = self._people[generator.integers(len(self._people), size=count)]
        pictures, bins, states = zip(*(self._sample(generator, *one) for one in chosen.tolist()), strict=True)
        places, state = np.stack(bins), np.stack(states)
        limits = np.array([WIDTH, HEIGHT]) * _BINS_PER_PIXEL
        inside = np.asarray(((places >= 0) & (places < limits)).all(-1))
        known = np.where(state == SEEN, 1.0, _HIDDEN_WEIGHT) * (inside & (state != OUTSIDE)) * _WEIGHTS
        mean, std = torch.from_numpy(IMAGENET_MEAN), torch.from_numpy(IMAGENET_STD)
        return {
            "picture": (pixels_to_tensor(list(pictures)) - mean[:, None, None]) / std[:, None, None],
            "bins": torch.from_numpy(np.where(inside[..., None], places.clip(0, limits - 1), 0).astype(np.float32)),
            "weight": torch.from_numpy(known.astype(np.float32)),
            "seen": torch.from_numpy((inside & (state == SEEN)).astype(np.float32)),
            "known": torch.from_numpy(np.broadcast_to(_WEIGHTS, state.shape).astype(np.float32)),
        }

    def _sample(
        self, generator: np.random.Generator, frame: int, person: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.uint8]]:
        truth = self._frames.frames
        warp = _warp(truth.person_boxes[frame, person].astype(np.float64), generator)
        picture = cv2.warpAffine(self._frames.picture(frame), warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        points = truth.keypoints[frame, person].astype(np.float64) - 0.5  # OpenCV counts from the centre of a pixel
        places = (points @ warp[:, :2].T + warp[:, 2]) * _BINS_PER_PIXEL
        seen_as = vary(np.asarray(picture, np.uint8), generator)
        return seen_as, np.nan_to_num(places, nan=-1.0), truth.visibility[frame, person]


def _warp(box: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """[2, 3] frame -> crop of a box that is not quite right, sometimes turned."""
    size = box[2:] - box[:2]
    moved = box + np.tile(size, 2) * generator.normal(0, 0.05, 4)
    warp = crop_warp(moved, WIDTH, HEIGHT)
    turn = generator.normal(0, 10) if generator.random() < 0.5 else 0.0
    zoom = np.exp(generator.normal(0, 0.08))
    around = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, zoom)
    return np.asarray(around @ np.vstack([warp, [0, 0, 1]]), np.float64)
