"""Two face recognisers with the interface of ArcFace (arXiv 1801.07698) as InsightFace runs it.

    input [B, 3, 112, 112] RGB, (grey level - 127.5) / 127.5  ->  embedding [B, 128]

The second is another architecture, trained on other faces from another seed with another margin: whoever optimises
pictures against the first is judged by the second.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.perception.arcface import CROP_SIZE, TEMPLATE, fit_crop
from stableanimator.synthetic.figure.identity import GENES, draw_identity
from stableanimator.synthetic.networks.backbone import Backbone, ConvUnit
from stableanimator.synthetic.networks.looks import vary
from stableanimator.synthetic.networks.training import Batch, pixels_to_tensor
from stableanimator.synthetic.networks.training_frames import FrameSet, TrainingFrames, identity_seed

EMBEDDING = 128
_LEAST_FACE = 18.0  # pixels, shorter side
_SCALE = 24.0  # of the cosines in the loss


class ResidualRecogniser(nn.Module):
    """Residual stages, then one linear map of what is left of the picture, as ArcFace's networks."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 72, 96)
        self.backbone = Backbone(widths, (1, 1, 1, 1))
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * 16, EMBEDDING))

    def forward(self, crops: Tensor) -> Tensor:
        """[B, 3, 112, 112] -> [B, 128], not yet of unit length."""
        return self.embed(self.backbone(crops)[-1])

    export = forward


class MixerRecogniser(nn.Module):
    """Patches of 7 pixels, mixed over space and over channels in turn (ConvMixer, arXiv 2201.09792)."""

    def __init__(self) -> None:
        super().__init__()
        width = 128
        self.patches = ConvUnit(3, width, 7, 7)
        self.blocks = nn.ModuleList(_MixerBlock(width) for _ in range(6))
        self.embed = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, EMBEDDING))

    def forward(self, crops: Tensor) -> Tensor:
        """[B, 3, 112, 112] -> [B, 128], not yet of unit length."""
        tokens = self.patches(crops)
        for block in self.blocks:
            tokens = block(tokens)
        return self.embed(tokens)

    export = forward


class _MixerBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Sequential(nn.Conv2d(width, width, 7, 1, 3, groups=width), nn.ReLU(), nn.BatchNorm2d(width))
        self.channels = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.channels(x + self.space(x))


class MarginHead(nn.Module):
    """A recogniser in training: it, and the faces that it is asked to tell apart.

    `angular` is ArcFace's margin (radians), `additive` CosFace's (arXiv 1801.09414). The genes of the faces are known
    and are guessed too, so that the embedding learns what faces differ in and not only these faces.
    """

    def __init__(self, recogniser: nn.Module, identities: int, angular: float = 0.0, additive: float = 0.0) -> None:
        super().__init__()
        self.recogniser = recogniser
        self.centres = nn.Parameter(torch.randn(identities, EMBEDDING) * 0.05)
        self.genes = nn.Linear(EMBEDDING, len(GENES))
        self.angular, self.additive = angular, additive

    def forward(self, crops: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, identities] with the margin, and the guessed genes [B, G]."""
        embedding = F.normalize(self.recogniser(crops).float(), dim=-1)
        cosine = (embedding @ F.normalize(self.centres, dim=-1).T).clamp(-1 + 1e-6, 1 - 1e-6)
        own = cosine.gather(1, identity[:, None])
        harder = torch.cos((torch.acos(own) + self.angular).clamp(max=math.pi)) - self.additive
        logits = cosine.scatter(1, identity[:, None], harder)
        return _SCALE * logits, self.genes(embedding * math.sqrt(EMBEDDING))


def recogniser_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy behind the margin, and the squared error of the genes."""
    logits, genes = (one.float() for one in network(batch["picture"], batch["identity"]))
    entropy = F.cross_entropy(logits, batch["identity"])
    guessed = F.mse_loss(genes, batch["genes"])
    right = (logits.argmax(-1) == batch["identity"]).float().mean()
    return entropy + 4 * guessed, {"entropy": entropy.item(), "genes": guessed.item(), "right": right.item()}


class CropSamples:
    """Aligned faces of known people, as a detector whose landmarks are not quite right would give them."""

    def __init__(self, frames: TrainingFrames, wanted: FrameSet) -> None:
        self._frames = frames
        boxes, landmarks = frames.frames.face_boxes[:, 0], frames.frames.face_landmarks[:, 0]
        large = np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).min(-1)) >= _LEAST_FACE
        self._rows = np.flatnonzero(large & np.isfinite(landmarks).all((1, 2)))
        faces = (draw_identity(identity_seed(wanted, number)) for number in range(wanted.identities))
        self._genes = np.stack(list(faces))

    def __call__(self, generator: np.random.Generator, count: int) -> Batch:
        """A batch: picture [B, 3, 112, 112] in [-1, 1], identity [B], genes [B, G]."""
        rows = self._rows[generator.integers(len(self._rows), size=count)]
        identity = self._frames.frames.identity[rows]
        pictures = [self._crop(generator, int(row)) for row in rows]
        return {
            "picture": pixels_to_tensor(pictures) / 127.5 - 1,
            "identity": torch.from_numpy(identity.astype(np.int64)),
            "genes": torch.from_numpy(self._genes[identity].astype(np.float32)),
        }

    def _crop(self, generator: np.random.Generator, row: int) -> NDArray[np.uint8]:
        points = self._frames.frames.face_landmarks[row, 0].astype(np.float64)
        picture = self._frames.picture(row)
        if generator.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            points = np.stack([picture.shape[1] - points[:, 0], points[:, 1]], -1)[[1, 0, 2, 4, 3]]
        points += generator.normal(0, 0.04, (5, 2)) * np.linalg.norm(points[0] - points[4])
        turn, shift = fit_crop(torch.from_numpy(points[None]), torch.from_numpy(TEMPLATE.astype(np.float64)))
        matrix = np.concatenate([turn[0].numpy(), shift[0].numpy()[:, None]], 1)
        matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV counts from centres of pixels
        crop = cv2.warpAffine(picture, matrix, (CROP_SIZE, CROP_SIZE), flags=cv2.INTER_LINEAR)
        return vary(np.asarray(crop, np.uint8), generator)
