"""ArcFace as a differentiable function of a picture: align, crop, embed.

    B pictures   M points   E embedding width

Positions follow the project's convention: pixels, origin at the top-left corner of the top-left pixel, so that the
first pixel's centre is at (0.5, 0.5). InsightFace counts from that centre; half a pixel is the difference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stableanimator.errors import WeightsError
from stableanimator.perception.onnx_session import read_graph
from stableanimator.perception.onnx_to_torch import OnnxModule

CROP_SIZE = 112
"""Side of an aligned face, pixels."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
) + np.float32(0.5)
"""[5, 2] where the eyes, the nose and the mouth's corners lie in an aligned crop: ArcFace (arXiv 1801.07698) as
InsightFace's `arcface_dst` has it, counted from the corner of the first pixel."""


class ArcFace(nn.Module):
    """A frozen face recogniser: `arcface(crops [B, 3, 112, 112] RGB in [-1, 1]) -> [B, E]`, as `Face.embedding`.

    `mean` and `std` are what the network expects of pixels in 0..255: (pixel - mean) / std.
    """

    def __init__(self, network: OnnxModule, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = mean, std
        self.embedding_width = int(network.output_shape[-1] or 0)
        self.requires_grad_(False)

    @classmethod
    def from_onnx(cls, path: str | Path, mean: float | None = None, std: float | None = None) -> ArcFace:
        """Load a recogniser of an InsightFace pack. Without `mean` and `std` they are decided as InsightFace does.

        Raises:
            WeightsError: the file is missing, unreadable, or no recogniser of 112-pixel crops.
        """
        network = OnnxModule(path)
        if network.input_shape[1:] != [3, CROP_SIZE, CROP_SIZE] or not network.output_shape[-1:]:
            raise WeightsError(f"{path} takes {network.input_shape}, not [B, 3, {CROP_SIZE}, {CROP_SIZE}]")
        if not network.output_shape[-1]:
            raise WeightsError(f"{path} does not state the width of its embedding")
        usual_mean, usual_std = (0.0, 1.0) if _normalises_itself(path) else (127.5, 127.5)
        return cls(network, usual_mean if mean is None else mean, usual_std if std is None else std)

    def forward(self, crops: Tensor) -> Tensor:
        pixels = (crops * 127.5 + 127.5 - self.mean) / self.std
        if self.network.input_shape[0] == 1 and len(pixels) != 1:
            # The file fixes the batch to one picture, perhaps inside a Reshape.
            return torch.func.vmap(lambda one: self.network(one[None])[0])(pixels)
        return self.network(pixels)


def _normalises_itself(path: str | Path) -> bool:
    """InsightFace's rule: converted MXNet models begin with a subtraction and a multiplication of their own."""
    names = [node.name for node in read_graph(path).node[:8]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    return subtracts and any(name.startswith(("Mul", "_mul")) for name in names)


def fit_crop(points: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares similarity from points to the template, without reflection (Umeyama, PAMI 1991, in two dimensions).

    Args:
        points: [B, M, 2] pixels of the picture; a NaN point is left out; at least two must remain.
        template: [M, 2] pixels of the crop.

    Returns:
        turn [B, 2, 2] (rotation times scale) and shift [B, 2]: crop = turn @ picture + shift.
    """
    present = torch.isfinite(points).all(-1, keepdim=True)
    weight = present.to(points.dtype) / present.sum(1, keepdim=True)
    source = torch.where(present, points, 0.0)
    source_mean = (weight * source).sum(1, keepdim=True)
    target_mean = (weight * template).sum(1, keepdim=True)
    p, q = torch.sqrt(weight) * (source - source_mean), torch.sqrt(weight) * (template - target_mean)
    spread = p.square().sum((1, 2))
    cosine = (p * q).sum((1, 2)) / spread
    sine = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(1) / spread
    turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
    shift = target_mean[:, 0] - (turn @ source_mean.transpose(1, 2))[..., 0]
    return turn, shift


def crop_boxes(points: Tensor) -> Tensor:
    """What of a frame an aligned crop shows: boxes [B, 4] (x0, y0, x1, y1) around the crop's corners, in pixels.

    Args:
        points: [B, M, 2] pixels of the frame, as for `align_crops`; with fewer than two the box is NaN.
    """
    turn, shift = fit_crop(points, torch.from_numpy(TEMPLATE).to(points))
    there = torch.isfinite(turn).all(-1).all(-1) & (torch.linalg.det(turn) > 0)
    eye = torch.eye(2, dtype=points.dtype, device=points.device)
    side = float(CROP_SIZE)
    corners = points.new_tensor([[0.0, 0.0], [side, 0.0], [0.0, side], [side, side]])
    places = (corners - shift[:, None]) @ torch.linalg.inv(torch.where(there[:, None, None], turn, eye)).transpose(1, 2)
    boxes = torch.cat([places.amin(1), places.amax(1)], -1)
    return torch.where(there[:, None], boxes, torch.nan)


def align_crops(frames: Tensor, points: Tensor, template: Tensor, size: int = CROP_SIZE) -> Tensor:
    """Crop faces so that their points fall onto the template; differentiable in frames and points.

    Args:
        frames: [B, 3, H, W] RGB in [-1, 1].
        points: [B, M, 2] pixels of the frame, as `Face.landmarks`; a NaN point is left out.
        template: [M, 2] pixels of the crop, as `TEMPLATE`.
        size: side of the crop, pixels.

    Returns:
        [B, 3, size, size] in [-1, 1], bilinear, black outside the frame: InsightFace's `norm_crop`.
    """
    height, width = frames.shape[-2:]
    turn, shift = fit_crop(points, template.to(points))
    centres = torch.arange(size, dtype=points.dtype, device=points.device) + 0.5
    crop_y, crop_x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([crop_x, crop_y], -1).reshape(1, -1, 2) - shift[:, None]
    picture = places @ torch.linalg.inv(turn).transpose(1, 2)
    scale = torch.tensor([2.0 / width, 2.0 / height], dtype=points.dtype, device=points.device)
    grid = (picture * scale - 1.0).reshape(-1, size, size, 2).to(frames.dtype)
    # Samples outside the frame count as 0, which must mean black.
    return F.grid_sample(frames + 1.0, grid, mode="bilinear", padding_mode="zeros", align_corners=False) - 1.0
