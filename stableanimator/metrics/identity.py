"""Identity metrics: CSIM, the cosine of face embeddings, and the share of frames in which a face is found.

The papers do not say which pair of faces CSIM compares, nor with which network. Here the generated frame is compared
with the reference picture (`csim`) and with the true frame (`csim_truth`), and both are reported. A frame in which no
face is found has no cosine: it is left out of the mean and lowers `face_found`; it never counts as zero.

HJB face optimisation raises the cosine of the very network that scores it here; compare scores with and without it
knowing that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from stableanimator.perception.faces import Face

Analyser = Callable[[npt.NDArray[np.uint8]], "list[Face]"]
"""A frame, uint8 RGB [H, W, 3], to its faces, main face first: what `perception.faces.FaceAnalyser` is."""


def main_embedding(analyser: Analyser, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32] | None:
    """Embedding [E] of the frame's main face, or None where no face is found."""
    faces = analyser(frame)
    return faces[0].embedding if faces else None


def cosine(
    first: npt.NDArray[np.float32] | None,
    second: npt.NDArray[np.float32] | None,
) -> float | None:
    """Cosine of two embeddings [E], -1 to 1; None where either is missing or has no length."""
    if first is None or second is None:
        return None
    a, b = first.astype(np.float64), second.astype(np.float64)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else None


def mean_present(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist; None where there are none."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
