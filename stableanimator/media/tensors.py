"""Between pictures of bytes and what models read: floats in [-1, 1], channels first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 [..., H, W, 3] -> float32 [..., 3, H, W] in [-1, 1]."""
    return torch.from_numpy(pictures).movedim(-1, -3).float() / 127.5 - 1.0


def to_pictures(frames: Tensor) -> npt.NDArray[np.uint8]:
    """[..., 3, H, W] in [-1, 1], on any device -> uint8 [..., H, W, 3]; what lies outside is clamped."""
    levels = ((frames.detach().float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.movedim(-3, -1).cpu().numpy())
